from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.config.load import load_pipeline
from boresight.errors import ConfigError

WHOLE_PATH = """\
run: {name: kube-assistant, seed: 7}
stages:
  gate: {kind: gate, of: compare, candidates: [ppo], measures: {states_truth: {min: 0.5}}}
  base: {kind: pretrain, data: data/docs.txt, steps: 400}
  demo: {kind: sft, start: base, data: [data/demos.jsonl], epochs: 1}
  drafts: {kind: sample, policy: demo, prompts: data/prompts.jsonl}
  labels: {kind: ai_labels, responses: drafts, judge: {kind: rules, noise: 0.1}}
  pairs: {kind: preferences, sources: [data/pairs.csv, labels]}
  scorer: {kind: reward_model, start: demo, data: pairs, held_out: {people: data/pairs.csv}}
  ppo:
    kind: ppo
    policy: demo
    reference: demo
    reward: scorer
    prompts: data/prompts.jsonl
    steps: 30
    kl_coefficient: 0.05
  rloo: {kind: rloo, policy: demo, reference: demo, reward: scorer, prompts: data/prompts.jsonl, steps: 30}
  dpo: {kind: dpo, policy: demo, reference: demo, data: pairs}
  orpo: {kind: orpo, start: base, data: data/pairs.csv}
  compare:
    kind: evaluate
    candidates: [ppo, dpo]
    baseline: demo
    prompts: data/prompts.jsonl
    judge: {kind: reward_model, model: scorer}
  simpo: {kind: simpo, start: demo, data: pairs}
  kto: {kind: kto, policy: demo, reference: demo, data: data/pairs.csv}
quick:
  stages.base.steps: 4
  stages.ppo.steps: 2
"""
"""Every kind of stage once; the gate stands first, so that the order of the file is not the order of running."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with data files, so that paths in messages are short."""
    (tmp_path / "data").mkdir()
    for name in ("docs.txt", "demos.jsonl", "prompts.jsonl", "pairs.csv"):
        (tmp_path / "data" / name).write_text("x\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str], Path]:
    """Writes a pipeline file `align.yaml` and gives its path, relative as a user would type it."""

    def write_file(text: str) -> Path:
        (folder / "align.yaml").write_text(text, encoding="utf-8")
        return Path("align.yaml")

    return write_file


@pytest.fixture
def whole(write: Callable[[str], Path]) -> Path:
    return write(WHOLE_PATH)


@pytest.fixture
def problems(write: Callable[[str], Path]) -> Callable[..., list[str]]:
    """The problems of a pipeline text with overrides."""

    def load_faulty(text: str, *overrides: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_pipeline(write(text), overrides)
        return caught.value.problems

    return load_faulty


@pytest.fixture
def problems_of_change(problems: Callable[..., list[str]]) -> Callable[[str, str], list[str]]:
    """The problems of the whole path with one piece of text replaced."""

    def load_changed(old: str, new: str) -> list[str]:
        assert WHOLE_PATH.count(old) == 1, old
        return problems(WHOLE_PATH.replace(old, new))

    return load_changed
