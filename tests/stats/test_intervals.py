import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest

from boresight.stats.intervals import (
    bootstrap_mean,
    mcnemar,
    prompts_needed,
    sign_test,
    wilson,
    wilson_clustered,
)


def test_wilson_gives_the_published_interval() -> None:
    # Newcombe 1998 (Stat. Med. 17:857), table I, method 3: 81 of 263 -> 0.2553..0.3662; 15 of 148 -> 0.0624..0.1605;
    # 0 of 20 -> 0..0.1611; 1 of 29 -> 0.0061..0.1718.
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]:
        interval = wilson(successes, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    assert (round(wilson(1, 29).low, 4), round(wilson(1, 29).high, 4)) == (0.0061, 0.1718)


def test_wilson_takes_halves_and_mirrors() -> None:
    interval, mirrored = wilson(30.5, 50), wilson(19.5, 50)
    assert interval.value == 0.61
    assert interval.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    assert wilson(30, 50).low < interval.low < wilson(31, 50).low


def test_wilson_at_the_ends_stays_within_zero_and_one_exactly() -> None:
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0
    assert wilson(7, 7).low < 0.7  # seven of seven is no certainty


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: float, n: int) -> None:
    with pytest.raises(ValueError, match=f"n={n}"):
        wilson(successes, n)


def test_clustered_wilson_is_wilson_for_clusters_of_one() -> None:
    # The cluster variance divides by K-1, so the effective sample size is n-1 = 49.
    values = np.array([1.0] * 30 + [0.0] * 20)
    clustered = wilson_clustered(values, range(50))
    z, n, p = 1.959963984540054, 49.0, 0.6
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert clustered.high - clustered.low == pytest.approx(2 * half, rel=1e-9)


def test_clustered_wilson_counts_repeated_rows_once() -> None:
    values = np.array([1.0] * 30 + [0.0] * 20)
    once = wilson_clustered(values, range(50))
    twice = wilson_clustered(np.repeat(values, 2), np.repeat(np.arange(50), 2).tolist())
    assert twice == pytest.approx(once, rel=1e-12)
    assert once.n == twice.n == 50


def test_clustered_wilson_without_variation_rests_on_the_clusters() -> None:
    interval = wilson_clustered([1.0] * 12, ["a"] * 6 + ["b"] * 6)
    assert tuple(interval) == pytest.approx(tuple(wilson(2, 2)))


def test_bootstrap_error_matches_the_formula_for_independent_rows() -> None:
    values = np.random.default_rng(3).normal(size=400)
    interval = bootstrap_mean(values, range(400), seed=1, replicates=8000)
    expected_width = 2 * 1.96 * values.std() / math.sqrt(400)
    assert interval.value == pytest.approx(values.mean())
    assert interval.high - interval.low == pytest.approx(expected_width, rel=0.05)


def test_bootstrap_does_not_take_repeated_rows_for_evidence() -> None:
    values = np.random.default_rng(4).integers(0, 2, size=80).astype(float)
    once = bootstrap_mean(values, range(80), seed=5)
    ten_times = bootstrap_mean(np.repeat(values, 10), np.repeat(np.arange(80), 10).tolist(), seed=5)
    assert ten_times == pytest.approx(once, rel=1e-12)


def test_bootstrap_weighs_rows_not_clusters() -> None:
    # One cluster of three ones, one of a single zero: resamples are (A,A)=1, (A,B)=3/4, (B,B)=0.
    interval = bootstrap_mean([1, 1, 1, 0], ["A", "A", "A", "B"], seed=0)
    assert interval == (0.75, 0.0, 1.0, 2)


def test_bootstrap_repeats_with_its_seed_and_only_with_it() -> None:
    values = np.arange(50.0) ** 2
    assert bootstrap_mean(values, range(50), seed=7) == bootstrap_mean(values, range(50), seed=7)
    assert bootstrap_mean(values, range(50), seed=7) != bootstrap_mean(values, range(50), seed=8)


def test_bootstrap_refuses_rows_without_clusters() -> None:
    with pytest.raises(ValueError, match="3 cluster labels"):
        bootstrap_mean([1, 0], [1, 2, 3], seed=0)


def _studies(random: np.random.Generator, studies: int, prompts: int) -> tuple[np.ndarray, float]:
    """Verdicts (studies, prompts, 2) with ties, the two orders of a prompt alike, and the true win rate.

    A prompt has its own chance to win, drawn from Beta(1.8, 1.2) (mean 0.6); 20 % of verdicts are ties.
    """
    chance = random.beta(1.8, 1.2, size=(studies, prompts, 1))
    verdicts = (random.random((studies, prompts, 2)) < chance).astype(float)
    verdicts[random.random(verdicts.shape) < 0.2] = 0.5
    return verdicts, 0.8 * 0.6 + 0.2 * 0.5


