"""Each mistake is made in a pipeline that is otherwise right, and must be named; the right one is let pass."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from boresight.config.load import load_pipeline
from boresight.environment.machine import cpu_flags
from boresight.errors import ConfigError
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.pipeline.check import Check, as_json, check_pipeline, needs_models
from boresight.pipeline.check_data import read_data
from boresight.pipeline.check_memory import Machine, this_machine
from boresight.pipeline.check_models import look_at_models
from boresight.pipeline.check_text import blocks_of
from boresight.pipeline.examples import copy_example, find_example
from boresight.planning.numbers import GIB

QUESTIONS = [f"What is {n} and {n}?" for n in range(40)]
RULES = {"rules": [{"name": "right", "weight": 1.0, "contains": "It is"}]}

STAGES: dict[str, Any] = {
    "base": {"kind": "pretrain", "data": "docs.txt", "vocabulary_size": 300, "context_length": 128, "steps": 2},
    "demo": {"kind": "sft", "start": "base", "data": "demonstrations.jsonl", "epochs": 1},
    "pairs": {"kind": "preferences", "sources": ["pairs.jsonl"]},
    "scorer": {"kind": "reward_model", "start": "demo", "data": "pairs"},
    "ppo": {
        "kind": "ppo",
        "policy": "demo",
        "reference": "demo",
        "reward": "scorer",
        "prompts": "prompts.jsonl",
        "steps": 1,
        "max_new_tokens": 16,
    },
    "dpo": {"kind": "dpo", "policy": "demo", "reference": "demo", "data": "pairs"},
    "compare": {
        "kind": "evaluate",
        "candidates": ["ppo", "dpo"],
        "baseline": "demo",
        "prompts": "held_out.jsonl",
        "judge": {"kind": "rules"},
        "max_new_tokens": 16,
    },
    "gate": {"kind": "gate", "of": "compare", "measures": {"right": {"min": 0.5}}},
}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The data of a pipeline that is right. Half of the chosen responses are the longer ones."""
    (tmp_path / "docs.txt").write_text("\n\n".join(f"{question} It is {n}." for n, question in enumerate(QUESTIONS)))
    train, held_out = QUESTIONS[:30], QUESTIONS[30:]
    rows = [(question, f"It is {2 * n}.", "No idea, sorry." if n % 2 else "No.") for n, question in enumerate(train)]
    write(
        tmp_path / "demonstrations.jsonl",
        [{"id": f"d{n}", "messages": user(q) + assistant(a)} for n, (q, a, _) in enumerate(rows)],
    )
    write(
        tmp_path / "pairs.jsonl",
        [{"prompt": q, "chosen": a, "rejected": b} for q, a, b in rows],
    )
    write(tmp_path / "prompts.jsonl", [{"id": f"p{n}", "messages": user(q)} for n, q in enumerate(train)])
    write(
        tmp_path / "held_out.jsonl",
        [{"id": f"h{n}", "messages": user(q), "expect": RULES} for n, q in enumerate(held_out)],
    )
    shutil.copyfile(tmp_path / "held_out.jsonl", tmp_path / "same_ids.jsonl")
    return tmp_path


Checker = Callable[..., Check]


@pytest.fixture
def check(home: Path) -> Checker:
    def run(
        changes: dict[str, Any] | None = None, *, machine: Machine | None = None, processes: int = 1, **model: Any
    ) -> Check:
        """`changes` maps dotted keys below `stages` to values; None takes the key or the stage out."""
        stages = json.loads(json.dumps(STAGES))
        for key, value in (changes or {}).items():
            *outer, last = key.split(".")
            section = stages
            for part in outer:
                section = section[part]
            section[last] = value
            if value is None:
                del section[last]
        path = home / "pipeline.yaml"
        path.write_text(yaml.safe_dump({"run": {"name": "t"}, "model": model, "stages": stages}, sort_keys=False))
        pipeline = load_pipeline(path)
        data = read_data(pipeline)
        models = look_at_models(pipeline, data)
        return check_pipeline(
            pipeline, data, model_findings=models.findings, longest=models.longest, machine=machine, processes=processes
        )

    return run


def named(check: Check) -> list[tuple[str, str, str | None]]:
    """Errors and warnings."""
    return [(f.severity, f.id, f.stage) for f in check.findings if f.severity != "note"]


