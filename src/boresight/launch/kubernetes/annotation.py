"""The annotation app: its pods, the address inside the cluster, who may reach it, and its name outside."""

from typing import Any

from boresight.launch.kubernetes import database
from boresight.launch.kubernetes.cluster import Annotation, Cluster
from boresight.launch.kubernetes.pods import Manifest, bare_container, bare_pod, from_secret, labels

APP = "boresight-label"
PORT = 7008
SESSION_SECRET = "boresight-label-session"
TLS_SECRET = "boresight-label-tls"
STATE_VARIABLE = "XDG_STATE_HOME"
STATE = "/var/lib/boresight"
"""Where the app looks for boresight/label.key, which signs the sessions of all replicas."""
MEMORY_GIB = 2
"""A file of 64 MiB that an admin sends, read into tasks, and the figures of a large project at the same time."""
DRAIN_SECONDS = 5
UPLOAD = "64m"
"""The largest file of tasks that the app takes, as the controller of nginx writes it; others ignore it."""


def manifests(cluster: Cluster, annotation: Annotation) -> dict[str, Manifest]:
    """The objects by file, with those of the database where it is made here."""
    found = {
        "annotation-deployment.yaml": deployment(cluster, annotation),
        "annotation-service.yaml": service(cluster),
        "annotation-network.yaml": network_policy(cluster, annotation),
    }
    if annotation.host is not None:
        found["annotation-ingress.yaml"] = ingress(cluster, annotation, annotation.host)
    return found if annotation.database_secret else {**database.manifests(cluster, annotation), **found}


def site(annotation: Annotation) -> str:
    """What people open: the name that the Ingress serves, or this end of `kubectl port-forward`."""
    return f"http://localhost:{PORT}" if annotation.host is None else f"https://{annotation.host}"


def deployment(cluster: Cluster, annotation: Annotation) -> Manifest:
    """The app: it brings the tables up to date when it starts, and is asked for work once the database answers."""
    words = ["boresight", "label", "serve", "--store", _store(annotation), "--site", site(annotation)]
    app = bare_container(
        "label",
        cluster.image,
        [*words, "--host", "0.0.0.0", "--port", str(PORT)],
        requests={"cpu": 1, "memory": f"{MEMORY_GIB}Gi"},
        limits={"memory": f"{MEMORY_GIB}Gi"},
        environment=[
            {"name": "HOME", "value": "/tmp"},
            {"name": STATE_VARIABLE, "value": STATE},
            {"name": "PGCONNECT_TIMEOUT", "value": "10"},
            *([] if annotation.database_secret else [from_secret("PGPASSWORD", database.SECRET, "password")]),
        ],
        mounts={"session-key": f"{STATE}/boresight", "scratch": "/tmp"},
        read_only=("session-key",),
        **({"envFrom": [{"secretRef": {"name": annotation.database_secret}}]} if annotation.database_secret else {}),
        ports=[{"name": "http", "containerPort": PORT}],
        startupProbe={**_asking("/ready"), "periodSeconds": 5, "failureThreshold": 60},
        readinessProbe={**_asking("/ready"), "periodSeconds": 10, "timeoutSeconds": 5},
        livenessProbe={**_asking("/health"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 10},
        lifecycle={"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    )
    volumes: dict[str, Manifest] = {
        "session-key": {"secret": {"secretName": SESSION_SECRET, "items": [{"key": "label.key", "path": "label.key"}]}},
        "scratch": {"emptyDir": {"sizeLimit": "2Gi"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(cluster),
        "spec": {
            "replicas": annotation.replicas,
            "selector": {"matchLabels": labels("label")},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": labels("label")},
                "spec": bare_pod([app], volumes, terminationGracePeriodSeconds=DRAIN_SECONDS + 25),
            },
        },
    }


def service(cluster: Cluster) -> Manifest:
    """The address that the Ingress and `kubectl port-forward` go to."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(cluster),
        "spec": {"selector": labels("label"), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


def network_policy(cluster: Cluster, annotation: Annotation) -> Manifest:
    """The Ingress controller may ask; without a host nobody in the cluster, since a forwarded port needs no leave."""
    controller = {"matchLabels": {"kubernetes.io/metadata.name": annotation.ingress_namespace}}
    let_in = [{"from": [{"namespaceSelector": controller}], "ports": [{"protocol": "TCP", "port": "http"}]}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(cluster),
        "spec": {
            "podSelector": {"matchLabels": labels("label")},
            "policyTypes": ["Ingress"],
            "ingress": let_in if annotation.host is not None else [],
        },
    }


def ingress(cluster: Cluster, annotation: Annotation, host: str) -> Manifest:
    """The name outside, by https alone, with a certificate from a Secret."""
    backend = {"service": {"name": APP, "port": {"name": "http"}}}
    chosen = {"ingressClassName": annotation.ingress_class} if annotation.ingress_class else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            **_metadata(cluster),
            "annotations": {
                "nginx.ingress.kubernetes.io/proxy-body-size": UPLOAD,
                "nginx.ingress.kubernetes.io/ssl-redirect": "true",
            },
        },
        "spec": {
            **chosen,
            "tls": [{"hosts": [host], "secretName": TLS_SECRET}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
        },
    }


def _store(annotation: Annotation) -> str:
    """An address without a password: that, or all of it, the driver takes from the environment (PGPASSWORD, PGHOST)."""
    return "postgresql://" if annotation.database_secret else f"postgresql://{database.ROLE}@{database.ADDRESS}"


def _asking(path: str) -> Manifest:
    # The app answers to its site's name and to loopback's, and the kubelet would ask for the pod's address.
    return {"httpGet": {"path": path, "port": "http", "httpHeaders": [{"name": "Host", "value": "localhost"}]}}


def _metadata(cluster: Cluster) -> dict[str, Any]:
    return {"name": APP, "namespace": cluster.namespace, "labels": labels("label")}
