"""The pipeline as a job: the command in the cluster, and the JobSet of torchrun's processes that run it."""

from collections.abc import Sequence
from typing import Any

from boresight.config.pipeline import Pipeline
from boresight.errors import PlanError
from boresight.feedback.score_client import TOKEN_VARIABLE
from boresight.launch.kubernetes.cluster import ARTIFACTS, NAME, Cluster
from boresight.launch.kubernetes.pods import PIPELINE_FILE, Manifest, container, from_secret, labels, pod
from boresight.launch.kubernetes.sizes import Sizes

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
REWARD_SECRET = "boresight-reward-token"
JUDGE_SECRET = "boresight-judge-keys"
RENDEZVOUS_PORT = 29500
MEETING = "read_timeout=900,join_timeout=1800"
"""Seconds for the others to pull their image, before a pod gives them up."""
RESTARTS = 3
BAD_INPUT_OR_GATE = [1, 2]
"""Exit codes after which trying again changes nothing."""


def job_name(pipeline: Pipeline) -> str:
    """Of the run's name; PlanError where Kubernetes could not take it."""
    name = pipeline.name.lower().replace("_", "-")
    if not NAME.fullmatch(name):
        raise PlanError(
            f"{pipeline.path}: run.name {pipeline.name!r} makes no name in Kubernetes; expected letters, digits and "
            "hyphens, 42 at most. Give another with --set run.name=..."
        )
    return name


def run_words(pipeline: Pipeline, overrides: Sequence[str]) -> list[str]:
    """The command in the cluster; what lies in the data root here lies in project/ of the volume there."""
    words = ["run", PIPELINE_FILE, *(word for change in overrides for word in ("--set", change))]
    words += ["--set", f"data.root={ARTIFACTS}/project"]
    if (model := _model_place(pipeline)) is not None:
        words += ["--set", f"model.path={model}"]
    return [*words, "--out", f"{ARTIFACTS}/runs/{pipeline.name}"]


def _model_place(pipeline: Pipeline) -> str | None:
    """Where the base model lies on the volume; None for a model on a hub, and where there is none."""
    path = pipeline.sections.model.path
    if path is None or pipeline.model_path == path:
        return None
    root = pipeline.data_root
    try:
        inside = pipeline.path.resolve().parent.joinpath(path).resolve().relative_to(root)
    except ValueError:
        raise PlanError(
            f"{pipeline.path}: model.path {path} lies outside of {root}, which is copied onto the volume. Move "
            "it there, or set data.root to a folder that holds data and model."
        ) from None
    return f"{ARTIFACTS}/project/{inside.as_posix()}"


def require_data_inside(pipeline: Pipeline) -> None:
    """PlanError for files that would not come along with the data root."""
    root = pipeline.data_root
    outside = [
        f"stage {stage}: {field}: {path}"
        for stage in pipeline.stages
        for field, paths in pipeline.file_inputs(stage).items()
        for path in paths
        if not path.resolve().is_relative_to(root)
    ]
    if outside:
        raise PlanError(
            f"{pipeline.path}: outside of {root}, which is copied onto the volume: {'; '.join(outside)}. Move "
            "the files there and name them relative to it."
        )


def environment(pipeline: Pipeline, cluster: Cluster) -> list[Manifest]:
    """Secrets that the pipeline's stages read."""
    variables = sorted(_key_variables(pipeline.sections.model_dump()))
    found = [from_secret(variable, JUDGE_SECRET, variable) for variable in variables]
    return [*found, *([from_secret(TOKEN_VARIABLE, REWARD_SECRET, "token")] if cluster.reward_model else [])]


def _key_variables(settings: Any) -> set[str]:
    """The environment variables that judges and whoever else asks an endpoint take their keys from."""
    if isinstance(settings, dict):
        own = {settings["key_variable"]} if settings.get("key_variable") else set()
        return own.union(*map(_key_variables, settings.values()))
    return set().union(*map(_key_variables, settings)) if isinstance(settings, list) else set()


def jobset(pipeline: Pipeline, cluster: Cluster, sizes: Sizes, overrides: Sequence[str]) -> Manifest:
    """Processes that find each other by the name of the first pod; lost pods are started again, from checkpoints."""
    name = job_name(pipeline)
    alone = cluster.pods == 1 and cluster.gpus <= 1
    ports: Manifest = {} if alone else {"ports": [{"name": "rendezvous", "containerPort": RENDEZVOUS_PORT}]}
    program = ["boresight"] if alone else [*_torchrun(name, cluster), "-m", "boresight"]
    training = container(
        "boresight",
        cluster,
        [*program, *run_words(pipeline, overrides)],
        memory_gib=sizes.pod,
        cpus=cluster.cpus,
        gpus=cluster.gpus,
        environment=environment(pipeline, cluster),
        **ports,
    )
    spec: Manifest = {
        "parallelism": cluster.pods,
        "completions": cluster.pods,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "template": {
            "metadata": {"labels": labels("training")},
            "spec": pod([training], restartPolicy="Never", terminationGracePeriodSeconds=120),
        },
    }
    rules: Manifest = {}
    if alone:  # torchrun exits with 1 whatever it was
        told = {"operator": "In", "values": BAD_INPUT_OR_GATE, "containerName": "boresight"}
        spec["podFailurePolicy"] = {"rules": [{"action": "FailJob", "onExitCodes": told}]}
        rules = {"rules": [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}]}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata(name, cluster),
        "spec": {
            **suspended(cluster),
            "network": {"enableDNSHostnames": True},
            "failurePolicy": {"maxRestarts": RESTARTS, **rules},
            "replicatedJobs": [{"name": "workers", "replicas": 1, "template": {"spec": spec}}],
        },
    }


def network_policy(cluster: Cluster) -> Manifest:
    """Processes that train together may ask each other: whoever else could would need no password to join them."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "boresight-training", "namespace": cluster.namespace, "labels": labels("training")},
        "spec": {
            "podSelector": {"matchLabels": labels("training")},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": labels("training")}}]}],
        },
    }


def metadata(name: str, cluster: Cluster) -> dict[str, Any]:
    """Name, namespace and labels of an object."""
    queued = {QUEUE_LABEL: cluster.queue} if cluster.queue else {}
    return {"name": name, "namespace": cluster.namespace, "labels": {**labels("training"), **queued}}


def suspended(cluster: Cluster) -> Manifest:
    """A queued job waits until Kueue has room for all of it."""
    return {"suspend": True} if cluster.queue else {}


def _torchrun(name: str, cluster: Cluster) -> Sequence[str]:
    processes = f"--nproc-per-node={max(1, cluster.gpus)}"
    if cluster.pods == 1:
        return ["torchrun", "--standalone", processes, f"--max-restarts={RESTARTS}"]
    return [
        # Left to itself, torchrun asks DNS whether this pod is the meeting place, whose name may not be known yet.
        "sh", "-c", f'exec torchrun --rdzv-conf=is_host=$((JOB_COMPLETION_INDEX == 0)),{MEETING} "$@"', "torchrun",
        f"--nnodes={cluster.pods}",
        processes,
        f"--max-restarts={RESTARTS}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={name}-workers-0-0.{name}:{RENDEZVOUS_PORT}",
        f"--rdzv-id={name}",
    ]  # fmt: skip
