"""What stands before any pod: the namespace, the account, the volume."""

from boresight.launch.kubernetes.cluster import Cluster
from boresight.launch.kubernetes.pods import ACCOUNT, CLAIM, PART_OF, Manifest


def namespace(cluster: Cluster) -> Manifest:
    """Pods that would run as root, or with more rights than ours, are refused by the cluster itself."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": cluster.namespace, "labels": {**PART_OF, **levels}},
    }


def account(cluster: Cluster) -> Manifest:
    """A service account without rights and without a token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": ACCOUNT, "namespace": cluster.namespace, "labels": PART_OF},
        "automountServiceAccountToken": False,
    }


def volume(cluster: Cluster) -> Manifest:
    """Jobs write, the reward service reads, perhaps on several machines."""
    spec: Manifest = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": cluster.storage}}}
    if cluster.storage_class is not None:
        spec["storageClassName"] = cluster.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": cluster.namespace, "labels": PART_OF},
        "spec": spec,
    }
