"""The pipeline as a RayJob: one process on the head of a Ray cluster that is made for it."""

import shlex
from collections.abc import Sequence

from boresight.config.pipeline import Pipeline
from boresight.launch.kubernetes.cluster import Cluster
from boresight.launch.kubernetes.jobs import RESTARTS, environment, job_name, metadata, run_words, suspended
from boresight.launch.kubernetes.pods import Manifest, container, labels, pod
from boresight.launch.kubernetes.sizes import Sizes

RAY_ANNOTATION = "boresight/ray-version"
"""Which Ray the image was built with, as far as the manifests know."""
WEEK = 7 * 24 * 3600
ENDED = 3600
"""Seconds that a job which has ended is kept to be looked at."""


def rayjob(pipeline: Pipeline, cluster: Cluster, sizes: Sizes, overrides: Sequence[str]) -> Manifest:
    """KubeRay makes the cluster, submits the command with the cluster's token, and removes all of it at the end."""
    submitter = container("ray-job-submitter", cluster, [], memory_gib=1, cpus=1)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata(job_name(pipeline), cluster),
        "spec": {
            **suspended(cluster),
            "entrypoint": shlex.join(["boresight", *run_words(pipeline, overrides)]),
            "submissionMode": "K8sJobMode",
            "backoffLimit": RESTARTS,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": ENDED,
            "activeDeadlineSeconds": WEEK,
            "submitterPodTemplate": _template("submitter", cluster, pod([submitter], restartPolicy="Never")),
            "rayClusterSpec": {
                "rayVersion": cluster.ray_version,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    # The pipeline is a plain process there: no task of anybody else is to be put beside it.
                    "rayStartParams": {"dashboard-host": "0.0.0.0", "num-cpus": "0"},
                    "template": _template("training", cluster, pod([_head(pipeline, cluster, sizes)])),
                },
            },
        },
    }


def _head(pipeline: Pipeline, cluster: Cluster, sizes: Sizes) -> Manifest:
    health = {"exec": {"command": ["ray", "health-check", "--address", "127.0.0.1:6379"]}, "timeoutSeconds": 20}
    return container(
        "ray-head",
        cluster,
        [],
        memory_gib=sizes.pod,
        cpus=cluster.cpus,
        gpus=cluster.gpus,
        environment=environment(pipeline, cluster),
        ports=[{"name": "gcs", "containerPort": 6379}, {"name": "dashboard", "containerPort": 8265}],
        readinessProbe={**health, "periodSeconds": 15},
        livenessProbe={**health, "initialDelaySeconds": 60, "periodSeconds": 30, "failureThreshold": 10},
    )


def _template(component: str, cluster: Cluster, spec: Manifest) -> Manifest:
    return {
        "metadata": {"labels": labels(component), "annotations": {RAY_ANNOTATION: cluster.ray_version}},
        "spec": spec,
    }
