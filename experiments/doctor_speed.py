"""How long the doctor takes over a log of a million rows.

python experiments/doctor_speed.py [--rows 1000000]

Writes a log of JSON lines as a PPO trainer would, with noise, into a temporary folder, and times reading and diagnosis.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.folders import read_logs

LIMIT_SECONDS = 10.0


def write_log(path: Path, rows: int) -> None:
    """Ten keys a row, as TRL's PPO names them."""
    rng = np.random.default_rng(0)
    names = ("objective/kl", "objective/scores", "policy/entropy_avg", "policy/clipfrac_avg", "policy/approxkl_avg",
             "loss/value_avg", "loss/policy_avg", "lr")  # fmt: skip
    with path.open("w") as stream:
        for begin in range(0, rows, 10_000):
            block = rng.normal(0.5, 0.1, (min(10_000, rows - begin), len(names)))
            for offset, values in enumerate(block):
                numbers = ", ".join(f'"{name}": {value:.6f}' for name, value in zip(names, values, strict=True))
                stream.write(f'{{"step": {begin + offset}, "episode": {8 * (begin + offset)}, {numbers}}}\n')


class Seconds(NamedTuple):
    """Time from the path to the verdict. One thread works, so on an idle machine both are the same."""

    wall: float
    processor: float


def measure(rows: int) -> Seconds:
    """Write a log, and time what `boresight diagnose` does with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        write_log(path, rows)
        begin, begin_processor = time.perf_counter(), time.process_time()
        (log,) = read_logs(path)
        diagnose(log.run)
        took = Seconds(time.perf_counter() - begin, time.process_time() - begin_processor)
    if log.run.steps != rows:
        raise SystemExit(f"{log.run.steps} steps read, {rows} written")
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    took = measure(rows)
    print(f"{rows:,} rows: {took.wall:.2f} s by the clock, {took.processor:.2f} s of processor time")
    return 1 if took.processor > LIMIT_SECONDS * rows / 1_000_000 else 0


if __name__ == "__main__":
    sys.exit(main())
