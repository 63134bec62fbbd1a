"""The files that the pages speak of, made here: a run of all kinds of stages, pairs, logs, verdicts, votes."""

import csv
import gzip
import json
import random
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from boresight.cli.label_import import read_and_add
from boresight.cli.main import app
from boresight.config.load import load_pipeline
from boresight.data.jsonl import write_records
from boresight.feedback.judged_couples import write_judged
from boresight.pipeline.run import run_pipeline
from boresight.records import Prompt
from boresight.web.annotation.people import add_person, all_people
from boresight.web.annotation.projects import all_projects
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import open_store
from tests.feedback.planted_couples import JUDGE, Planted, people_on, planted_couples
from tests.feedback.test_rubric_judge import response
from tests.pipeline import tiny_pipeline as tiny

RUN = "kube-assistant"
"""The run of the embedded example has this name on the pages; here a run of seconds stands in its place."""


FEWER: dict[str, dict[str, int]] = {
    "base": {"steps": 3},
    "demo": {"steps": 3},
    "drafts": {"responses_per_prompt": 2},
    "labels": {"pairs_per_prompt": 1},
    "scorer": {"epochs": 1, "batch_size": 16},
    "ppo": {"steps": 3, "prompts_per_step": 2},
    "dpo": {"batch_size": 16},
}
"""Of the tiny pipeline, which is run whole by some pages."""

MINE = """\
run: {name: mine, threads: 1}
model: {path: models/base}
stages:
  ppo: {kind: ppo, policy: base_model, reference: base_model, reward: {kind: rules}, value_start: policy,
        prompts: prompts.jsonl, steps: 1, prompts_per_step: 4, max_new_tokens: 6, lora: {rank: 2}}
"""
"""A run whose policy has adapters."""


def build_world(folder: Path) -> None:
    """Everything that does not need a judge. The run is made once and copied for each page."""
    tiny.write_data(folder)
    (folder / "held_out.jsonl").rename(folder / "asked.jsonl")
    shutil.copy(folder / "pairs.jsonl", folder / "held_out.jsonl")
    whole = yaml.safe_load(tiny.TEXT.replace("held_out.jsonl", "asked.jsonl"))
    whole["run"]["name"] = RUN
    for kind in ("orpo", "simpo", "kto", "rloo"):
        del whole["stages"][kind]  # they make the report longer, and no page looks at them
    for stage in whole["stages"].values():
        stage.pop("checkpoint_every", None)  # nothing is interrupted here
    for name, fewer in FEWER.items():
        whole["stages"][name] |= fewer
    whole["stages"]["compare"]["candidates"] = ["ppo", "dpo"]
    run_pipeline(
        tiny.load(folder, text=yaml.safe_dump(whole, sort_keys=False)), folder / "runs" / RUN, say=lambda line: None
    )
    stages = folder / "runs" / RUN / "stages"
    for place in ("models/base", "models/judge", "models/demo"):
        shutil.copytree(stages / "demo/model", folder / place)
    shutil.copytree(folder / "runs" / RUN, folder / "runs" / f"{RUN}-2")
    for name in ("NAME", "helpful"):  # pages only read these
        (folder / "runs" / name).symlink_to(RUN)
    shutil.copytree(stages / "scorer/model", folder / "scorer")
    (folder / "mine.yaml").write_text(MINE)
    run_pipeline(load_pipeline(folder / "mine.yaml"), folder / "runs/mine", say=lambda line: None)
    _pairs(folder)
    _logs(folder)
    _verdicts(folder)
    _probes(folder)
    _judged(folder)
    read_and_add([folder / "tasks.jsonl"], str(folder / "labels.db"), "labels", Settings(overlap=2), pairs=False)
    annotate(folder / "labels.db")
    _configs(folder)
    (folder / "backups").mkdir()


