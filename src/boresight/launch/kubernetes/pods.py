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
PIPELINE_FILE = "/etc/boresight/pipeline.yaml"
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
    environment: Sequence[Manifest] = (),
    **more: Any,
) -> Manifest:
    """A container of our image; without a command where somebody else writes it.

    Memory and GPUs are asked for and limited alike, so that no neighbour can take them.
    """
    fixed: dict[str, Any] = {"memory": f"{memory_gib}Gi", **({GPU: gpus} if gpus else {})}
    requests: dict[str, Any] = {"cpu": cpus, **fixed}
    return {
        "name": name,
        "image": cluster.image,
        **({"command": list(command)} if command else {}),
        "env": [{"name": "HOME", "value": "/tmp"}, {"name": "OMP_NUM_THREADS", "value": str(cpus)}, *environment],
        "resources": {"requests": requests, "limits": {**({"cpu": cpus} if gpus else {}), **fixed}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "artifacts", "mountPath": ARTIFACTS},
            {"name": "pipeline", "mountPath": "/etc/boresight", "readOnly": True},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
        **more,
    }


def pod(containers: Sequence[Manifest], **more: Any) -> Manifest:
    """The spec of a pod that runs as nobody in particular and talks to no API server."""
    return {
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        "volumes": [
            {"name": "artifacts", "persistentVolumeClaim": {"claimName": CLAIM}},
            {"name": "pipeline", "configMap": {"name": PIPELINE_MAP}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "20Gi"}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": f"{SHARED_MEMORY_GIB}Gi"}},
        ],
        **more,
    }


def from_secret(variable: str, secret: str, key: str, *, optional: bool = False) -> Manifest:
    """An environment variable whose value stands in a Secret that was made by hand, never in a file of ours."""
    reference: Mapping[str, Any] = {"name": secret, "key": key, **({"optional": True} if optional else {})}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}
