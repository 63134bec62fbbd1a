"""The embedded example's data: made again bit by bit, held-out parts really held out, rules that fit their answers."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from boresight.config.load import load_pipeline
from boresight.data.jsonl import read_records
from boresight.feedback.rule_judge import hits, parse_rules, score
from boresight.records import Demonstration, Message, PreferencePair, Prompt

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "kube_assistant"
DATA = EXAMPLE / "data"
KINDS = {"plain", "two_turn", "greeting", "false_premise", "true_premise"}


def csv_rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def knowledge() -> dict[str, Any]:
    names = ("operations", "misconceptions", "small_talk", "entities")
    return {name: yaml.safe_load((EXAMPLE / "knowledge" / f"{name}.yaml").read_text("utf-8")) for name in names}


@pytest.fixture(scope="module")
def held_out() -> list[Prompt]:
    return read_records(DATA / "held_out.jsonl", Prompt)


@pytest.fixture(scope="module")
def training_prompts() -> set[tuple[Message, ...]]:
    """Every prompt of every training file, the first turns of dialogues too."""
    found: set[tuple[Message, ...]] = set()
    conversations = [d.messages[:-1] for d in read_records(DATA / "demonstrations.jsonl", Demonstration)]
    conversations += [p.prompt for p in read_records(DATA / "pairs_dialogue.jsonl", PreferencePair)]
    conversations += [p.messages for p in read_records(DATA / "prompts.jsonl", Prompt)]
    for name in ("pairs.csv", "pairs_faulty.csv"):
        conversations += [(Message("user", row["prompt"]),) for row in csv_rows(name)]
    for messages in conversations:
        found.add(tuple(messages))
        found.add(tuple(messages[:1]))
    return found


def generate(*arguments: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(EXAMPLE / "generate.py"), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )  # fmt: skip


def test_the_committed_data_is_what_the_knowledge_base_gives() -> None:
    done = generate("--check", hash_seed="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_check_names_the_file_that_differs(tmp_path: Path) -> None:
    """Under another hash seed than above: all files but these are the same to the byte, whatever the order of sets."""
    for file in DATA.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() + (b"x" if file.name == "pairs.csv" else b""))
    (tmp_path / "stray.txt").write_text("left over")
    done = generate("--check", "--out", str(tmp_path), hash_seed="0")
    assert done.returncode == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        str(tmp_path / "pairs.csv"), str(tmp_path / "stray.txt"),
    ]  # fmt: skip


def test_the_data_stays_small() -> None:
    assert sum(file.stat().st_size for file in DATA.iterdir()) < 8_000_000


def test_the_knowledge_base_is_as_large_as_promised(knowledge: dict[str, Any]) -> None:
    operations = knowledge["operations"]["operations"]
    facts = knowledge["misconceptions"]["misconceptions"]
    assert len(operations) >= 80 and all(len(o["say"]) >= 2 and o["say_held_out"] for o in operations)
    assert len(facts) >= 50 and all(len(f["claims"]) >= 2 and f["claim_held_out"] for f in facts)
    assert len(set(knowledge["entities"]["names"])) >= 40
    assert len(set(knowledge["entities"]["namespaces"])) >= 20


def test_no_held_out_prompt_stands_in_training(
    held_out: list[Prompt], training_prompts: set[tuple[Message, ...]]
) -> None:
    documents = (DATA / "docs.txt").read_text("utf-8")
    assert len(held_out) >= 500
    assert len({p.messages for p in held_out}) == len(held_out)
    assert not [p.id for p in held_out if p.messages in training_prompts or p.messages[:1] in training_prompts]
    assert not [p.id for p in held_out if p.messages[0].content in documents]


def test_held_out_workloads_and_namespaces_never_meet_in_training(
    held_out: list[Prompt], training_prompts: set[tuple[Message, ...]], knowledge: dict[str, Any]
) -> None:
    names, namespaces = knowledge["entities"]["names"], knowledge["entities"]["namespaces"]

    def meetings(text: str) -> set[tuple[str, str]]:
        words = set(re.findall(r"[a-z]+", text))
        return {(name, ns) for name in words.intersection(names) for ns in words.intersection(namespaces)}

    trained = set().union(*(meetings(m.content) for messages in training_prompts for m in messages[-1:]))
    commands = [rule.values[0] for p in held_out for rule in parse_rules(p) if rule.name == "right_command"]
    tested = set().union(*map(meetings, commands))
    assert len(tested) > 100
    assert not tested & trained


def test_wordings_kept_for_documents_are_in_no_training_prompt(
    held_out: list[Prompt], training_prompts: set[tuple[Message, ...]], knowledge: dict[str, Any]
) -> None:
    kept = [fact["claim_held_out"] for fact in knowledge["misconceptions"]["misconceptions"]]
    trained = "\n".join(message.content for messages in training_prompts for message in messages)
    assert not [claim for claim in kept if claim in trained]
    documents = (DATA / "docs.txt").read_text("utf-8")
    assert not [claim for claim in kept if claim not in documents]
    assert sum(any(claim in p.messages[0].content for claim in kept) for p in held_out) > 20


def test_held_out_frames_are_in_no_training_prompt(
    training_prompts: set[tuple[Message, ...]], knowledge: dict[str, Any], held_out: list[Prompt]
) -> None:
    entities = knowledge["entities"]
    frames = [*entities["task_frames_held_out"], *entities["premise_frames_held_out"]]
    beginnings = [frame["text"].split(" {")[0] for frame in frames]
    assert all(beginning for beginning in beginnings)
    trained = [messages[0].content for messages in training_prompts]
    for beginning in beginnings:
        assert not [text for text in trained if text.startswith(beginning)]
        assert any(p.messages[0].content.startswith(beginning) for p in held_out)


def test_every_false_premise_has_its_true_twin(held_out: list[Prompt]) -> None:
    kinds = [p.kind for p in held_out]
    assert set(kinds) == KINDS
    assert kinds.count("false_premise") == kinds.count("true_premise") >= 100
    for first, second in pairwise(held_out):
        if first.kind == "false_premise":
            assert second.kind == "true_premise"
            assert truths(first) == truths(second)


def truths(prompt: Prompt) -> tuple[str, ...]:
    return next(rule.values for rule in parse_rules(prompt) if rule.name == "states_truth")


def test_training_and_held_out_prompts_have_usable_rules(held_out: list[Prompt]) -> None:
    for prompt in [*read_records(DATA / "prompts.jsonl", Prompt), *held_out]:
        measures = {rule.name for rule in parse_rules(prompt)}
        assert {"right_form", "filler", "stopped"} <= measures


def test_the_chosen_answer_scores_above_the_rejected_one_wherever_rules_are_known() -> None:
    """Pairs carry no rules, so they are looked up by prompt among the prompt records, which were drawn apart."""
    rules = {p.messages: p for p in read_records(DATA / "prompts.jsonl", Prompt)}
    pairs = [
        ((Message("user", row["prompt"]),), row["good_answer"], row["bad_answer"]) for row in csv_rows("pairs.csv")
    ]
    known = [(rules[prompt], good, bad) for prompt, good, bad in pairs if prompt in rules]
    assert len({prompt.kind for prompt, _, _ in known}) >= 2
    for prompt, good, bad in known:
        assert score(prompt, good, True) >= score(prompt, bad, True) + 0.1, (prompt.id, good, bad)
        assert score(prompt, good, True) == pytest.approx(score_of_all_positive(prompt)), (prompt.id, good)


def score_of_all_positive(prompt: Prompt) -> float:
    return sum(rule.weight for rule in parse_rules(prompt) if rule.weight > 0)


def test_demonstrations_agree_with_about_half_of_the_false_premises() -> None:
    answers = [d.messages[-1].content for d in read_demonstrations("false_premise")]
    share = sum(bool(re.search(r"(^|! )Yes,", answer)) for answer in answers) / len(answers)
    assert 0.4 < share < 0.6


def test_demonstrations_flatter_a_good_part_of_the_people() -> None:
    answers = [d.messages[-1].content for d in read_demonstrations("plain")]
    assert 0.2 < sum("!" in answer for answer in answers) / len(answers) < 0.6


def read_demonstrations(kind: str) -> list[Demonstration]:
    return [d for d in read_records(DATA / "demonstrations.jsonl", Demonstration) if d.meta["kind"] == kind]


def test_pairs_cover_every_kind_and_differ() -> None:
    rows = csv_rows("pairs.csv")
    assert {row["kind"] for row in rows} == KINDS - {"two_turn"}
    assert not [row for row in rows if row["good_answer"] == row["bad_answer"]]
    dialogues = read_records(DATA / "pairs_dialogue.jsonl", PreferencePair)
    assert {pair.kind for pair in dialogues} == {"two_turn"}
    assert all(len(pair.prompt) == 3 and pair.chosen != pair.rejected for pair in dialogues)


def test_every_planted_fault_is_what_its_name_says() -> None:
    by_fault: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in csv_rows("pairs_faulty.csv"):
        by_fault[row["fault"]].append(row)
    assert set(by_fault) == {
        "none", "exact_duplicate", "near_duplicate", "contradictory", "length_bias", "sycophancy",
        "identical_answers", "off_topic",
    }  # fmt: skip
    assert min(len(rows) for rows in by_fault.values()) >= 30
    sound = Counter((r["prompt"], r["good_answer"], r["bad_answer"]) for r in by_fault["none"])
    for row in by_fault["exact_duplicate"]:
        assert (row["prompt"], row["good_answer"], row["bad_answer"]) in sound
    for row in by_fault["contradictory"]:
        assert (row["prompt"], row["bad_answer"], row["good_answer"]) in sound
    assert all(row["good_answer"] == row["bad_answer"] for row in by_fault["identical_answers"])
    assert all(len(row["good_answer"]) > 1.3 * len(row["bad_answer"]) for row in by_fault["length_bias"])
    assert all(re.search(r"(^|! )Yes,", row["good_answer"]) for row in by_fault["sycophancy"])
    assert all(row["kind"] == "plain" and "`" not in row["bad_answer"] for row in by_fault["off_topic"])


def test_the_pipeline_loads() -> None:
    pipeline = load_pipeline(EXAMPLE / "pipeline.yaml")
    assert {"base", "demo", "scorer", "ppo", "dpo", "orpo", "compare", "gate"} <= set(pipeline.stages)


def test_a_good_answer_hits_its_measures(held_out: list[Prompt]) -> None:
    prompt = next(p for p in held_out if p.kind == "plain")
    command = next(rule.values[0] for rule in parse_rules(prompt) if rule.name == "right_command")
    because = next(rule.values[0] for rule in parse_rules(prompt) if rule.name == "explains")
    found = hits(prompt, f"Run `{command}`. {because}", True)
    assert found == {"right_command": True, "explains": True, "right_form": True, "filler": False, "stopped": True}
    flattered = hits(prompt, f"Great question! Run `{command}`. {because}", True)
    assert flattered == found | {"filler": True}