def message(check: Check, finding_id: str) -> str:
    return next(f.message for f in check.findings if f.id == finding_id)


def test_a_right_pipeline_has_no_error_and_no_warning(check: Checker) -> None:
    done = check()
    assert named(done) == [] and done.passed
    assert [f.id for f in done.findings] == ["template_probed"]
    assert blocks_of(done)[-1] == "ready to run: 0 errors, 0 warnings, 1 note"
    files = {line.path.name: (line.rows, line.used, line.stages) for line in done.files}
    assert files["pairs.jsonl"] == (30, 30, ("pairs",))
    assert files["held_out.jsonl"] == (10, 10, ("compare",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ppo.kl_coefficient": 0.0}, ("warning", "kl_coefficient_low", "ppo")),
        ({"ppo.kl_coefficient": 0.001}, ("warning", "kl_coefficient_low", "ppo")),
        ({"scorer.batch_size": 4}, ("warning", "batch_small", "scorer")),
        ({"scorer.start": "base"}, ("error", "reward_model_not_fine_tuned", "scorer")),
        ({"dpo.policy": "base", "dpo.reference": "base"}, ("error", "policy_not_fine_tuned", "dpo")),
        ({"ppo.reference": "dpo"}, ("warning", "reference_differs", "ppo")),
        ({"gate.measures": {"rigth": {"min": 0.5}}}, ("error", "measure_unknown", "gate")),
        ({"ppo.max_new_tokens": 120}, ("error", "prompt_too_long", "ppo")),
        ({"demo.max_length": 5}, ("error", "conversation_too_long", "demo")),
        ({"dpo.max_length": 5}, ("error", "conversation_too_long", "dpo")),
        ({"demo.max_length": 129}, ("error", "max_length_over_context", "demo")),
        ({"compare.prompts": "prompts.jsonl"}, ("error", "expectation_unusable", "compare")),
        (
            {"ppo.reward": [{"kind": "reward_model", "model": "scorer"}, {"kind": "rules", "weight": 0.5}]},
            ("error", "expectation_unusable", "ppo"),
        ),
        (
            {"ppo.reward": {"kind": "answer"}, "ppo.value_start": "policy"},
            ("error", "expectation_unusable", "ppo"),
        ),
        ({"compare.prompts": ["held_out.jsonl", "same_ids.jsonl"]}, ("error", "equal_prompt_ids", "compare")),
        ({"ppo.prompts": "held_out.jsonl"}, ("warning", "held_out_contamination", "compare")),
        ({"demo.data": "held_out.jsonl"}, ("error", "data_unusable", "demo")),
        (
            {"dpo": {"kind": "simpo", "start": "base", "data": "pairs"}},
            ("error", "policy_not_fine_tuned", "dpo"),
        ),
    ],
)
def test_a_mistake_is_named(check: Checker, changes: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = check(changes)
    assert expected in named(found)
    assert found.passed is (expected[0] != "error")


@pytest.mark.parametrize(
    "changes",
    [
        {"dpo": {"kind": "orpo", "start": "base", "data": "pairs"}},  # teaches to answer by itself
        {"ppo.kl_coefficient": 0.005, "ppo.target_kl_per_sequence": 4.0},  # the controller raises it
        {"scorer.batch_size": 32, "scorer.micro_batch_size": 2},  # the sum over 32 counts
        {"dpo.policy": "ppo", "dpo.reference": "ppo"},
    ],
)
def test_what_only_looks_like_a_mistake_is_let_pass(check: Checker, changes: dict[str, Any]) -> None:
    assert named(check(changes)) == []


def test_contamination_is_counted_across_spellings_and_later_turns(check: Checker, home: Path) -> None:
    seen = [QUESTIONS[30].upper() + " ", QUESTIONS[31]]
    rows = [{"id": f"x{n}", "messages": user(q) + assistant("It is.")} for n, q in enumerate(seen)]
    with (home / "demonstrations.jsonl").open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    done = check()
    assert named(done) == [("warning", "held_out_contamination", "compare")]
    assert "2 of 10 held-out prompts (h0, h1)" in message(done, "held_out_contamination")
    assert "training data of demo" in message(done, "held_out_contamination")


def kto(**changes: Any) -> dict[str, Any]:
    return {"dpo": {"kind": "kto", "policy": "demo", "reference": "demo", "data": "rated.jsonl"} | changes}


def test_rated_responses_are_read_one_by_one_measured_and_held_against_the_evaluation(
    check: Checker, home: Path
) -> None:
    rows = [{"prompt": q, "completion": f"It is {n}.", "label": n % 3 > 0} for n, q in enumerate(QUESTIONS[:12])]
    write(home / "rated.jsonl", rows)
    done = check(kto())
    assert named(done) == []
    assert next(line for line in done.files if line.path.name == "rated.jsonl").used == 12
    assert ("error", "conversation_too_long", "dpo") in named(check(kto(max_length=5)))
    write(home / "rated.jsonl", [*rows, {"prompt": QUESTIONS[30], "completion": "It is 60.", "label": True}])
    assert named(check(kto())) == [("warning", "held_out_contamination", "compare")]


@pytest.mark.parametrize(
    ("stage", "changes"),
    [
        ("dpo", {"dpo.data": "odd.jsonl"}),
        ("scorer", {"scorer.held_out": {"people": "odd.jsonl"}}),
        ("pairs", {"pairs.sources": ["odd.jsonl"]}),
    ],
)
def test_a_stage_of_whose_rows_none_is_left_is_an_error_before_it_runs(
    check: Checker, home: Path, stage: str, changes: dict[str, Any]
) -> None:
    rows = [{"prompt": f"q{n}", "completion": "a", "label": True} for n in range(3)]
    write(home / "odd.jsonl", rows)
    done = check(changes)
    assert ("error", "nothing_left", stage) in named(done)
    assert "all 3 rows are left out (no_counterpart 3)" in message(done, "nothing_left")
    write(home / "odd.jsonl", [*rows, {"prompt": "q2", "completion": "b", "label": False}])
    assert "nothing_left" not in {finding.id for finding in check(changes).findings}


def test_soft_labels_of_pairs_that_kto_learns_from_are_an_error_before_it_runs(check: Checker, home: Path) -> None:
    rows = [{"prompt": f"q{n}", "chosen": "It is.", "rejected": "No.", "p_chosen": p} for n, p in enumerate((1, 0.5))]
    write(home / "pairs.jsonl", rows)
    pairs = kto(data="pairs")
    done = check(pairs)
    assert ("error", "soft_labels", "dpo") in named(done)
    assert "1 of 2 pairs of pairs have a soft label (1 of them ties" in message(done, "soft_labels")
    assert "stages.pairs.filters.ties: drop" in message(done, "soft_labels")
    assert "soft_labels" not in {f.id for f in check({**pairs, "pairs.filters": {"ties": "drop"}}).findings}
    write(home / "pairs.jsonl", [*rows, {**rows[0], "prompt": "q2", "p_chosen": 0.7}])
    assert "Train by dpo" in message(check(pairs), "soft_labels")


def test_pairs_left_out_of_a_ranking_are_not_taken_for_its_rows(check: Checker, home: Path) -> None:
    answers = [{"response": text, "overall_score": score} for text, score in (("a", 3), ("a", 2), ("b", 1))]
    write(home / "odd.jsonl", [{"instruction": "q", "completions": answers}])
    done = check({"pairs.sources": ["odd.jsonl"], "pairs.on_identical": "drop"})
    assert "1 of 1 rows left out: identical" in message(done, "rows_left_out")
    assert "nothing_left" not in {finding.id for finding in done.findings}


def test_a_bad_row_is_told_with_file_and_line_and_the_other_files_are_read(check: Checker, home: Path) -> None:
    with (home / "pairs.jsonl").open("a") as stream:
        stream.write(json.dumps({"prompt": "q", "chosen": "same", "rejected": "same"}) + "\n")
    done = check()
    assert named(done) == [("error", "data_unusable", "pairs")]
    assert "pairs.jsonl:31" in message(done, "data_unusable")
    assert "held_out.jsonl" in {line.path.name for line in done.files}
    dropped = check({"pairs.on_identical": "drop"})
    assert dropped.passed and "1 of 31 rows left out: identical" in message(dropped, "rows_left_out")


def test_pairs_won_by_length_are_a_warning(check: Checker, home: Path) -> None:
    rows = [
        {"prompt": q, "chosen": f"It is {n}, and that is all.", "rejected": "No."} for n, q in enumerate(QUESTIONS[:30])
    ]
    write(home / "pairs.jsonl", rows)
    done = check()
    assert named(done) == [("warning", "length_bias", "pairs")]
    assert "the chosen answer is longer in 100% of 30 untied pairs" in message(done, "length_bias")


def test_pairs_that_contradict_each_other_are_a_warning_with_examples_and_advice(check: Checker, home: Path) -> None:
    rows = [json.loads(line) for line in (home / "pairs.jsonl").read_text().splitlines()]
    turned = [row | {"chosen": row["rejected"], "rejected": row["chosen"]} for row in rows[:3]]
    write(home / "pairs.jsonl", rows + turned)
    done = check()
    assert ("warning", "contradictory", "pairs") in named(done)
    assert "such as pairs:1, pairs:2, pairs:3" in message(done, "contradictory")
    assert "--drop-lint contradictory" in message(done, "contradictory")


def test_demonstrations_of_one_narrow_kind_are_a_warning(check: Checker, home: Path) -> None:
    rows = [
        {"id": f"d{n}", "messages": user(f"What is {n} and {n}?") + assistant(f"It is {2 * n}.")} for n in range(60)
    ]
    write(home / "demonstrations.jsonl", rows)
    done = check({"compare.prompts": "prompts.jsonl", "gate": None})
    assert {("warning", name, "demo") for name in ("prompt_kinds", "no_small_talk", "no_multi_turn")} <= set(
        named(done)
    )
    assert "small talk" in message(done, "no_small_talk")


def test_the_lint_sees_what_the_filters_left(check: Checker, home: Path) -> None:
    rows = [json.loads(line) for line in (home / "pairs.jsonl").read_text().splitlines()]
    write(home / "pairs.jsonl", rows + rows)
    assert named(check()) == []
    assert ("warning", "exact_duplicate", "pairs") in named(check({"pairs.filters": {"duplicates": "keep"}}))


def test_prompts_that_the_reward_model_never_saw_the_like_of_are_a_warning(check: Checker, home: Path) -> None:
    pairs = [
        {
            "prompt": f"What is {n} and {n}?",
            "chosen": f"It is {2 * n}.",
            "rejected": "No idea, sorry." if n % 2 else "No.",
        }
        for n in range(300)
    ]
    write(home / "pairs.jsonl", pairs)
    write(home / "prompts.jsonl", [{"id": f"p{n}", "messages": user(f"Sing of moon {n}!")} for n in range(30)])
    done = check({"compare.prompts": "prompts.jsonl", "gate": None})
    assert ("warning", "uncovered_prompts", "ppo") in named(done)
    assert "30 of 30 prompts" in message(done, "uncovered_prompts")


def test_filters_that_leave_nothing_are_an_error(check: Checker) -> None:
    done = check({"pairs.filters": {"max_length_ratio": 0.1}})
    assert ("error", "pairs_filtered", "pairs") in named(done)
    assert "of 30 pairs from files 0 are kept" in message(done, "pairs_filtered")


def test_pairs_between_both_parts_are_told_and_paraphrases_that_cannot_be_found_are_an_error(
    check: Checker, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    for n in range(40):
        words = [f"word{n}x{i}" for i in range(60)]
        for i, text in enumerate(([*words[:-2], "left", "end"], ["other", "start", *words[2:]], words)):
            answers = {"chosen": assistant("Aha, yes."), "rejected": assistant("Oh no.")}
            rows.append({"id": f"{n}.{i}", "prompt": user(" ".join(text)), **answers})
    write(home / "pairs.jsonl", rows)
    held_out = {"pairs.held_out_groups": "paraphrases", "pairs.held_out_fraction": 0.5}
    assert "are near duplicates both of pairs to train on and of" in message(check(held_out), "pairs_near_both_parts")
    monkeypatch.setattr("boresight.data.split.minima_by_rensa", lambda: None)
    assert "`held_out_groups: beginnings`" in message(check(held_out), "paraphrases_not_searched")


def test_a_control_token_in_a_prompt_is_found(check: Checker, home: Path) -> None:
    with (home / "prompts.jsonl").open("a") as stream:
        stream.write(json.dumps({"id": "forged", "messages": user("hi <|im_end|>")}) + "\n")
    done = check()
    assert named(done) == [("error", "conversation_unusable", "ppo")]
    assert message(done, "conversation_unusable").startswith("forged:")


def test_long_records_are_a_note_where_the_stage_drops_them(check: Checker, home: Path) -> None:
    long = {"id": "long", "messages": user("x" * 300), "expect": RULES}
    with (home / "held_out.jsonl").open("a") as stream:
        stream.write(json.dumps(long) + "\n")
    assert ("error", "prompt_too_long", "compare") in named(check())
    dropped = check({"compare.on_too_long": "drop"})
    assert named(dropped) == []
    assert "1 of 11 prompts" in message(dropped, "prompt_too_long") and "long has" in message(
        dropped, "prompt_too_long"
    )


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model whose tokenizer has a chat template: one that was fine-tuned elsewhere."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = tiny_tokenizer()
    tiny_llama(tokenizer, context_length=128).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


FROM_BASE = {"base": None, "demo": None} | {
    key: "base_model" for key in ("scorer.start", "ppo.policy", "ppo.reference", "dpo.policy", "dpo.reference")
} | {"compare.baseline": "base_model"}  # fmt: skip


def test_a_base_model_with_its_own_template_counts_as_fine_tuned(check: Checker, base_folder: Path) -> None:
    done = check(FROM_BASE, path=str(base_folder))
    assert named(done) == []
    assert "chat template of base_model" in message(done, "template_probed")
    assert {line.stage for line in done.memory} == {"scorer", "ppo", "dpo", "compare"}


def test_a_base_model_without_a_template_needs_one_and_fine_tuning(
    check: Checker, base_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(base_folder, folder, ignore=shutil.ignore_patterns("chat_template.jinja"))
    without = check(FROM_BASE, path=str(folder))
    assert ("error", "template_unusable", None) in named(without)
    assert "model.chat_template: chatml" in message(without, "template_unusable")
    given = check(FROM_BASE, path=str(folder), chat_template="chatml")
    assert [f for f in named(given) if f[0] == "error"] == [
        ("error", "reward_model_not_fine_tuned", "scorer"),
        ("error", "policy_not_fine_tuned", "ppo"),
        ("error", "policy_not_fine_tuned", "dpo"),
    ]


def test_a_template_that_breaks_the_mask_is_an_error(check: Checker, base_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(base_folder, folder)
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    )
    done = check(FROM_BASE, path=str(folder))
    assert ("error", "template_unusable", None) in named(done)
    assert "stop token" in message(done, "template_unusable")


def test_a_name_on_a_hub_is_said_to_be_unknown_here(check: Checker) -> None:
    done = check(FROM_BASE, path="someone/model")
    assert named(done) == []
    assert "someone/model is no folder here" in message(done, "not_tokenised")
    assert "only the name is known" in message(done, "start_unknown")
    assert done.memory == []


def test_memory_that_cannot_suffice_is_an_error_and_a_rough_excess_a_warning(check: Checker) -> None:
    lines = {line.stage: line.memory for line in check().memory}
    ppo = lines["ppo"]
    tight = check(machine=Machine("memory", ppo.certain + 1))
    assert ("warning", "memory_tight", "ppo") in named(tight) and tight.passed
    small = check(machine=Machine("GPU", ppo.certain - 1))
    assert ("error", "memory_exceeded", "ppo") in named(small)
    assert "of GPU" in message(small, "memory_exceeded")


def test_what_processes_share_is_held_against_a_gpu_each_and_the_rest_as_ever(check: Checker) -> None:
    roomy = Machine("GPU", 2**40)
    alone, four = ({line.stage: line.memory for line in check(machine=roomy, processes=n).memory} for n in (1, 4))
    assert four["ppo"].weights == pytest.approx(alone["ppo"].weights / 4, abs=4)
    assert four["base"] == alone["base"]
    tight = Machine("GPU", alone["ppo"].certain - 1)
    assert ("error", "memory_exceeded", "ppo") in named(check(machine=tight))
    assert not any(stage == "ppo" for _, _, stage in named(check(machine=tight, processes=4)))


def test_four_bit_weights_where_they_cannot_be_had_are_an_error(check: Checker) -> None:
    done = check({"dpo.lora": {}, "dpo.quantization": "4bit"}, machine=Machine("memory", 2**40))
    assert ("error", "quantization_missing", "dpo") in named(done)
    assert "no CUDA device" in message(done, "quantization_missing")
    if importlib.util.find_spec("bitsandbytes") is None:
        done = check({"dpo.lora": {}, "dpo.quantization": "4bit"}, machine=Machine("GPU", 2**40))
        assert "pip install 'boresight[qlora]'" in message(done, "quantization_missing")


@pytest.mark.parametrize(
    ("dtype", "able", "warned"),
    [("bfloat16", False, True), ("bfloat16", True, False), ("bfloat16", None, False), ("float32", False, False)],
)
def test_bfloat16_that_a_processor_has_to_imitate_is_warned_of(
    check: Checker, dtype: str, able: bool | None, warned: bool
) -> None:
    done = check(machine=Machine("memory", 2**40, bfloat16=able), dtype=dtype)
    assert (("warning", "bfloat16_in_software", None) in named(done)) == warned and done.passed


def test_this_machine_has_memory() -> None:
    machine = this_machine()
    assert machine.available > GIB / 4 and (machine.bfloat16 is None) == (machine.kind == "GPU" or cpu_flags() is None)


def test_errors_can_be_asked_for_some_stages(check: Checker) -> None:
    done = check({"scorer.start": "base", "ppo.max_new_tokens": 120})
    assert [f.id for f in done.errors(["ppo"])] == ["prompt_too_long"]
    assert done.errors(["gate"]) == []


def test_as_json_holds_everything_and_is_json(check: Checker) -> None:
    done = check({"ppo.kl_coefficient": 0.0})
    found = json.loads(json.dumps(as_json(done, graph=True)))
    assert found["passed"] is True and found["counts"] == {"error": 0, "warning": 1, "note": 1}
    assert found["findings"][0]["id"] == "kl_coefficient_low" and found["findings"][0]["stage"] == "ppo"
    assert {stage["name"] for stage in found["stages"]} == set(STAGES)
    assert found["graph"].startswith("flowchart TD")
    line = next(line for line in found["memory"]["stages"] if line["stage"] == "demo")
    assert line["total"] == sum(
        line[p] for p in ("weights", "gradients", "moments", "frozen", "activations", "overhead")
    )
    assert "graph" not in as_json(done)


def test_a_pipeline_without_tokenizer_and_rules_is_checked_without_torch(home: Path) -> None:
    stages = {
        "pairs": STAGES["pairs"],
        "scorer": {"kind": "reward_model", "start": "base_model", "data": "pairs"},
        "dpo": {"kind": "dpo", "policy": "base_model", "reference": "base_model", "data": "pairs"},
    }
    path = home / "pipeline.yaml"
    path.write_text(yaml.safe_dump({"run": {"name": "t"}, "model": {"path": "someone/model"}, "stages": stages}))
    assert not needs_models(load_pipeline(path))
    program = (
        "import sys\n"
        "from boresight.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "check", str(path), "--json"], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.strip() == "[]"
    assert json.loads(ended.stdout)["passed"] is True


def test_the_embedded_example_is_found_beside_an_editable_install_and_inside_a_wheel(tmp_path: Path) -> None:
    example = find_example()
    assert (example / "pipeline.yaml").is_file()
    package = tmp_path / "site-packages/boresight"
    (package / "embedded").mkdir(parents=True)
    shutil.copytree(example, package / "embedded/kube_assistant", ignore=shutil.ignore_patterns("*.jsonl", "*.csv"))
    assert find_example(package) == package / "embedded/kube_assistant"


def test_an_installation_without_the_example_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not part of this installation") as error:
        find_example(tmp_path / "a/b")
    assert str(tmp_path / "a/b/embedded/kube_assistant") in str(error.value)


def test_copy_example_brings_all_that_the_pipeline_reads_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    pipeline = copy_example(target)
    read = {path for stage in pipeline.stages for paths in pipeline.file_inputs(stage).values() for path in paths}
    assert read and all(path.is_relative_to(target.resolve()) for path in read)
    assert {path for path in target.rglob("*") if path.is_file()} == {*read, target / "pipeline.yaml"}
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(ConfigError, match="holds files already"):
        copy_example(target)
