"""The stage that joins, filters and splits preference data: what it keeps, holds out, and sets aside."""

import json
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
    with pytest.raises(DataError, match=r"boresight\[data\].*held_out_groups: beginnings"):
        build(tmp_path, "sources: [pairs.jsonl], held_out_groups: paraphrases")


def test_rows_that_are_left_out_lie_in_a_side_file_with_file_line_and_reason(tmp_path: Path) -> None:
    lines = [
        '{"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}',
        '{"prompt": "Hi", "chosen": "Hello.", "rejected": 7}',
        "{half a row",
        '{"prompt": "Why?", "chosen": "Because.", "rejected": "Because."}',
        '{"prompt": "Why?", "chosen": " ", "rejected": "Because."}',
    ]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "pairs.csv").write_text("prompt,chosen,rejected\nHi,Hello.\nHi,Hello there.,No.\n", encoding="utf-8")
    choices = "on_unreadable: drop, on_identical: drop, on_empty: drop, held_out_fraction: 0"
    built, result = build(tmp_path, f"sources: [more/pairs.jsonl, pairs.csv], {choices}")
    assert result["dropped"] == {"unreadable": 3, "identical": 1, "empty_chosen": 1}
    assert result["left_out"] == {"file": "left_out.jsonl", "rows": 5}
    aside = [json.loads(line) for line in (built / "left_out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {(row["file"], row["line"]) for row in aside} == {
        ("more/pairs.jsonl", 2), ("more/pairs.jsonl", 3), ("more/pairs.jsonl", 4), ("more/pairs.jsonl", 5),
        ("pairs.csv", 2),
    }  # fmt: skip
    reason = {(row["file"], row["line"]): row["reason"] for row in aside}
    assert reason["more/pairs.jsonl", 2].startswith('more/pairs.jsonl:2: "rejected"')
    assert "chosen and rejected are the same text" in reason["more/pairs.jsonl", 4]
    assert reason["pairs.csv", 2] == "pairs.csv:2: found 2 cells, expected 3 (prompt, chosen, rejected). " + (
        "Put cells that contain ',' in double quotes."
    )
    row = {row["line"]: row["row"] for row in aside if row["file"] == "more/pairs.jsonl"}
    assert row[3] == "{half a row" and row[4]["chosen"] == [{"role": "assistant", "content": "Because."}]
    assert str(tmp_path) not in (built / "left_out.jsonl").read_text(encoding="utf-8"), "equal runs write equal files"


def test_where_nothing_is_left_out_there_is_no_side_file(tmp_path: Path) -> None:
    write_records(tmp_path / "pairs.jsonl", conversations(3))
    built, result = build(tmp_path, "sources: [pairs.jsonl]")
    assert "left_out" not in result and not (built / "left_out.jsonl").exists()
