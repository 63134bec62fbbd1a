"""How long the agreement figures of many votes take, intervals included; prints one JSON object.

python bench/label_quality.py
"""

import argparse
import json
import time

import numpy as np

from boresight.web.annotation.quality import PairRatings, agreement_figures, pair_kappas, reliability


def ratings(people: int, tasks: int, overlap: int, seed: int) -> PairRatings:
    """Each task rated by `overlap` people drawn at random, right three times in four."""
    random = np.random.default_rng(seed)
    labels = np.full((tasks, people), np.nan)
    for row, truth in zip(labels, random.integers(3, size=tasks), strict=True):
        chosen = random.permutation(people)[:overlap]
        row[chosen] = np.where(random.random(overlap) < 0.75, truth, random.integers(3, size=overlap))
    return PairRatings(tuple(f"person-{n}" for n in range(people)), labels, np.arange(tasks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--overlap", type=int, default=2)
    given = parser.parse_args()
    rated = ratings(given.people, given.tasks, given.overlap, seed=0)
    seconds = {}
    for name, compute in (
        ("agreement", lambda: agreement_figures(rated, seed=0)),
        ("kappas", lambda: pair_kappas(rated)),
        ("reliability", lambda: reliability(rated)),
    ):
        start = time.process_time()
        compute()
        seconds[name] = round(time.process_time() - start, 2)
    print(json.dumps({**vars(given), "answers": given.tasks * given.overlap, "cpu_seconds": seconds}))


if __name__ == "__main__":
    main()
