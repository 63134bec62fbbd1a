"""Trains every exhibit of the museum, failing and healthy, over several seeds; what is there already is kept.

    python -m experiments.museum.build --out runs/museum                # 15 exhibits, 5 seeds: 20 minutes of a core
    python -m experiments.museum.build --out runs/museum --only length_bias --seeds 1

Each run's folder is like that of a stage: `boresight diagnose runs/museum/length_bias/failing-0`. The gold reward,
which no method sees, lies beside the log in gold.json.
"""

import argparse
import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import torch
from experiments.museum.exhibits import EXHIBITS, Exhibit
from experiments.museum.workshop import Workshop

from boresight.storage import write_json
from boresight.training.run import Run

SEEDS = 5
DONE = "seconds.json"


class Job(NamedTuple):
    exhibit: Exhibit
    fails: bool
    seed: int

    def folder(self, out: Path) -> Path:
        """A twin that is another exhibit's lies there."""
        name = self.exhibit.name if self.fails else self.exhibit.twin or self.exhibit.name
        return out / name / f"{'failing' if self.fails else 'healthy'}-{self.seed}"


def jobs(names: list[str], seeds: int) -> list[Job]:
    """Seed by seed, so that all exhibits are there once before any is there twice; shared twins once."""
    chosen = [exhibit for exhibit in EXHIBITS if not names or exhibit.name in names]
    return [
        Job(exhibit, fails, seed)
        for seed in range(seeds)
        for exhibit in sorted(chosen, key=lambda exhibit: exhibit.world.name)  # the workshop of a world is made once
        for fails in (True, False)
        if fails or not exhibit.twin
    ]


def train(job: Job, shop: Workshop, folder: Path) -> None:
    """Whole or not at all: an interrupted run is begun anew."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    started = time.process_time()
    title = f"{job.exhibit.name} {folder.name}"
    seed = int.from_bytes(hashlib.sha256(title.encode()).digest()[:4], "big")
    write_json(partial / "config.json", {"kind": job.exhibit.kind})
    job.exhibit.train(shop, Run(partial, title=title, key=title, seed=seed, checkpoint_every=10**6), job.fails)
    write_json(partial / DONE, round(time.process_time() - started, 1))
    partial.rename(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/museum"))
    parser.add_argument("--only", action="append", default=[], choices=[exhibit.name for exhibit in EXHIBITS])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shop: Workshop | None = None
    for job in jobs(options.only, options.seeds):
        folder = job.folder(options.out)
        if (folder / DONE).exists():
            continue
        if shop is None or (shop.world, shop.seed) != (job.exhibit.world, job.seed):
            shop = Workshop(options.out / "shared", job.exhibit.world, job.seed)
        train(job, shop, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
