"""Shares of generation, scoring and update in PPO over Ray, held against what the pipeline simulator says they are.

    python experiments/ray_shares.py --json docs/figures/ray_shares.json

The embedded example's quick pipeline, its PPO stage longer. Two runs of that stage from the same start:

1. In one process, on one thread, to measure what each actor will take by itself: seconds in which one rollout worker
   writes its half of a batch (the halves one after the other), seconds in which a batch is scored (scores, reference,
   values and log-probabilities) and in which it is learned from.
2. Over Ray: two rollout actors, a trainer, a scorer and one for the reference, one thread each, on two processors.

The way to the workers and back is measured by itself, without a pipeline: new weights and a question of one token, less
what that token takes in one process.

Into the simulator go these means and the layout of the second run, and nothing from it: two workers with a half each,
one replica that scores half a batch at a time, a trainer that waits for both halves, workers that wait for its weights
as long as the way takes, which counts as generation. Steps before --warm-up are left out of both. A share is of the
three together. Exit code 1 where the simulator misses a share of the second run by more than a quarter of it.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ray
import torch

from boresight.api.pipelines import load_pipeline
from boresight.config.pipeline import Pipeline
from boresight.config.sections import LoRASection
from boresight.environment.machine import processors
from boresight.launch.ray.answers import Actor, locate
from boresight.launch.ray.layout import Layout
from boresight.launch.ray.remote_roles import RaySampler, parts
from boresight.launch.ray.run import RayRun
from boresight.launch.ray.session import connected
from boresight.launch.ray.worker import RoleWorker, Source
from boresight.models.generate import Generation, draws, generate
from boresight.models.roles import (
    FrozenPolicy,
    Policy,
    RewardModel,
    build_frozen_policy,
    build_policy,
    build_reward_model,
)
from boresight.pipeline.run import run_pipeline
from boresight.planning import simulate
from boresight.runlog.reader import read_metrics

EXAMPLE = Path(__file__).parents[1] / "examples" / "kube_assistant" / "pipeline.yaml"
BOUND = 0.25
WORKERS = 2
PARTS = ("generate", "score", "update")


def quiet(line: str) -> None:
    """What a run says of itself is not wanted here."""


@dataclass(slots=True)
class Halves:
    """Roles of one process; what is sampled is sampled in the parts of so many workers, and each part is timed."""

    seconds: list[list[float]] = field(default_factory=list)
    """Of each batch: what its parts took."""

    def begin_rollouts(
        self, stage: str, path: str, template: str, lora: LoRASection | None, policy: Policy
    ) -> Callable[..., Callable[[], list[Generation]]]:
        def begin(
            prompts: Sequence[Any], *, temperatures: Sequence[float], generator: torch.Generator, **options: Any
        ) -> Callable[[], list[Generation]]:
            uniforms = draws([options["max_new_tokens"]] * len(prompts), generator)
            found, took = [], []
            for _, part in parts(len(prompts), range(WORKERS)):
                began = time.perf_counter()
                found += generate(
                    policy.model, prompts[part], temperatures=temperatures[part], generator=uniforms[part], **options
                )
                took.append(time.perf_counter() - began)
            self.seconds.append(took)
            written = [replace(one, version=policy.version) for one in found]
            return lambda: written

        return begin

    def reference(self, stage: str, path: str, template: str) -> FrozenPolicy:
        return build_frozen_policy(path, template)

    def reward_model(self, stage: str, path: str) -> RewardModel:
        return build_reward_model(path)


def way_seconds(model: Path) -> float:
    """Median time of new weights to two workers and of one token back, less that of the token in this process."""
    policy, source = build_policy(model, "tokenizer"), Source("way", str(model), "tokenizer")
    prompts = [[5, 7, 9]] * WORKERS
    options = {"temperatures": [1.0] * WORKERS, "max_new_tokens": 1, "stop_token_ids": [0], "batch_size": 1}
    made = ray.remote(RoleWorker).options(num_cpus=2 / 5)  # as in the layout
    actors = [Actor(f"rollout {number}", made.remote("float32", 1)) for number in range(WORKERS)]
    locate(actors)
    sampler = RaySampler(actors, source, policy)
    over, here = [], []
    for policy.version in range(14):
        for begin, seconds in ((sampler.begin, over), (policy.begin, here)):
            began = time.perf_counter()
            begin(prompts, generator=torch.Generator().manual_seed(0), **options)()
            seconds.append(time.perf_counter() - began)
    for actor in actors:
        ray.kill(actor.handle)
    return max(0.0, statistics.median(over[4:]) - statistics.median(here[4:]))


def built_before_ppo(pipeline: Pipeline, run: Path) -> None:
    for name in pipeline.stages:
        if name == "ppo":
            return
        run_pipeline(pipeline, run, only=name, say=quiet)


def means(run: Path, warm_up: int) -> dict[str, float]:
    """Seconds of a step by part."""
    log = read_metrics(run / "stages" / "ppo")
    return {
        part: statistics.fmean(row.value for row in log.series(f"time/{part}_seconds", "train") if row.step >= warm_up)
        for part in PARTS
    }


def shares(seconds: dict[str, float]) -> dict[str, float]:
    return {part: taken / sum(seconds.values()) for part, taken in seconds.items()}


def predicted(half: float, way: float, alone: dict[str, float]) -> dict[str, float]:
    """Shares by the simulator."""
    tally = simulate.simulate(
        simulate.Pipeline(
            workers=WORKERS,
            rollout_seconds=half,
            rollout_law="fixed",
            replicas=1,
            scoring_seconds=alone["score"] / WORKERS,
            batch=WORKERS,
            training_seconds=alone["update"],
            sync_seconds=way,
            synchronous=True,
        ),
        responses=400,
        warm_up=40,
    )
    sampling = tally.worker_busy + way * tally.updates / tally.seconds
    return shares({"generate": sampling, "score": tally.reward_busy, "update": tally.trainer_busy})


def measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    overrides = ["run.threads=1", f"stages.ppo.steps={given.steps}", f"stages.ppo.prompts_per_step={given.prompts}"]
    pipeline = load_pipeline(EXAMPLE, overrides=overrides, quick=True)
    built_before_ppo(pipeline, folder / "built")
    for name in ("alone", "ray"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(folder / "built", folder / name)
    halves = Halves()
    run_pipeline(pipeline, folder / "alone", only="ppo", say=quiet, remote=halves)
    alone = means(folder / "alone", given.warm_up)
    half = statistics.fmean(taken for batch in halves.seconds[given.warm_up :] for taken in batch)
    layout = Layout(rollouts=WORKERS).sharing(2)
    with connected(None, 2):
        way = way_seconds(folder / "built" / "stages" / pipeline.stages["ppo"].policy / "model")
    RayRun(layout=layout, local_cpus=2)(pipeline, folder / "ray", only="ppo", say=quiet)
    real = means(folder / "ray", given.warm_up)
    expected, found = predicted(half, way, alone), shares(real)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processors": processors(),
        "torch": torch.__version__,
        "steps": given.steps,
        "warm_up": given.warm_up,
        "prompts_per_step": given.prompts,
        "alone_seconds": {"half_a_batch": half, "way": way, **{part: alone[part] for part in PARTS[1:]}},
        "ray_seconds": real,
        "predicted": expected,
        "measured": found,
        "error": {part: expected[part] / found[part] - 1 for part in PARTS},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--warm-up", type=int, default=4, help="Steps left out.")
    parser.add_argument("--prompts", type=int, default=64, help="Prompts of a step.")
    parser.add_argument("--work", type=Path, help="folder for the runs; what was built before PPO is there next time")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(given, given.work or Path(folder))
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(abs(error) > BOUND for error in found["error"].values()))


if __name__ == "__main__":
    sys.exit(main())
