"""The parts that all pods share: who they run as, what they may do, where they write, how they are told secrets."""

from collections.abc import Mapping, Sequence
from typing import Any

from boresight.launch.kubernetes.cluster import ARTIFACTS, Cluster
from boresight.launch.kubernetes.sizes import SHARED_MEMORY_GIB

Manifest = dict[str, Any]

USER = 65532
"""The user of the image; any number but 0 does."""
CLAIM = "boresight-artifacts"
PIPELINE_MAP = "boresight-pipeline"
PIPELINE_FOLDER = "/etc/boresight"
PIPELINE_FILE = f"{PIPELINE_FOLDER}/pipeline.yaml"
ACCOUNT = "boresight"
PART_OF = {"app.kubernetes.io/part-of": "boresight"}
GPU = "nvidia.com/gpu"


def labels(component: str) -> dict[str, str]:
    """The labels of an object of that component."""
    return {"app.kubernetes.io/name": component, **PART_OF}


def container(
    name: str,
    cluster: Cluster,
    command: Sequence[str],
    *,
    memory_gib: int,
    cpus: int,
    gpus: int = 0,
    threads: int | None = None,
    environment: Sequence[Manifest] = (),
    **more: Any,
) -> Manifest:
    """A container of our image beside the volume; without a command where somebody else writes it.

    Memory and GPUs are asked for and limited alike, so that no neighbour can take them. `threads` are those of each
    process in it, by default one for every processor.
    """
    fixed: dict[str, Any] = {"memory": f"{memory_gib}Gi", **({GPU: gpus} if gpus else {})}
    return bare_container(
        name,
        cluster.image,
        command,
        requests={"cpu": cpus, **fixed},
        limits={**({"cpu": cpus} if gpus else {}), **fixed},
        environment=[
            {"name": "HOME", "value": "/tmp"},
            {"name": "OMP_NUM_THREADS", "value": str(threads or cpus)},
            *environment,
        ],
        mounts={"artifacts": ARTIFACTS, "pipeline": PIPELINE_FOLDER, "scratch": "/tmp", "shared-memory": "/dev/shm"},
        read_only=("pipeline",),
        **more,
    )


def bare_container(
    name: str,
    image: str,
    command: Sequence[str],
    *,
    requests: Mapping[str, Any],
    limits: Mapping[str, Any],
    environment: Sequence[Manifest] = (),
    mounts: Mapping[str, str],
    read_only: Sequence[str] = (),
    **more: Any,
) -> Manifest:
    """A container without rights that writes into `mounts` (volume -> folder) alone, and there not into `read_only`."""
    return {
        "name": name,
        "image": image,
        **({"command": list(command)} if command else {}),
        "env": list(environment),
        "resources": {"requests": dict(requests), "limits": dict(limits)},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": volume, "mountPath": folder, **({"readOnly": True} if volume in read_only else {})}
            for volume, folder in mounts.items()
        ],
        **more,
    }


def pod(containers: Sequence[Manifest], *, shared_memory_gib: int = SHARED_MEMORY_GIB, **more: Any) -> Manifest:
    """The spec of a pod with the volumes that `container` mounts."""
    volumes: dict[str, Manifest] = {
        "artifacts": {"persistentVolumeClaim": {"claimName": CLAIM}},
        "pipeline": {"configMap": {"name": PIPELINE_MAP}},
        "scratch": {"emptyDir": {"sizeLimit": "20Gi"}},
        "shared-memory": memory_folder(f"{shared_memory_gib}Gi"),
    }
    return bare_pod(containers, volumes, **more)


def bare_pod(
    containers: Sequence[Manifest], volumes: Mapping[str, Manifest], *, user: int = USER, **more: Any
) -> Manifest:
    """The spec of a pod that runs as nobody in particular and talks to no API server; `volumes` by their names."""
    return {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        "volumes": [{"name": name, **volume} for name, volume in volumes.items()],
        **more,
    }


def memory_folder(size: str) -> Manifest:
    """A volume in memory, which counts as the pod's."""
    return {"emptyDir": {"medium": "Memory", "sizeLimit": size}}


def from_secret(variable: str, secret: str, key: str, *, optional: bool = False) -> Manifest:
    """An environment variable whose value stands in a Secret that was made by hand, never in a file of ours."""
    reference: Mapping[str, Any] = {"name": secret, "key": key, **({"optional": True} if optional else {})}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}
