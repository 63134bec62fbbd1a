import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from boresight.errors import DataError
from boresight.evaluation.win_rate import compare, compare_all, judged_prompts
from boresight.stats.intervals import wilson


def _rows(
    verdicts: Sequence[tuple[float, float]], kinds: Sequence[str] = (), name: str = "ppo"
) -> list[dict[str, Any]]:
    """comparisons.jsonl rows from (candidate first, baseline first) verdicts."""
    return [
        {
            "prompt_id": f"p{i}",
            "kind": kinds[i] if kinds else "plain",
            "candidate": name,
            "order": order,
            "verdict": verdict,
            "score_candidate": 0.0,
            "score_baseline": 0.0,
        }
        for i, pair in enumerate(verdicts)
        for order, verdict in zip(("candidate_first", "baseline_first"), pair, strict=True)
    ]


def test_every_number_by_hand() -> None:
    # 5 prompts won, 1 lost, 1 tied, 3 where the order decided: two flips (1, 0) and one half flip (1, 0.5).
    verdicts = [(1, 1)] * 5 + [(0, 0), (0.5, 0.5), (1, 0), (0, 1), (1, 0.5)]
    result = compare(_rows(verdicts), seed=0)
    scores = np.array([1, 1, 1, 1, 1, 0, 0.5, 0.5, 0.5, 0.75])
    assert result["n"] == 10
    assert result["win_rate"] == pytest.approx(0.725)
    assert (result["wins"], result["losses"], result["ties"], result["verdict_flips"]) == (5, 1, 4, 3)
    assert result["standard_error"] == pytest.approx(scores.std(ddof=1) / math.sqrt(10))
    assert result["sign_test_p"] == pytest.approx(2 * 7 / 64)  # 2 (C(6,0) + C(6,1)) / 2^6
    assert result["wilson95"] == pytest.approx(wilson(7.25, 10)[1:3])
    assert result["ci95"][0] < 0.725 < result["ci95"][1]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_result_has_exactly_the_keys_of_the_contract() -> None:
    result = compare(_rows([(1, 1), (0, 0)]), seed=0)
    assert set(result) == {
        "n", "win_rate", "ci95", "wilson95", "wins", "losses", "ties", "standard_error", "sign_test_p", "by_kind",
        "verdict_flips",
    }  # fmt: skip
    assert set(result["by_kind"]["plain"]) == {"n", "win_rate", "ci95"}


def test_a_judge_that_always_takes_the_first_gives_one_half_and_no_decision() -> None:
    result = compare(_rows([(1, 0)] * 40), seed=0)
    assert (result["win_rate"], result["wins"], result["losses"], result["verdict_flips"]) == (0.5, 0, 0, 40)
    assert result["sign_test_p"] == 1.0


def test_candidate_and_baseline_exchanged_mirror_the_result() -> None:
    verdicts = [(1, 1)] * 24 + [(0, 0)] * 14 + [(1, 0)] * 6 + [(0.5, 0.5)] * 8
    result = compare(_rows(verdicts), seed=1, replicates=4000)
    mirrored = compare(_rows([(1 - b, 1 - a) for a, b in verdicts]), seed=1, replicates=4000)
    assert mirrored["win_rate"] == pytest.approx(1 - result["win_rate"])
    assert (mirrored["wins"], mirrored["losses"]) == (result["losses"], result["wins"])
    assert mirrored["sign_test_p"] == result["sign_test_p"]
    assert mirrored["wilson95"] == pytest.approx([1 - result["wilson95"][1], 1 - result["wilson95"][0]])
    assert mirrored["ci95"] == pytest.approx([1 - result["ci95"][1], 1 - result["ci95"][0]], abs=0.02)


def test_two_orders_that_agree_are_no_more_evidence_than_one_verdict() -> None:
    random = np.random.default_rng(3)
    coins = random.integers(0, 2, size=200)
    result = compare(_rows([(int(c), int(c)) for c in coins]), seed=0)
    width = result["ci95"][1] - result["ci95"][0]
    assert width == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(200), rel=0.1)


def test_winning_everything_still_has_an_interval() -> None:
    result = compare(_rows([(1, 1)] * 10), seed=0)
    assert result["ci95"] == result["wilson95"] == pytest.approx([0.7225, 1.0], abs=1e-4)


@pytest.mark.parametrize(("prompts", "truth"), [(8, 0.6), (15, 0.85), (60, 0.6), (120, 0.85)])
def test_95_percent_interval_covers_the_truth_in_small_and_large_studies(prompts: int, truth: float) -> None:
    random, studies, covered = np.random.default_rng(9), 300, 0
    for seed in range(studies):
        chance = random.beta(8 * truth, 8 * (1 - truth), size=(prompts, 1))
        verdicts = (random.random((prompts, 2)) < chance).astype(int).tolist()
        low, high = compare(_rows(verdicts), seed=seed, replicates=400)["ci95"]
        covered += low <= truth <= high
    assert 0.92 <= covered / studies <= 0.99, f"coverage {covered / studies:.3f}"


def test_kinds_are_counted_apart_with_intervals_of_their_own() -> None:
    result = compare(_rows([(1, 1), (1, 1), (0, 0), (1, 0)], ["greeting", "plain", "plain", "plain"]), seed=0)
    assert list(result["by_kind"]) == ["greeting", "plain"]
    greeting, plain = result["by_kind"]["greeting"], result["by_kind"]["plain"]
    assert (greeting["n"], greeting["win_rate"], plain["n"], plain["win_rate"]) == (1, 1.0, 3, 0.5)
    assert greeting["ci95"][0] < 0.25  # one prompt proves little
    assert plain["ci95"][0] < 0.5 < plain["ci95"][1]


def test_candidates_in_one_file_are_told_apart_and_the_seed_repeats() -> None:
    rows = _rows([(1, 1), (0, 0), (1, 0)], name="ppo") + _rows([(0, 0), (0, 0), (1, 1)], name="dpo")
    results = compare_all(rows, seed=4)
    assert list(results) == ["ppo", "dpo"]
    assert [results[name]["win_rate"] for name in results] == pytest.approx([0.5, 1 / 3])
    assert results == compare_all(rows, seed=4)


def test_a_missing_order_is_refused_with_the_prompt() -> None:
    with pytest.raises(DataError, match=r"1 of 3 prompts .* 'p2'"):
        judged_prompts(_rows([(1, 1), (0, 0), (1, 0)])[:-1])


def test_an_order_twice_is_refused_with_the_prompt() -> None:
    rows = _rows([(1, 1), (0, 0)])
    with pytest.raises(DataError, match="'p0': two rows of order 'candidate_first'"):
        judged_prompts([*rows, rows[0]])


@pytest.mark.parametrize("fault", [{"verdict": 2}, {"order": "swapped"}, {"verdict": None}])
def test_unknown_verdicts_and_orders_are_refused(fault: dict[str, Any]) -> None:
    rows = _rows([(1, 1), (0, 0)])
    rows[1].update(fault)
    with pytest.raises(DataError, match=r"'p0'.*expected order 'candidate_first'"):
        judged_prompts(rows)


def test_one_prompt_is_too_few() -> None:
    with pytest.raises(DataError, match="1 prompts; expected at least 2"):
        compare(_rows([(1, 1)]), seed=0)
