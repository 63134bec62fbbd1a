"""Whether the intervals and tests of `boresight eval winrate` keep what they promise, in studies whose truth is known.

python experiments/interval_coverage.py --studies 2000

Each study judges prompts in both orders. A prompt has its own difficulty, the judge favours the first position, and
some verdicts are ties, so that two verdicts of a prompt hang together. Counted are the studies whose 95 % interval
holds the true win rate, and, where candidate and baseline are alike, those that a test at 5 % calls different.
"""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.evaluation.standings import rate_interval
from boresight.stats.calibration import sigmoid
from boresight.stats.intervals import sign_test, wilson_t
from boresight.stats.significance import sign_flip_test

Array = NDArray[np.float64]
POSITION, TIES, SPREAD = 0.4, 0.3, 1.5  # nats for the first place, share of ties, deviation of prompts in nats
TRUTH_PROMPTS = 1_000_000


class Counts(NamedTuple):
    """Shares of studies."""

    interval: float
    wilson: float
    permutation_size: float
    sign_size: float


def verdicts(random: np.random.Generator, prompts: int, advantage: float) -> Array:
    """(prompts, orders) values 1, 0 and 0.5 for the candidate; the judge sees it first in one order."""
    logit = advantage + SPREAD * random.standard_normal((prompts, 1)) + POSITION * np.array([1.0, -1.0])
    won = random.random((prompts, 2)) < sigmoid(logit)
    tied = random.random((prompts, 2)) < TIES
    return np.where(tied, 0.5, won.astype(np.float64))


def simulate(studies: int, prompts: int, advantage: float, seed: int) -> Counts:
    random = np.random.default_rng(seed)
    truth = 0.5 if advantage == 0 else float(verdicts(random, TRUTH_PROMPTS, advantage).mean())
    held = np.zeros((studies, 2), dtype=bool)
    found = np.zeros((studies, 2), dtype=bool)
    keys = [str(i) for i in range(prompts)]
    for study in range(studies):
        both = verdicts(random, prompts, advantage)
        values = both.mean(axis=1)
        intervals = (
            rate_interval(values, keys, seed=study),
            wilson_t(both.ravel(), [key for key in keys for _ in (0, 1)]),
        )
        held[study] = [interval.low <= truth <= interval.high for interval in intervals]
        if advantage == 0:
            decided = values - 0.5
            found[study] = [
                sign_flip_test(decided, keys, seed=study, replicates=1999) <= 0.05,
                sign_test(int(np.sum(decided > 0)), int(np.sum(decided < 0))) <= 0.05,
            ]
    return Counts(*held.mean(axis=0).tolist(), *found.mean(axis=0).tolist())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--studies", type=int, default=2000)
    arguments.add_argument("--seed", type=int, default=0)
    given = arguments.parse_args()
    print(
        "| prompts | advantage (nats) | `ci95` holds | Wilson with t holds | permutation test finds | sign test finds |"
    )
    print("|---|---|---|---|---|---|")
    for prompts in (10, 20, 40, 100, 400):
        for advantage in (0.0, 0.5, 1.5):
            seen = simulate(given.studies, prompts, advantage, given.seed)
            sizes = [f"{100 * size:.1f} %" if advantage == 0 else "" for size in seen[2:]]
            shares = [f"{100 * share:.1f} %" for share in seen[:2]]
            print(f"| {prompts} | {advantage} | {' | '.join([*shares, *sizes])} |", flush=True)


if __name__ == "__main__":
    main()
