"""The reward service: as many replicas of one model as the load asks for."""

from typing import Any

from boresight.feedback.score_client import TOKEN_VARIABLE
from boresight.launch.kubernetes.cluster import ARTIFACTS, Cluster
from boresight.launch.kubernetes.jobs import REWARD_SECRET
from boresight.launch.kubernetes.pods import PART_OF, Manifest, container, from_secret, labels, pod
from boresight.launch.kubernetes.sizes import Sizes

SERVICE = "boresight-reward"
PORT = 7010
LOADING_SECONDS = 1800
"""A large model from a slow volume."""
DRAIN_SECONDS = 10
"""From the wish to end a replica until it takes no more, so that every client knows by then."""
HELD_A_REPLICA = 256
"""Responses that wait in each replica, about two batches, before another is started."""
BUSY_PERCENT = 70
PROCESSORS = 4


def deployment(cluster: Cluster, sizes: Sizes) -> Manifest:
    """The reward service: replicas of one pod, with probes and limits."""
    model = f"{ARTIFACTS}/{cluster.reward_model}"
    service = container(
        "reward",
        cluster,
        ["boresight", "serve", "reward", model, "--host", "0.0.0.0", "--port", str(PORT)],
        memory_gib=sizes.reward,
        cpus=PROCESSORS,
        gpus=cluster.reward_gpus,
        environment=[from_secret(TOKEN_VARIABLE, REWARD_SECRET, "token")],
        ports=[{"name": "http", "containerPort": PORT}],
        startupProbe={**_asking("/ready"), "periodSeconds": 10, "failureThreshold": LOADING_SECONDS // 10},
        readinessProbe={**_asking("/ready"), "periodSeconds": 5},
        livenessProbe={**_asking("/health"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 10},
        lifecycle={"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}},
    )
    for mount in service["volumeMounts"]:
        if mount["name"] == "artifacts":
            mount["readOnly"] = True
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(cluster),
        "spec": {  # replicas are the autoscaler's
            "selector": {"matchLabels": labels("reward")},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {
                    "labels": labels("reward"),
                    "annotations": {
                        "prometheus.io/scrape": "true",
                        "prometheus.io/port": str(PORT),
                        "prometheus.io/path": "/metrics",
                    },
                },
                "spec": pod([service], terminationGracePeriodSeconds=DRAIN_SECONDS + 90),
            },
        },
    }


def service(cluster: Cluster) -> Manifest:
    """The address under which the replicas are reached."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(cluster),
        "spec": {"selector": labels("reward"), "ports": [{"name": "http", "port": PORT, "targetPort": "http"}]},
    }


def autoscaler(cluster: Cluster) -> Manifest:
    """On processor time, which metrics-server tells; or on held responses, which a Prometheus adapter has to tell."""
    low, high = cluster.reward_replicas
    metric: dict[str, Any]
    if cluster.reward_scale_on == "cpu":
        target = {"type": "Utilization", "averageUtilization": BUSY_PERCENT}
        metric = {"type": "Resource", "resource": {"name": "cpu", "target": target}}
    else:
        target = {"type": "AverageValue", "averageValue": str(HELD_A_REPLICA)}
        metric = {"type": "Pods", "pods": {"metric": {"name": "boresight_reward_held_responses"}, "target": target}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(cluster),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": SERVICE},
            "minReplicas": low,
            "maxReplicas": high,
            "metrics": [metric],
            # Between two rollouts nobody asks: a replica is kept over a pause, as it takes long to load.
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
        },
    }


def network_policy(cluster: Cluster) -> Manifest:
    """Our own pods may ask, beside the token; and Prometheus, where it lives in the namespace monitoring."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(cluster),
        "spec": {
            "podSelector": {"matchLabels": labels("reward")},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [
                        {"podSelector": {"matchLabels": PART_OF}},
                        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}},
                    ],
                    "ports": [{"protocol": "TCP", "port": "http"}],
                }
            ],
        },
    }


def _asking(path: str) -> Manifest:
    return {"httpGet": {"path": path, "port": "http"}}


def _metadata(cluster: Cluster) -> dict[str, Any]:
    return {"name": SERVICE, "namespace": cluster.namespace, "labels": labels("reward")}
