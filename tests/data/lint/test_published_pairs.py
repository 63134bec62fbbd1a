"""Figures that were counted from the published HH-RLHF files by other means (../shared/data/README.md)."""

from pathlib import Path

import pytest

from boresight.data.lint.run import Lint, lint
from boresight.data.lint.sources import read_all_pairs

HH = Path(__file__).parents[4] / "shared" / "data" / "hh_rlhf"

pytestmark = pytest.mark.skipif(not HH.is_dir(), reason="the public HH-RLHF files are not beside the repository")

TABLE = {
    # file: rows, identical, empty chosen, empty rejected, chosen longer, chosen shorter
    "helpful-base.train": (1210, 1, 0, 3, 693, 510),
    "helpful-base.test": (289, 0, 0, 0, 182, 105),
    "harmless-base.train": (1191, 0, 3, 0, 533, 651),
    "harmless-base.test": (271, 0, 0, 0, 125, 146),
    "helpful-online": (1137, 2, 0, 3, 484, 646),
    "helpful-rejection-sampled": (2749, 32, 0, 0, 1534, 1163),
}


def lint_of(name: str) -> Lint:
    return lint({name: read_all_pairs(HH / f"{name}.jsonl.gz")})


@pytest.mark.parametrize("name", TABLE)
def test_counts_are_those_of_the_table(name: str) -> None:
    rows, identical, empty_chosen, empty_rejected, longer, shorter = TABLE[name]
    done = lint_of(name)
    assert len(done.ids) == rows
    same, empty, length = (done.finding(i) for i in ("identical_answers", "empty_answer", "length_bias"))
    assert (same.count if same else 0) == identical
    assert (empty.effect if empty else {"chosen": 0, "rejected": 0}) == {
        "chosen": empty_chosen, "rejected": empty_rejected
    }  # fmt: skip
    assert length is not None
    part = length.effect["parts"]["all pairs"]
    assert part["untied"] == longer + shorter and part["longer_share"] == pytest.approx(longer / (longer + shorter))


def test_helpful_and_harmless_pairs_are_not_pooled() -> None:
    """In helpful-base the longer answer wins, in harmless-base the shorter one: only the first is a warning."""
    names = ("helpful-base.train", "harmless-base.train")
    bias = lint({name: read_all_pairs(HH / f"{name}.jsonl.gz") for name in names}).finding("length_bias")
    assert bias is not None and bias.severity == "warning"
    assert bias.effect["biased"] == ["helpful-base.train"]
