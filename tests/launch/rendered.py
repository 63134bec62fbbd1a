"""A small pipeline's manifests: as a JobSet with the reward service, as a RayJob, and with the annotation app."""

from pathlib import Path
from typing import Any

from boresight.config.pipeline import Pipeline
from boresight.launch.kubernetes.cluster import Annotation, Cluster
from boresight.launch.kubernetes.render import render, write_manifests
from tests.pipeline import tiny_pipeline as tiny

JOBSET: dict[str, Any] = {
    "pods": 2, "gpus": 4, "queue": "gpus", "reward_model": "runs/tiny/stages/scorer/model", "reward_gpus": 1,
}  # fmt: skip
RAYJOB: dict[str, Any] = {"engine": "ray", "trainers": 2, "rollouts": 3, "scorers": 2, "gpus": 2, "queue": "gpus"}
LABELS: dict[str, Any] = {"annotation": Annotation(host="labels.example.org", replicas=2)}


def cluster(**choices: Any) -> Cluster:
    return Cluster(**{"image": "registry.example/boresight:0.1.0", **choices})


def pipeline(folder: Path) -> Pipeline:
    return tiny.load(folder)


def write(folder: Path, work: Path | None, **choices: Any) -> Path:
    """Of the small pipeline, whose files go to `work`; without it the annotation app alone."""
    write_manifests(render(None if work is None else pipeline(work), cluster(**choices)), folder)
    return folder