def _pairs(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [tuple(row[key][0]["content"] for key in ("prompt", "chosen", "rejected")) for row in rows]
    _table(folder / "pairs.csv", ("prompt", "good_answer", "bad_answer"), texts)
    _table(folder / "answers.csv", ("question", "best", "worst"), texts)
    held = [(f"Is it so that {a}?", b, c) for a, b, c in texts[:12]]
    _table(folder / "held_out.csv", ("prompt", "good_answer", "bad_answer"), held)
    half = len(rows) // 2
    tiny.write_lines(folder / "train.jsonl", rows[:half])
    tiny.write_lines(folder / "test.jsonl", rows[half:])
    shutil.copy(folder / "prompts.jsonl", folder / "ppo_prompts.jsonl")
    (folder / "hh").mkdir()
    for place in ("hh/train.jsonl.gz", "hh.jsonl.gz"):
        _dialogues(folder / place, texts)
    write_published(folder / "FOLDER")
    tasks = [
        {"id": f"t{n}", "prompt": a, "responses": [f"yes, {b}", f"no, {c}"]} for n, (a, b, c) in enumerate(texts[:6])
    ]
    tiny.write_lines(folder / "tasks.jsonl", tasks)


def write_published(folder: Path) -> None:
    """The files of HH-RLHF by their names, with a few harmless rows in their form."""
    folder.mkdir(parents=True)
    kinds = [f"{kind}-base.{part}" for kind in ("helpful", "harmless") for part in ("train", "test")]
    texts = [(f"{a} {b}", f"{b} {a}", "no idea") for a in tiny.WORDS for b in tiny.WORDS[:3] if a != b]
    for name in (*kinds, "helpful-online", "helpful-rejection-sampled"):
        _dialogues(folder / f"{name}.jsonl.gz", texts)


def _dialogues(place: Path, texts: Iterable[Sequence[str]]) -> None:
    with gzip.open(place, "wt", encoding="utf-8") as file:
        for a, b, c in texts:
            row = {"chosen": f"\n\nHuman: {a}\n\nAssistant: {b}", "rejected": f"\n\nHuman: {a}\n\nAssistant: {c}"}
            file.write(json.dumps(row) + "\n")


def _logs(folder: Path) -> None:
    """A healthy DPO run as another framework logs it: the margin widens, and both log-probabilities fall a little."""
    draw = random.Random(3)
    rows = [
        {
            "step": step, "loss": 0.69 - 0.01 * step, "grad_norm": 1.0 + 0.1 * draw.random(), "learning_rate": 5e-7,
            "rewards/chosen": 0.01 * step, "rewards/rejected": -0.02 * step, "rewards/margins": 0.03 * step,
            "rewards/accuracies": min(0.9, 0.5 + 0.02 * step), "logps/chosen": -50.0, "logps/rejected": -50.0 - step,
        }
        for step in range(1, 31)
    ]  # fmt: skip
    (folder / "output").mkdir()
    (folder / "output/trainer_state.json").write_text(json.dumps({"log_history": rows}))
    (folder / "train.log").write_text("".join(f"{row}\n" for row in rows))


def _verdicts(folder: Path) -> None:
    draw = random.Random(5)
    items = range(40)
    for model in ("one", "two"):
        (folder / "results" / model).mkdir(parents=True)
        annotations = [
            {
                "instruction": f"question {n}", "output_1": "a" * draw.randint(5, 60),
                "output_2": "b" * draw.randint(5, 60), "generator_1": "baseline", "generator_2": model,
                "preference": 1 + draw.random(),
            }
            for n in items
        ]  # fmt: skip
        (folder / "results" / model / "annotations.json").write_text(json.dumps(annotations))
    tiny.write_lines(
        folder / "battles.jsonl",
        [
            {"question_id": n, "model_a": a, "model_b": b, "winner": draw.choice(["model_a", "model_b", "tie"])}
            for n in items
            for a, b in (("gpt-4", "one"), ("gpt-4", "two"), ("one", "two"))
        ],
    )
    labels = [(n, draw.choice("12"), draw.choice("12")) for n in items]
    _table(folder / "labels.csv", ("id", "anna", "ben"), labels)
    _table(folder / "ratings.csv", ("id", "anna", "ben"), labels)
    rated = [
        {
            "idx": n, "instruction": f"question {n}", "input": "", "response1": "yes", "response2": "no",
            **{f"annotator{who}": draw.choice([1, 2]) for who in (1, 2, 3)},
        }
        for n in items
    ]  # fmt: skip
    (folder / "testset-v1.json").write_text(json.dumps(rated))
    for name, column in (("judge-verdicts", "judge_result"), ("gpt-3.5-turbo", "gpt_result")):
        verdicts = [{"idx": n, column: draw.choice(["1", "2", "Tie"])} for n in items]
        (folder / f"{name}.json").write_text(json.dumps(verdicts))
    held = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in ("scores", "other_scores", "old_scores"):
        scores = [
            {"id": row["id"], "chosen_score": draw.random() + 0.5, "rejected_score": draw.random()} for row in held
        ]
        tiny.write_lines(folder / f"{name}.jsonl", scores)


def _probes(folder: Path) -> None:
    """Harmless and harmful requests, and what two models answered."""
    kinds = ("homonyms", "contrast_homonyms")
    asked = [(n, f"How do I {word} a process?", kinds[n % 2]) for n, word in enumerate(("end", "kill", "stop", "hang"))]
    _table(folder / "xstest_prompts.csv", ("id", "prompt", "type"), asked)
    for name, answer in (("new", "I cannot help with that."), ("old", "Use its number.")):
        tiny.write_lines(folder / f"{name}.jsonl", [{"prompt": text, "response": answer} for _, text, _ in asked])


def _configs(folder: Path) -> None:
    """Configs of other tools, as somebody who comes from one has them."""
    (folder / "dpo.yaml").write_text("model_name_or_path: models/base\ndataset_name: pairs.jsonl\nbeta: 0.1\n")
    (folder / "qwen_lora_dpo.yaml").write_text(
        "model_name_or_path: models/base\nstage: dpo\nfinetuning_type: lora\ndataset: pairs\ntemplate: qwen\n"
    )
    (folder / "qlora.yml").write_text(
        "base_model: models/base\nadapter: lora\nlora_r: 8\nlora_alpha: 16\n"
        "datasets: [{path: demonstrations.jsonl, type: chat_template}]\nnum_epochs: 1\n"
        "micro_batch_size: 2\nlearning_rate: 2e-4\n"
    )


def _judged(folder: Path) -> None:
    """Responses to judge, the same couples as three judges saw them, and people's votes on them."""
    planted = [
        (replace(couple, a=_worth(couple.a, better == 1), b=_worth(couple.b, better == 2)), better)
        for couple, better in planted_couples(36, Planted(noise=0.1), per_prompt=1)
    ]
    couples = [couple for couple, _ in planted]
    asked = [Prompt(id=couple.prompt_id, messages=couple.prompt) for couple in couples]
    answers = [
        replace(response(prompt.id, number, text), prompt=prompt)
        for couple, prompt in zip(couples, asked, strict=True)
        for number, text in enumerate((couple.a, couple.b))
    ]
    write_records(folder / "responses.jsonl", answers)
    for name in ("judged", "gpt", "qwen", "llama"):
        write_judged(folder / f"{name}.jsonl", couples, JUDGE | {"judge": name})
    write_records(folder / "people.jsonl", people_on(planted[:24], noise=0.1))
    write_records(folder / "answers.jsonl", people_on(planted[24:], noise=0.1))
    judged, people, known = (folder / name for name in ("judged.jsonl", "people.jsonl", "calibration.json"))
    _ours("judge", "calibrate", judged, "--human", people, "--out", known)
    _ours("judge", "route", judged, "--calibration", known, "--human", people, "--budget", 12,
          "--out", folder / "ask.jsonl", "--plan", folder / "plan.json")  # fmt: skip


def _ours(*words: object) -> None:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output


def _worth(text: str, better: bool) -> str:
    return f"{text}, quality={0.9 if better else 0.2}"


def annotate(place: Path) -> None:
    """Two people prefer what says yes; once, one of them writes a better answer too. Done before, nothing is added."""
    store = open_store(place)
    project = all_projects(store)[0]
    people = all_people(store) or [add_person(store, name) for name in ("anna", "ben")]
    for person in people[:2]:
        while held := claim(store, project.id, person.id):
            answer: dict[str, Any] = {"preference": -2 if held.responses[0].startswith("yes") else 2}
            if person is people[1] and held.task_id == 1:
                answer["edited"] = {"place": 1, "text": "Yes, and here is how."}
            submit(store, held.task_id, person.id, answer, key=str(held.task_id))
    store.close()


def _table(path: Path, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
