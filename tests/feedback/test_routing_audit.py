"""The estimate of the judge's errors by simulation: unbiased, and its interval covers as often as it says."""

import random

import pytest

from boresight.feedback.routing_audit import estimate_errors, finite_share


@pytest.mark.parametrize(("population", "rate", "audited"), [(800, 0.15, 60), (2000, 0.05, 120), (150, 0.3, 75)])
def test_estimate_is_unbiased_and_its_interval_covers(population: int, rate: float, audited: int) -> None:
    """Routing that goes after errors (those sent are wrong three times as often) leaves both as they are."""
    draw, runs = random.Random(7), 1500
    sent = [float(draw.random() < 3 * rate) for _ in range(50)]
    labels = [float(draw.random() < rate) for _ in range(population)]
    left, everything = sum(labels) / population, (sum(labels) + sum(sent)) / (population + 50)
    covered, values = [0, 0], [0.0, 0.0]
    for _ in range(runs):
        found = estimate_errors(draw.sample(labels, audited), population, sent)
        for i, (estimate, truth) in enumerate(((found.left_to_judge, left), (found.judge, everything))):
            assert estimate is not None
            covered[i] += estimate.low <= truth <= estimate.high
            values[i] += estimate.value / runs
    assert values == pytest.approx([left, everything], abs=4 * (rate / audited / runs) ** 0.5)
    assert all(0.925 <= share / runs <= 0.98 for share in covered), covered


def test_horvitz_thompson_by_hand() -> None:
    """Two of four audited are wrong of 20, and one of five sent: (1 + 20 * 1/2) / 25."""
    found = estimate_errors([1.0, 1.0, 0.0, 0.0], 20, [1.0, 0.0, 0.0, 0.0, 0.0])
    assert found.judge is not None and found.left_to_judge is not None
    assert found.left_to_judge.value == 0.5 and found.judge.value == pytest.approx((1 + 10) / 25)
    weights = 1 + (1 / (4 / 20)) * 2
    assert found.judge.value == pytest.approx(weights / 25) and found.judge.population == 25


def test_what_was_audited_whole_is_known() -> None:
    found = finite_share([1.0, 0.0, 0.0, 0.0], 4)
    assert found[:3] == (0.25, 0.25, 0.25)
    wide, narrow = finite_share([1.0, 0.0] * 10, 1000), finite_share([1.0, 0.0] * 10, 25)
    assert narrow.high - narrow.low < 0.6 * (wide.high - wide.low)


def test_no_audit_is_no_estimate() -> None:
    assert estimate_errors([], 10, [1.0]) == (None, None)
    assert estimate_errors([], 0, [1.0, 0.0]).judge.value == 0.5  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="2 audited of a population of 1"):
        estimate_errors([0.0, 0.0], 1, [])