@pytest.mark.parametrize("method", ["bootstrap", "wilson_clustered"])
def test_95_percent_interval_covers_the_truth_in_clustered_studies_with_ties(method: str) -> None:
    studies, prompts = 600, 80
    verdicts, truth = _studies(np.random.default_rng(11), studies, prompts)
    clusters = np.repeat(np.arange(prompts), 2).tolist()
    covered = 0
    for seed, study in enumerate(verdicts):
        rows = study.reshape(-1)
        if method == "bootstrap":
            interval = bootstrap_mean(rows, clusters, seed=seed, replicates=500)
        else:
            interval = wilson_clustered(rows, clusters)
        covered += interval.low <= truth <= interval.high
    assert 0.92 <= covered / studies <= 0.98, f"coverage {covered / studies:.3f}"


def test_an_interval_that_ignores_the_clusters_covers_too_little() -> None:
    # The check above can fail: with ten verdicts a prompt taken as independent, coverage drops far below 92 %.
    random = np.random.default_rng(12)
    chance = random.beta(0.5, 0.5, size=(300, 40, 1))
    verdicts = (random.random((300, 40, 10)) < chance).astype(float).reshape(300, -1)
    covered = [bootstrap_mean(v, range(400), seed=i, replicates=300) for i, v in enumerate(verdicts)]
    assert np.mean([i.low <= 0.5 <= i.high for i in covered]) < 0.8


def test_sign_test_by_hand() -> None:
    # 8 against 2: 2 (C(10,0) + C(10,1) + C(10,2)) / 2^10 = 112/1024
    assert sign_test(8, 2) == sign_test(2, 8) == 112 / 1024
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 0) == 1.0
    assert sign_test(6, 0) == 2 / 64


def test_sign_test_of_thousands_agrees_with_the_normal_approximation() -> None:
    z = (5100 - 5000 - 0.5) / 50
    assert sign_test(5100, 4900) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-3)


def test_mcnemar_looks_at_disagreements_only() -> None:
    first = [True] * 8 + [False] * 2 + [True] * 50 + [False] * 20
    second = [False] * 8 + [True] * 2 + [True] * 50 + [False] * 20
    assert mcnemar(first, second) == (8, 2, 112 / 1024)


def test_prompts_needed_gives_the_textbook_sample_size() -> None:
    # ((1.95996 * 0.5 + 0.84162 * sqrt(0.24)) / 0.1)^2 = (0.97998 + 0.41231)^2 / 0.01 = 193.85
    assert prompts_needed(0.6) == 194
    assert prompts_needed(0.4) == 194
    assert prompts_needed(0.6, power=0.5) == 97  # (1.95996 * 0.5 / 0.1)^2 = 96.04: where a true 60 % just clears 50 %
    assert prompts_needed(0.6, tie_rate=0.4) < 194


def test_prompts_needed_has_the_power_it_promises() -> None:
    n = prompts_needed(0.62, tie_rate=0.2)
    verdicts = np.random.default_rng(13).choice([1.0, 0.5, 0.0], p=[0.52, 0.2, 0.28], size=(4000, n))
    error = verdicts.std(axis=1, ddof=1) / math.sqrt(n)
    assert np.mean(verdicts.mean(axis=1) - 1.96 * error > 0.5) == pytest.approx(0.8, abs=0.03)


def test_prompts_needed_refuses_equal_rates() -> None:
    with pytest.raises(ValueError, match=r"win_rate=0\.5"):
        prompts_needed(0.5)


@pytest.mark.parametrize(
    ("model", "n", "win_rate", "standard_error"),
    [("NullModel", 805, 76.919792, 0.909010), ("gpt-3.5-turbo-1106", 805, 9.177965, 0.890412)],
)
def test_bootstrap_reproduces_published_alpaca_eval_errors(
    shared_data: Path, model: str, n: int, win_rate: float, standard_error: float
) -> None:
    (path,) = (shared_data / "alpaca_eval" / "weighted").glob(f"{model}.jsonl*")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line)["preference"] for line in stream]
    values = [(1.5 if row == 0 else row) - 1 for row in rows if row is not None]
    interval = bootstrap_mean(values, range(len(values)), seed=0, replicates=4000)
    assert interval.n == n
    assert 100 * interval.value == pytest.approx(win_rate, abs=1e-6)
    assert 100 * (interval.high - interval.low) / (2 * 1.96) == pytest.approx(standard_error, rel=0.05)
