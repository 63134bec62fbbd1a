"""Loading, training and asking through the Python API, and what a notebook shows."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import boresight as bs
from boresight.api.notebook import as_html, as_markdown
from boresight.config.pipeline import Pipeline
from boresight.pipeline.run import Outcome
from boresight.tables import Table
from tests.cli.conftest import write_lines

VOID = {"path", "use", "br", "meta"}


class Tree(HTMLParser):
    """Counts elements and holds every one to be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: dict[str, int] = {}
        self.ids: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] = self.seen.get(tag, 0) + 1
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_run_shows_its_stages_and_the_curves_of_those_that_train(tiny: bs.Run) -> None:
    tree = Tree(tiny._repr_html_())
    assert tree.seen["svg"] == 2 and tree.seen["table"] == 1 and tree.seen["tr"] >= 5
    assert len(set(tree.ids)) == len(tree.ids)
    assert "| stage | kind | state | result |" in tiny._repr_markdown_()
    assert len(tiny.metrics("demo").series("loss/total")) == 120 and tiny.result("demo")["steps"] == 120
    assert tiny.stages == {"base": "pretrain", "demo": "sft", "compare": "evaluate", "gate": "gate"} and tiny.passed
    with pytest.raises(bs.BoresightError, match="no finished stage 'dmeo'; expected one of base, demo"):
        tiny.metrics("dmeo")
    with pytest.raises(bs.BoresightError, match="several models; expected one of base, demo"):
        tiny.model()


def test_one_model_leads_to_the_next_and_answers(tiny: bs.Run, tmp_path: Path) -> None:
    """Of four questions the model of the run was taught one answer each; two steps do not make it forget them."""
    model = tiny.model("demo")
    assert isinstance(model, bs.Model) and model.ask("ping") == "pong"
    pairs = [{"prompt": "ping", "chosen": "pong", "rejected": f"no {n}"} for n in range(4)]
    write_lines(tmp_path / "pairs.jsonl", pairs)
    options: dict[str, Any] = {"data": tmp_path / "pairs.jsonl", "epochs": 1, "batch_size": 2}
    trained = bs.train("dpo", model=tiny.folder / "stages/demo", out=tmp_path / "dpo", learning_rate=1e-6, **options)
    assert trained.result("dpo")["pairs"] == 4
    aligned = trained.model()
    assert isinstance(aligned, bs.Model) and aligned.ask("ping", seed=1) == "pong"
    assert aligned.to_dict()["context"] == 96 and "LlamaForCausalLM" in str(aligned)
    scorer = bs.train("reward_model", model=trained, out=tmp_path / "rm", learning_rate=1e-3, **options).model()
    assert isinstance(scorer, bs.RewardModel)
    assert scorer.score("ping", "pong") != scorer.score("ping", "no 1")
    with pytest.raises(bs.BoresightError, match="no such kind of stage; expected one of pretrain, sft"):
        bs.train("dpoo", out=tmp_path / "x")


def test_a_path_is_loaded_as_what_lies_there(tiny: bs.Run) -> None:
    home = tiny.folder.parent
    assert isinstance(bs.load(tiny.folder), bs.Run)
    assert isinstance(bs.load(home / "pipeline.yaml"), bs.Pipeline)
    assert isinstance(bs.load(tiny.folder / "stages/demo"), bs.Model)
    data = bs.load(home / "demonstrations.jsonl")
    assert isinstance(data, bs.Data) and data.kind == "demonstrations" and len(list(data)) == len(data) == 5


def test_data_of_each_kind_hands_out_its_records(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("question,best,worst\nq,a,b\nq,a,a\n")
    columns = {"prompt": "question", "chosen": "best", "rejected": "worst"}
    data = bs.load_data(tmp_path / "pairs.csv", columns=columns)
    assert [pair.chosen[0].content for pair in data.records] == ["a", "a"]  # type: ignore[union-attr]
    assert data.lint().passed is False
    (tmp_path / "docs.txt").write_text("one\n\ntwo\n")
    assert list(bs.load_data(tmp_path / "docs.txt")) == ["one", "two"]
    write_lines(tmp_path / "prompts.jsonl", [{"prompt": "q"}])
    assert len(bs.load_data(tmp_path / "prompts.jsonl").records) == 1


def test_a_diagnosis_shows_the_signals_of_its_findings(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = "".join(f"{step},{2 - step / 50 if step < 25 else 'nan'},1.0\n" for step in range(30))
    log.write_text(f"step,loss,grad_norm\n{rows}")
    found = bs.diagnose(log)
    tree = Tree(found._repr_html_())
    assert found.verdict == "failing" and tree.seen["svg"] == 1
    assert found.findings[0].id in found._repr_html_()


@pytest.mark.parametrize(
    ("kind", "logged", "titles"),
    [
        ("reward_model", ["loss/preference", "reward/accuracy", "eval/ece"], ["Loss", "Accuracy", "Calibration error"]),
        ("pretrain", ["loss/total"], ["Loss"]),
        ("dpo", ["loss/total", "reward/margin"], ["Loss", "Margin"]),
    ],
)
def test_a_diagnosis_shows_what_a_stage_of_its_kind_is_looked_at_by(
    kind: str, logged: list[str], titles: list[str], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"kind": kind}))
    write_lines(
        tmp_path / "metrics.jsonl", [{"step": n, "split": "train"} | dict.fromkeys(logged, 1 / n) for n in (1, 2)]
    )
    html = bs.diagnose(tmp_path)._repr_html_()
    assert [title for title in titles if f">{title}<" not in html] == []


def test_rates_are_drawn_with_their_intervals(tiny: bs.Run) -> None:
    html = bs.evaluate.winrate(tiny.folder / "stages/compare/comparisons.jsonl")._repr_html_()
    assert Tree(html).seen["svg"] == 1 and "even" in html


def test_nothing_in_data_becomes_markup() -> None:
    evil = '<script>alert("x")</script> | `a` **b**'
    html = as_html([evil, Table([["name"], [evil]])])
    assert "<script" not in html and html.count("&lt;script&gt;") == 2
    text = as_markdown([f"```\n{evil}", Table([["name"], [evil]])])
    assert text.startswith("````text\n") and r"\<script\>alert" in text and r"\| \`a\` \*\*b\*\*" in text


def test_settings_are_changed_by_mapping_as_by_text(tiny: bs.Run) -> None:
    path = tiny.folder / "pipeline.yaml"
    mapped = bs.load_pipeline(path, overrides={"stages.demo.learning_rate": 1e-7, "run.regulated": True})
    told = bs.load_pipeline(path, overrides=["stages.demo.learning_rate=1e-7", "run.regulated=true"])
    assert mapped.to_yaml() == told.to_yaml() and "regulated: true" in told.to_yaml()
    assert bs.load_pipeline(path, overrides="run.seed=9").seed == 9
    with pytest.raises(bs.BoresightError, match="is loaded already"):
        bs.load_pipeline(mapped, quick=True)


def test_a_pipeline_loaded_as_a_smoke_test_runs_in_the_folder_of_one(
    tiny: bs.Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick = bs.load_pipeline(tiny.folder / "pipeline.yaml", quick=True)
    monkeypatch.chdir(tmp_path)

    def build(pipeline: Pipeline, folder: Path, **options: object) -> Outcome:
        raise bs.BoresightError(str(folder))

    with pytest.raises(bs.BoresightError, match=r"^runs/tiny-quick$"):
        bs.run(quick, check_first=False, build=build, say=lambda line: None)
