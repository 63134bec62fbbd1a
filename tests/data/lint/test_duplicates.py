"""Rows that stand in the data twice, exactly, nearly, and across splits."""

import builtins
from typing import Any

import numpy as np
import pytest

from boresight.data.lint.duplicates import (
    PERMUTATIONS,
    Duplicates,
    minima_by_rensa,
    near_groups,
    rensa_sketch,
    shingles_of,
)
from boresight.data.lint.row import row_of
from boresight.data.lint.run import lint
from boresight.records import Message
from tests.data.lint.making import found, ids, pair, sound_pairs

PROMPT = "How do I set the pressure of the second pump in the lower hall of the old water works?"
CHOSEN = "Turn the brass valve beside the second pump until the needle stands at four bar, then lock the valve."
REJECTED = "Turn the steel valve beside the first pump until the needle stands at nine bar, then leave it open."


def test_a_row_that_comes_again_is_a_duplicate_and_the_first_is_not() -> None:
    pairs = [*sound_pairs(3), pair(10, PROMPT, CHOSEN, REJECTED), pair(11, PROMPT, CHOSEN, REJECTED)]
    assert ids(pairs, found(pairs, "exact_duplicate")) == ["p11"]
    assert found(pairs, "near_duplicate") is None


def test_case_spaces_and_punctuation_make_a_near_duplicate() -> None:
    pairs = [pair(1, PROMPT, CHOSEN, REJECTED), pair(2, PROMPT.lower(), CHOSEN.replace(",", " "), REJECTED + "!")]
    assert ids(pairs, found(pairs, "near_duplicate")) == ["p2"]
    assert found(pairs, "exact_duplicate") is None


def test_the_same_answers_the_other_way_round_are_no_duplicate() -> None:
    assert found([pair(1, PROMPT, CHOSEN, REJECTED), pair(2, PROMPT, REJECTED, CHOSEN)], "near_duplicate") is None


def test_dialogues_that_differ_in_an_earlier_turn_are_no_exact_duplicates() -> None:
    before = [(Message("user", f"Pump {n}?"), Message("assistant", "Yes."), Message("user", PROMPT)) for n in (1, 2)]
    pairs = [pair(n, turns, CHOSEN, REJECTED) for n, turns in enumerate(before)]
    assert found(pairs, "exact_duplicate") is None


def test_scripts_without_spaces_are_cut_by_characters() -> None:
    assert shingles_of("水泵的压力是四巴", ["水泵的压力是四巴"]) == [
        "水泵的压力",
        "泵的压力是",
        "的压力是四",
        "压力是四巴",
    ]


def test_minima_agree_as_often_as_shingles_overlap() -> None:
    """MinHash estimates the overlap: 80 of 120 shingles shared, 2/3, with a deviation of sqrt(2/9/64) = 0.06."""
    sketch = rensa_sketch()
    assert sketch is not None
    one, other = [f"s{n}" for n in range(100)], [f"s{n}" for n in range(20, 120)]
    minima = sketch([one, other])
    assert minima.shape == (2, PERMUTATIONS)
    assert abs((minima[0] == minima[1]).mean() - 80 / 120) < 0.18


def test_groups_are_told_by_their_first_row_through_a_chain() -> None:
    rng = np.random.default_rng(3)
    base = rng.integers(0, 2**32, size=(1, PERMUTATIONS), dtype=np.uint32)
    near = base.copy()
    near[0, 60:] += 1  # four of 64 minima differ
    far = rng.integers(0, 2**32, size=(1, PERMUTATIONS), dtype=np.uint32)
    assert near_groups(np.concatenate([far, base, near, base])).tolist() == [0, 1, 1, 1]


def test_rows_and_prompts_of_two_splits_are_told() -> None:
    shared = pair(1, PROMPT, CHOSEN, REJECTED)
    done = lint(
        {
            "train": [shared, *sound_pairs(2)],
            "test": [shared, pair(5, "Which pressure does pump 0 in hall 0 need?", "a", "b")],
        }
    )
    rows, prompts = done.finding("duplicate_across_splits"), done.finding("prompt_across_splits")
    assert rows is not None and prompts is not None
    assert list(rows.rows) == [0, 3] and rows.severity == "warning"
    assert list(prompts.rows) == [0, 1, 3, 4]
    assert done.finding("exact_duplicate") is None


def test_without_rensa_exact_duplicates_are_found_and_the_lack_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "rensa":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    done = lint({"data": [pair(1, PROMPT, CHOSEN, REJECTED), pair(2, PROMPT, CHOSEN, REJECTED)]})
    lack = done.finding("near_duplicates_not_searched")
    assert lack is not None and lack.severity == "note" and "boresight[data]" in lack.advice
    assert done.finding("exact_duplicate") is not None


def test_more_rows_than_one_batch_are_sketched_in_order() -> None:
    check = Duplicates(minima_by_rensa())
    pairs = [*sound_pairs(2100), pair(1, PROMPT, CHOSEN, REJECTED), pair(2, PROMPT + " ", CHOSEN + ".", REJECTED)]
    for position, record in enumerate(pairs):
        check.see(row_of(record, position, "data"))
    near = {finding.id: finding for finding in check.findings([p.id for p in pairs])}["near_duplicate"]
    assert 2101 in near.rows
