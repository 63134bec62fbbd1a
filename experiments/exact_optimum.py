"""Do PPO and RLOO find the optimum where it is known? In a world of 1,296 responses, over several seeds.

    python experiments/exact_optimum.py --seeds 0 1 2 3 4 --json docs/figures/exact_optimum.json

The world is that of tests/training/enumerable_world.py: a policy that can express any distribution, a score for every
response, and so the exact optimum of reward minus KL, reference times e^(score / beta). Each seed draws another
reference and other scores, and seeds the training. Exit code 1 where a KL(policy || optimum) is not below the bound.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.training import enumerable_world as world

from boresight.storage import write_json

BOUND = 0.02  # nats
METHODS: tuple[world.Method, ...] = ("ppo", "rloo")


def distances(seed: int) -> dict[str, float]:
    """KL to the optimum before and after each method, nats a response."""
    table, scores = world.world(seed)
    found = {"reference": world.kl_to_optimum(world.policy_of(table), world.reference_of(table), scores, world.BETA)}
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            found[method] = world.distance_after(method, seed, Path(folder))
            print(f"seed {seed}: {method} {found[method]:.4f} ({time.perf_counter() - started:.0f} s)", file=sys.stderr)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here (docs/ppo.md shows them)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    by_seed = {str(seed): distances(seed) for seed in options.seeds}
    lines = ["| KL to the optimum, nats | lowest | highest |", "|---|---|---|"]
    for name in ("reference", *METHODS):
        values = [found[name] for found in by_seed.values()]
        lines.append(f"| {name} | {min(values):.4f} | {max(values):.4f} |")
    print("\n".join(lines))
    if options.json:
        write_json(options.json, {"bound": BOUND, "beta": world.BETA, "seeds": by_seed, "table": "\n".join(lines)})
    return 0 if all(found[method] < BOUND for found in by_seed.values() for method in METHODS) else 1


if __name__ == "__main__":
    sys.exit(main())
