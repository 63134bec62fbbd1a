"""The pipeline as a RayJob: a cluster that is made for it, whose workers hold the actors of `boresight launch ray`."""

import shlex
from collections.abc import Mapping, Sequence

from boresight.config.pipeline import Pipeline
from boresight.launch.kubernetes.cluster import Cluster
from boresight.launch.kubernetes.jobs import (
    RESTARTS,
    environment,
    job_name,
    metadata,
    network_policy,
    run_words,
    suspended,
)
from boresight.launch.kubernetes.pods import Manifest, container, labels, pod
from boresight.launch.kubernetes.sizes import Sizes, actors_a_pod
from boresight.launch.ray.layout import Layout
from boresight.planning.numbers import GIB

RAY_ANNOTATION = "boresight/ray-version"
"""Which Ray the image was built with, as far as the manifests know."""
WEEK = 7 * 24 * 3600
ENDED = 3600
"""Seconds that a job which has ended is kept to be looked at."""
WORKER = {**labels("training"), "app.kubernetes.io/component": "worker"}
"""Labels of the pods that hold actors."""
AGENT_PORT = 52365
"""Where Ray listens on every node unless told otherwise."""
HEAD_GIB, HEAD_STORE_GIB, HEAD_CPUS = 8, 1, 2
"""Ray's own processes and the command, which waits for the trainers; no actor is there."""


def layout_of(cluster: Cluster) -> Layout:
    """The actors of the job: one for each GPU, or for each pod where there are none, with an even share of its CPUs."""
    cpus = cluster.cpus * 100 // actors_a_pod(cluster) / 100
    return Layout(
        trainers=cluster.trainers,
        rollouts=cluster.rollouts,
        scorers=cluster.scorers,
        cpus=cpus,
        gpus=1.0 if cluster.gpus else 0.0,
    )


def workers(cluster: Cluster) -> int:
    """Pods that hold all actors at once."""
    return -(-len(layout_of(cluster).actors) // actors_a_pod(cluster))


def rayjob(pipeline: Pipeline, cluster: Cluster, sizes: Sizes, overrides: Sequence[str]) -> Manifest:
    """KubeRay makes the cluster, submits the command with the cluster's token, and removes all of it at the end."""
    submitter = container("ray-job-submitter", cluster, [], memory_gib=1, cpus=1)
    head = pod([_head(pipeline, cluster)], shared_memory_gib=HEAD_STORE_GIB + 1)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(job_name(pipeline), cluster),
        "spec": {
            **suspended(cluster),
            "entrypoint": shlex.join(_entrypoint(pipeline, cluster, overrides)),
            "submissionMode": "K8sJobMode",
            "backoffLimit": RESTARTS,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": ENDED,
            "activeDeadlineSeconds": WEEK,
            "submitterPodTemplate": _template(labels("submitter"), cluster, pod([submitter], restartPolicy="Never")),
            "rayClusterSpec": {
                "rayVersion": cluster.ray_version,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    "rayStartParams": {
                        "dashboard-host": "0.0.0.0",
                        "num-cpus": "0",  # nothing that a worker should do is to be put here
                        "object-store-memory": str(HEAD_STORE_GIB * GIB),
                    },
                    "template": _template(labels("training"), cluster, head),
                },
                "workerGroupSpecs": [_workers(pipeline, cluster, sizes)],
            },
        },
    }


def _workers(pipeline: Pipeline, cluster: Cluster, sizes: Sizes) -> Manifest:
    pods = workers(cluster)
    return {
        "groupName": "actors",
        # The placement group is placed as a whole: fewer pods than it needs would hold none of it.
        "minReplicas": pods,
        "replicas": pods,
        "maxReplicas": pods,
        "rayStartParams": {
            "num-cpus": str(cluster.cpus),
            "num-gpus": str(cluster.gpus),
            "object-store-memory": str(sizes.object_store * GIB),
        },
        "template": _template(
            WORKER, cluster, pod([_worker(pipeline, cluster, sizes)], shared_memory_gib=sizes.shared_memory)
        ),
    }


def group_policy(cluster: Cluster) -> Manifest:
    """Trainers of a group ask each other for no password; the head, whom the operator has to reach, has the token."""
    return network_policy(cluster, WORKER)


def _entrypoint(pipeline: Pipeline, cluster: Cluster, overrides: Sequence[str]) -> list[str]:
    layout = layout_of(cluster)
    return [
        "boresight", "launch", "ray", *run_words(pipeline, overrides),
        "--address", "auto",
        "--trainers", str(layout.trainers),
        "--rollouts", str(layout.rollouts),
        "--scorers", str(layout.scorers),
        "--cpus", f"{layout.cpus:g}",
        "--gpus", f"{layout.gpus:g}",
        "--no-check",  # it would hold the stages against the head's memory; the planner has done so with the workers'
    ]  # fmt: skip


def _head(pipeline: Pipeline, cluster: Cluster) -> Manifest:
    health = {"exec": {"command": ["ray", "health-check", "--address", "127.0.0.1:6379"]}, "timeoutSeconds": 20}
    return container(
        "ray-head",
        cluster,
        [],
        memory_gib=HEAD_GIB,
        cpus=HEAD_CPUS,
        environment=environment(pipeline, cluster),
        ports=[{"name": "gcs", "containerPort": 6379}, {"name": "dashboard", "containerPort": 8265}],
        readinessProbe={**health, "periodSeconds": 15},
        livenessProbe={**health, "initialDelaySeconds": 60, "periodSeconds": 30, "failureThreshold": 10},
    )


def _worker(pipeline: Pipeline, cluster: Cluster, sizes: Sizes) -> Manifest:
    # Answers without the token, and only once the worker is part of the cluster.
    health = {"httpGet": {"path": "/api/local_raylet_healthz", "port": "agent"}, "timeoutSeconds": 10}
    return container(
        "ray-worker",
        cluster,
        [],
        memory_gib=sizes.pod,
        cpus=cluster.cpus,
        gpus=cluster.gpus,
        threads=max(1, cluster.cpus // actors_a_pod(cluster)),
        environment=environment(pipeline, cluster),
        ports=[{"name": "agent", "containerPort": AGENT_PORT}],
        # KubeRay submits the command once all pods are ready. Its own probes may need wget, which our image has not.
        readinessProbe={**health, "periodSeconds": 5},
        livenessProbe={**health, "initialDelaySeconds": 60, "periodSeconds": 30, "failureThreshold": 10},
    )


def _template(told: Mapping[str, str], cluster: Cluster, spec: Manifest) -> Manifest:
    return {
        "metadata": {"labels": dict(told), "annotations": {RAY_ANNOTATION: cluster.ray_version}},
        "spec": spec,
    }
