import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from boresight.stats.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    order_agreement,
    percent_agreement,
    rating_table,
)

_ = None
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
# Fleiss' worked example in its usual form: how many of 14 raters put each of 10 subjects in each of 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorff_alpha_gives_the_published_values(level: str, alpha: float) -> None:
    items = [list(row) for row in zip(*KRIPPENDORFF, strict=True)]
    assert krippendorff_alpha(items, level) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


def test_krippendorff_alpha_does_not_care_which_rater_said_it() -> None:
    items = [list(row) for row in zip(*KRIPPENDORFF, strict=True)]
    assert krippendorff_alpha([row[::-1] for row in items]) == pytest.approx(krippendorff_alpha(items), abs=1e-12)


def test_krippendorff_ordinal_refuses_text() -> None:
    with pytest.raises(ValueError, match="numbers in their order"):
        krippendorff_alpha([["low", "high"], ["low", "low"]], "ordinal")


def test_krippendorff_alpha_of_many_items_is_quick_and_near_zero_for_guesses() -> None:
    guesses = np.random.default_rng(0).integers(0, 3, size=(200_000, 3)).astype(float)
    assert krippendorff_alpha(guesses) == pytest.approx(0.0, abs=0.005)


def test_fleiss_kappa_gives_the_published_value() -> None:
    ratings = [[category for category, count in enumerate(row) for _ in range(count)] for row in FLEISS]
    assert fleiss_kappa(ratings) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_refuses_missing_ratings_and_names_the_alternative() -> None:
    with pytest.raises(ValueError, match="krippendorff_alpha"):
        fleiss_kappa([["a", "b"], ["a", None]])


def test_cohen_kappa_by_hand() -> None:
    # 20 both yes, 5 only the first, 10 only the second, 15 both no: observed 0.7, expected 0.5*0.6 + 0.5*0.4 = 0.5.
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert percent_agreement(list(zip(first, second, strict=True))) == pytest.approx(0.7)


def test_perfect_agreement_is_one_and_one_category_is_undefined() -> None:
    assert (
        cohen_kappa([1, 2, 1], [1, 2, 1]) == fleiss_kappa([[1, 1], [2, 2]]) == krippendorff_alpha([[1, 1], [2, 2]]) == 1
    )
    assert math.isnan(cohen_kappa([1, 1], [1, 1]))
    assert math.isnan(krippendorff_alpha([[1, 1], [1, 1]]))


def test_percent_agreement_leaves_out_items_with_one_rating() -> None:
    # (1,1,1) agrees in 3 of 3 pairs, (1,1,2) in 1 of 3, (2) says nothing.
    assert percent_agreement([[1, 1, 1], [1, 1, 2], [2, None, None]]) == pytest.approx((1 + 1 / 3) / 2)


def test_tables_refuse_ragged_rows_and_mixed_labels() -> None:
    with pytest.raises(ValueError, match="same number of raters"):
        rating_table([[1, 2], [1]])
    with pytest.raises(ValueError, match="mix text and numbers"):
        rating_table([["a", 1]])


def _annotations(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        return [[row["annotation_1"], row["annotation_2"]] for row in csv.DictReader(stream)]


@pytest.mark.parametrize(("model", "percent", "kappa"), [("gpt4", 0.984, 0.970), ("mistralguard", 0.938, 0.892)])
def test_xstest_agreement_is_the_published_one(shared_data: Path, model: str, percent: float, kappa: float) -> None:
    ratings = _annotations(shared_data / "xstest" / f"xstest_v2_completions_{model}.csv.gz")
    assert percent_agreement(ratings) == pytest.approx(percent, abs=5e-4)
    assert fleiss_kappa(ratings) == pytest.approx(kappa, abs=5e-4)


def test_pandalm_kappas_are_the_published_ones(shared_data: Path) -> None:
    rows = json.loads(gzip.decompress((shared_data / "pandalm" / "testset-v1.json.gz").read_bytes()))
    ratings = [[row[f"annotator{i}"] for i in (1, 2, 3)] for row in rows]
    columns = list(zip(*ratings, strict=True))
    kappas = [cohen_kappa(columns[i], columns[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert kappas == pytest.approx([0.8520, 0.8789, 0.8617], abs=5e-5)
    # Three raters and much data: Fleiss' kappa and alpha lie beside the mean of the pairwise kappas.
    assert fleiss_kappa(ratings) == pytest.approx(float(np.mean(kappas)), abs=1e-3)
    assert krippendorff_alpha(ratings) == pytest.approx(fleiss_kappa(ratings), abs=1e-3)


LLMBAR = [
    ("GPTInst/ChatGPT_Vanilla", 92, 25, 24, 7, 57), ("GPTInst/LLaMA2_CoT", 92, 33, 33, 12, 48),
    ("LLMEval2/GPT-4_Vanilla_NoRules", 200, 152, 150, 139, 175), ("Manual/ChatGPT_Vanilla", 46, 18, 14, 5, 24),
    ("Manual/LLaMA2_CoT", 46, 18, 18, 6, 22), ("Natural/ChatGPT_Vanilla", 100, 80, 83, 67, 71),
    ("Natural/GPT-4_Vanilla", 100, 95, 96, 93, 95),
]  # fmt: skip


def _verdicts(path: Path) -> tuple[list[int], list[int | None], list[int | None]]:
    rows = json.loads(gzip.decompress(path.read_bytes()))

    def verdict(row: dict, order: str) -> int | None:  # type: ignore[type-arg]
        winner = row["results"][0][order]["winner"]
        return None if winner is None else int(winner)

    given, swapped = ([verdict(row, f"swap = {order}") for row in rows] for order in (False, True))
    return [int(row["label"]) for row in rows], given, swapped


@pytest.mark.parametrize(("judge", "n", "given", "swapped", "both", "same"), LLMBAR)
def test_llmbar_counts_are_the_published_ones(
    shared_data: Path, judge: str, n: int, given: int, swapped: int, both: int, same: int
) -> None:
    result = order_agreement(*_verdicts(shared_data / "llmbar" / f"{judge}.result.json.gz"))
    rates = [
        result.accuracy_given_order,
        result.accuracy_swapped,
        result.correct_in_both,
        result.same_verdict_in_both,
    ]
    assert [round(rate * n) for rate in rates] == [given, swapped, both, same]
    assert result.n == n


def test_llmbar_kappa_is_the_right_one_not_the_published_one(shared_data: Path) -> None:
    # The publisher's file says 0.2678: it turned the verdict "2" into 0 before comparing.
    right, given, _swapped = _verdicts(shared_data / "llmbar" / "Natural" / "GPT-4_Vanilla.result.json.gz")
    assert cohen_kappa(right, [verdict or 0 for verdict in given]) == pytest.approx(0.8977, abs=5e-5)


def test_a_judge_that_always_takes_the_first_is_seen() -> None:
    result = order_agreement([1, 2, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2])
    assert result == (0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 4)


def test_unreadable_verdicts_are_counted_and_never_right() -> None:
    result = order_agreement([1, 2], [None, 2], [None, None])
    assert (result.accuracy_given_order, result.correct_in_both, result.unparsable) == (0.5, 0.0, 0.75)
