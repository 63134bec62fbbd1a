"""What a cluster is asked for, beside the pipeline file: image, queue, sizes; checked before anything is written."""

import re
from dataclasses import dataclass
from typing import Literal

from boresight.errors import PlanError

KUBERNETES = "1.35"
"""The version that the manifests are written for and checked against."""
RAY = "2.60.0"
"""The Ray of the image where nothing else is said; token authentication needs 2.52 at least."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
"""A DNS label, short enough for what Kubernetes appends to it."""
IMAGE = re.compile(r"[\w.\-/:]+?(:(?P<tag>[\w][\w.\-]{0,127})|@sha256:[0-9a-f]{64})")
ARTIFACTS = "/artifacts"
"""Where the volume is mounted: project/ holds data and models, runs/ what is made."""

Engine = Literal["torchrun", "ray"]
ScaleOn = Literal["cpu", "held"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Choices that stand in no pipeline file."""

    image: str
    """With a tag that is not `latest`, or by digest."""
    namespace: str = "boresight"
    queue: str | None = None
    """Kueue's LocalQueue; None where the cluster has no Kueue."""
    engine: Engine = "torchrun"
    pods: int = 1
    gpus: int = 0
    """Of each pod."""
    gpu_gib: int = 80
    """Memory of each GPU."""
    cpus: int = 4
    """Of each pod."""
    memory_gib: int | None = None
    """Of each pod; None takes the planner's figure."""
    storage: str = "100Gi"
    storage_class: str | None = None
    ray_version: str = RAY
    reward_model: str | None = None
    """Folder of the reward model that the service serves, from the volume's root; None renders no service."""
    reward_gpus: int = 0
    reward_replicas: tuple[int, int] = (1, 4)
    reward_scale_on: ScaleOn = "cpu"


def replicas_of(text: str) -> tuple[int, int]:
    """MIN:MAX as two numbers; PlanError for anything else."""
    low, _, high = text.partition(":")
    if not (low.isdecimal() and high.isdecimal()):
        raise PlanError(f"--reward-replicas {text}: expected MIN:MAX, as in 1:4. Write both numbers.")
    return int(low), int(high)


def check_cluster(cluster: Cluster) -> None:
    """Raises PlanError with everything that cannot be."""
    faults = []
    tagged = IMAGE.fullmatch(cluster.image)
    if tagged is None or tagged["tag"] == "latest":
        faults.append(
            f"--image {cluster.image}: expected one tag that is not `latest`, or a digest, as in "
            "registry.example/boresight:0.1.0; otherwise pods started on different days may run different programs."
        )
    for option, name in (("--namespace", cluster.namespace), ("--queue", cluster.queue)):
        if name is not None and not NAME.fullmatch(name):
            faults.append(f"{option} {name}: expected lower-case letters, digits and hyphens, 42 at most.")
    if cluster.engine == "ray" and cluster.pods > 1:
        faults.append(
            f"--engine ray --pods {cluster.pods}: roles are not spread over Ray workers yet; the whole pipeline runs "
            "on the head. Leave --pods at 1, or take --engine torchrun."
        )
    if not re.fullmatch(r"[1-9]\d*(Gi|Ti|G|T)", cluster.storage):
        faults.append(f"--storage {cluster.storage}: expected a quantity such as 100Gi.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", cluster.ray_version):
        faults.append(f"--ray-version {cluster.ray_version}: expected three numbers, as in {RAY}.")
    low, high = cluster.reward_replicas
    if not 1 <= low <= high:
        faults.append(f"--reward-replicas {low}:{high}: expected 1 <= MIN <= MAX.")
    if cluster.reward_model is not None and (cluster.reward_model.startswith("/") or ".." in cluster.reward_model):
        faults.append(
            f"--reward-model {cluster.reward_model}: expected a folder on the volume, from its root, as in "
            "runs/NAME/stages/scorer/model."
        )
    if faults:
        raise PlanError("\n".join(faults))
