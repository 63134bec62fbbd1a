"""The stage that joins, filters and splits preference data: what it keeps, holds out, and sets aside."""

from pathlib import Path
from typing import Any

import pytest

from boresight.config.load import load_pipeline
from boresight.data.jsonl import read_records, write_records
from boresight.errors import DataError
from boresight.pipeline.run import run_pipeline
from boresight.records import Message, PreferencePair
from boresight.storage import read_json
from tests.data.lint.making import pair

pytestmark = pytest.mark.usefixtures("quiet_torch")


def build(folder: Path, stage: str) -> tuple[Path, dict[str, Any]]:
    """Run a pipeline of one `preferences` stage; the stage's folder and its result."""
    (folder / "pipeline.yaml").write_text(
        f"run: {{name: x, seed: 1}}\nstages:\n  pairs: {{kind: preferences, {stage}}}\n"
    )
    run_pipeline(load_pipeline(folder / "pipeline.yaml"), folder / "run", say=lambda line: None)
    built = folder / "run" / "stages" / "pairs"
    return built, read_json(built / "result.json")


def conversations(count: int) -> list[PreferencePair]:
    """Questions, and each once more as the beginning of a longer conversation."""
    rows = []
    for n in range(count):
        asked = (Message("user", f"Which pressure does pump {n} need?"),)
        longer = (*asked, Message("assistant", f"{n} bar."), Message("user", "Why?"))
        rows += [pair(2 * n, asked, f"{n} bar.", "None."), pair(2 * n + 1, longer, f"It is pump {n}.", "No idea.")]
    return rows


def test_a_conversation_is_held_out_with_its_beginning(tmp_path: Path) -> None:
    write_records(tmp_path / "pairs.jsonl", conversations(100))
    built, result = build(tmp_path, "sources: [pairs.jsonl], held_out_fraction: 0.3")
    train = {p.prompt[0].content for p in read_records(built / "pairs.jsonl", PreferencePair)}
    held_out = {p.prompt[0].content for p in read_records(built / "held_out.jsonl", PreferencePair)}
    assert not train & held_out and len(train) + len(held_out) == 100
    assert result["train"] + result["held_out"] == result["kept"] == 200


def test_paraphrases_are_held_out_together_and_what_is_near_to_both_sides_is_told(tmp_path: Path) -> None:
    rows = []
    for n in range(40):
        words = [f"word{n}x{i}" for i in range(60)]
        one, other = [*words[:-2], "left", "end"], ["other", "start", *words[2:]]
        rows += [pair(3 * n + i, " ".join(text), "a", "b") for i, text in enumerate((one, other, words))]
    write_records(tmp_path / "pairs.jsonl", rows)
    built, result = build(tmp_path, "sources: [pairs.jsonl], held_out_fraction: 0.5, held_out_groups: paraphrases")
    dropped = read_records(built / "dropped.jsonl", PreferencePair)
    assert dropped and {p.meta["dropped"] for p in dropped} == {"near_both_parts"}
    assert result["dropped"] == {"near_both_parts": len(dropped)} and result["kept"] == 120 - len(dropped)


def test_paraphrases_without_rensa_are_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boresight.data.split.minima_by_rensa", lambda: None)
    write_records(tmp_path / "pairs.jsonl", conversations(3))
    with pytest.raises(
        DataError, match=r"stage pairs: .*boresight\[data\].*stages\.pairs\.held_out_groups: beginnings"
    ):
        build(tmp_path, "sources: [pairs.jsonl], held_out_groups: paraphrases")
