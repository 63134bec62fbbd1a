"""The pipeline as a job: the command in the cluster, and the JobSet of the machines that run it."""

from collections.abc import Mapping, Sequence
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
JOIN_WITHIN = 1800
"""Seconds for the others to pull their image, before a pod gives them up."""
RESTARTS = 3
BAD_INPUT_OR_GATE = [1, 2]
"""Exit codes after which trying again changes nothing."""
LAUNCH = ["boresight", "launch", "torchrun"]


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
    """The pipeline file in the cluster and the options that every way of running it takes; what lies in the data root
    here lies in project/ of the volume there."""
    words = [PIPELINE_FILE, *(word for change in overrides for word in ("--set", change))]
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
    """Machines that find each other by the name of the first pod. A lost one is started again with the others, from the
    last checkpoint; bad input is not tried again."""
    name = job_name(pipeline)
    words = run_words(pipeline, overrides)
    processes = max(1, cluster.gpus)
    alone = cluster.pods * processes == 1
    ports: Manifest = {} if alone else {"ports": [{"name": "rendezvous", "containerPort": RENDEZVOUS_PORT}]}
    training = container(
        "boresight",
        cluster,
        ["boresight", "run", *words] if alone else [*LAUNCH, *words, *_machines(name, cluster.pods, processes)],
        memory_gib=sizes.pod,
        cpus=cluster.cpus,
        gpus=cluster.gpus,
        threads=max(1, cluster.cpus // processes),
        environment=environment(pipeline, cluster),
        **ports,
    )
    told = {"operator": "In", "values": BAD_INPUT_OR_GATE, "containerName": "boresight"}
    spec: Manifest = {
        "parallelism": cluster.pods,
        "completions": cluster.pods,
        "completionMode": "Indexed",
        "backoffLimit": 0,
        "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": told}]},
        "template": {
            "metadata": {"labels": labels("training")},
            "spec": pod([training], restartPolicy="Never", terminationGracePeriodSeconds=120),
        },
    }
    rules = [{"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}]
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata(name, cluster),
        "spec": {
            **suspended(cluster),
            "network": {"enableDNSHostnames": True},
            "failurePolicy": {"maxRestarts": RESTARTS, "rules": rules},
            "replicatedJobs": [{"name": "workers", "replicas": 1, "template": {"spec": spec}}],
        },
    }


def network_policy(cluster: Cluster, guarded: Mapping[str, str]) -> Manifest:
    """Processes that train together, in pods of the labels `guarded`, are asked by pods of the job alone: whoever else
    could would need no password to join them."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "boresight-training", "namespace": cluster.namespace, "labels": labels("training")},
        "spec": {
            "podSelector": {"matchLabels": dict(guarded)},
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


def _machines(name: str, pods: int, processes: int) -> Sequence[str]:
    """Options of `launch torchrun`, which takes the pod of index 0 for the place to meet without asking DNS."""
    words = ["--processes", str(processes), "--max-restarts", str(RESTARTS)]
    if pods == 1:
        return words
    meeting = f"{name}-workers-0-0.{name}:{RENDEZVOUS_PORT}"
    return [*words, "--nodes", str(pods), "--rendezvous", meeting, "--join-within", str(JOIN_WITHIN)]
