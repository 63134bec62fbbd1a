"""A small pipeline's manifests: as a JobSet with the reward service, and as a RayJob, both through a queue."""

from pathlib import Path
from typing import Any

from boresight.config.pipeline import Pipeline
from boresight.launch.kubernetes.cluster import Cluster
from boresight.launch.kubernetes.render import render, write_manifests
from tests.pipeline import tiny_pipeline as tiny

JOBSET: dict[str, Any] = {
    "pods": 2, "gpus": 4, "queue": "gpus", "reward_model": "runs/tiny/stages/scorer/model", "reward_gpus": 1,
}  # fmt: skip
RAYJOB: dict[str, Any] = {"engine": "ray", "gpus": 1, "queue": "gpus"}


def cluster(**choices: Any) -> Cluster:
    return Cluster(**{"image": "registry.example/boresight:0.1.0", **choices})


def pipeline(folder: Path) -> Pipeline:
    return tiny.load(folder)


def write(folder: Path, work: Path, **choices: Any) -> Path:
    write_manifests(render(pipeline(work), cluster(**choices)), folder)
    return folder
