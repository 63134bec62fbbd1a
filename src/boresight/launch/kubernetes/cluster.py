"""What a cluster is asked for, beside the pipeline file: image, queue, sizes; checked before anything is written."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from boresight.errors import PlanError

KUBERNETES = "1.35"
"""The version that the manifests are written for and checked against."""
RAY = "2.60.0"
"""The Ray of the image where nothing else is said; token authentication needs 2.52 at least."""
POSTGRES = "postgres:17.6-bookworm"
"""The database of the annotation app."""
POSTGRES_TAG = re.compile(r":\d+\.\d[\w.\-]*$|@sha256:[0-9a-f]{64}$")
"""With a minor version: `postgres:17` is another program next month."""
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?")
"""A DNS label, short enough for what Kubernetes appends to it."""
IMAGE = re.compile(r"[\w.\-/:]+?(:(?P<tag>[\w][\w.\-]{0,127})|@sha256:[0-9a-f]{64})")
HOST = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z]([-a-z0-9]*[a-z0-9])?")
SIZE = re.compile(r"[1-9]\d*(Gi|Ti|G|T)")
ARTIFACTS = "/artifacts"
"""Where the volume is mounted: project/ holds data and models, runs/ what is made."""

Engine = Literal["torchrun", "ray"]
ScaleOn = Literal["cpu", "held"]


OPTIONS = {
    "host": "--annotation-host",
    "replicas": "--annotation-replicas",
    "storage": "--annotation-storage",
    "ingress_class": "--ingress-class",
    "ingress_namespace": "--ingress-namespace",
    "postgres_image": "--postgres-image",
    "database_secret": "--database-secret",
}
"""Field of Annotation -> option."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """The annotation app, and where its database is."""

    host: str | None = None
    """Under which people reach it by https; None: by `kubectl port-forward` alone."""
    ingress_class: str | None = None
    ingress_namespace: str = "ingress-nginx"
    """Where the Ingress controller runs: from there alone the app is asked."""
    replicas: int = 1
    storage: str = "10Gi"
    """Of the database, and once more of its backups."""
    postgres_image: str = POSTGRES
    database_secret: str | None = None
    """A Secret with PGHOST, PGUSER, PGPASSWORD and PGDATABASE of a server elsewhere; None: one is made here."""


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
    """Machines under torchrun; of a Ray cluster, as many as its actors need."""
    trainers: int = 1
    """Of Ray: actors that divide batches and weights."""
    rollouts: int = 1
    """Of Ray: actors that write responses."""
    scorers: int = 1
    """Of Ray: actors that score them."""
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
    annotation: Annotation | None = None


def replicas_of(text: str) -> tuple[int, int]:
    """MIN:MAX as two numbers; PlanError for anything else."""
    low, _, high = text.partition(":")
    if not (low.isdecimal() and high.isdecimal()):
        raise PlanError(f"--reward-replicas {text}: expected MIN:MAX, as in 1:4. Write both numbers.")
    return int(low), int(high)


def annotation_of(wanted: bool, **choices: Any) -> Annotation | None:
    """The app with those of the choices that are not None. Raises PlanError for choices of an app that is not wanted,
    and for a database in two places."""
    given = {name: value for name, value in choices.items() if value is not None}
    if given and not wanted:
        told = ", ".join(OPTIONS[name] for name in given)
        raise PlanError(f"{told}: of the annotation app, which is not asked for. Add --annotation.")
    if {"postgres_image", "database_secret"} <= given.keys():
        raise PlanError(
            f"--postgres-image {given['postgres_image']} --database-secret {given['database_secret']}: expected one of "
            "them, since the database is made here or is elsewhere. Leave the other out."
        )
    return Annotation(**given) if wanted else None


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
            f"--engine ray --pods {cluster.pods}: how many machines there are follows from the actors: one for every "
            "--gpus of them, or for each where there are none. Leave --pods out, and give --trainers, --rollouts and "
            "--scorers."
        )
    actors = {"--trainers": cluster.trainers, "--rollouts": cluster.rollouts, "--scorers": cluster.scorers}
    if cluster.engine != "ray" and any(count > 1 for count in actors.values()):
        told = " ".join(f"{option} {count}" for option, count in actors.items() if count > 1)
        instead = " Machines that train together without Ray: --pods." if cluster.trainers > 1 else ""
        faults.append(f"{told}: are actors of Ray. Add --engine ray, or leave them out.{instead}")
    if not SIZE.fullmatch(cluster.storage):
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
    if cluster.annotation is not None:
        faults += _annotation_faults(cluster.annotation)
    if faults:
        raise PlanError("\n".join(faults))


def _annotation_faults(annotation: Annotation) -> list[str]:
    faults = []
    if annotation.host is not None and not HOST.fullmatch(annotation.host):
        faults.append(
            f"--annotation-host {annotation.host}: expected a name such as labels.example.org, without https:// and "
            "port."
        )
    if not SIZE.fullmatch(annotation.storage):
        faults.append(f"--annotation-storage {annotation.storage}: expected a quantity such as 10Gi.")
    if not (IMAGE.fullmatch(annotation.postgres_image) and POSTGRES_TAG.search(annotation.postgres_image)):
        faults.append(
            f"--postgres-image {annotation.postgres_image}: expected a tag with a minor version, or a digest, as in "
            f"{POSTGRES}; data and backups are read by the version that wrote them."
        )
    names = {
        "--ingress-class": annotation.ingress_class,
        "--ingress-namespace": annotation.ingress_namespace,
        "--database-secret": annotation.database_secret,
    }
    return faults + [
        f"{option} {name}: expected lower-case letters, digits and hyphens, 42 at most."
        for option, name in names.items()
        if name is not None and not NAME.fullmatch(name)
    ]
