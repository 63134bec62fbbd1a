"""Rules of a RayJob: who may submit, versions that agree, and a cluster that holds what its command places there."""

import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from boresight.errors import PlanError
from boresight.launch.kubernetes.jobs import QUEUE_LABEL
from boresight.launch.kubernetes.manifests import Finding, Loaded, dig, pods_of
from boresight.launch.kubernetes.pods import GPU
from boresight.launch.kubernetes.rayjob import RAY_ANNOTATION
from boresight.launch.ray.layout import Layout, refuse_unless_it_fits
from boresight.planning.numbers import GIB

SUBMISSION_MODES = ("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode")
TOKENS_SINCE = (2, 52)
"""Of Ray: before it there is no token authentication, and the mode would be ignored."""
LAUNCH = ["boresight", "launch", "ray"]


def lint_ray(loaded: Loaded) -> Iterator[Finding]:
    """What is wrong with a RayJob beside its pods."""
    spec = loaded.body.get("spec")
    cluster = dig(spec, "rayClusterSpec")
    mode = dig(spec, "submissionMode")
    if mode not in (None, *SUBMISSION_MODES):
        yield Finding("enum", loaded.where, f"submissionMode {mode}: expected one of {', '.join(SUBMISSION_MODES)}")
    yield from _versions(loaded, cluster)
    if str(dig(cluster, "headGroupSpec", "rayStartParams", "num-cpus")) != "0":
        message = 'Ray may put actors beside the driver on the head; expected rayStartParams.num-cpus: "0"'
        yield Finding("ray-head", loaded.where, message)
    if dig(loaded.body, "metadata", "labels", QUEUE_LABEL) and dig(spec, "shutdownAfterJobFinishes") is not True:
        yield Finding(
            "queue", loaded.where, "Kueue would never get its room back; expected shutdownAfterJobFinishes: true"
        )
    groups = [one for one in dig(cluster, "workerGroupSpecs") or [] if isinstance(one, Mapping)]
    for group in groups:
        yield from _promises(loaded, group)
    yield from _layout(loaded, groups)


def _versions(loaded: Loaded, cluster: Any) -> Iterator[Finding]:
    version = str(dig(cluster, "rayVersion"))
    if dig(cluster, "authOptions", "mode") != "token":
        yield Finding(
            "token", loaded.where, "whoever reaches the cluster may run code; expected authOptions.mode: token"
        )
    elif tuple(int(n) for n in version.split(".")[:2] if n.isdigit()) < TOKENS_SINCE:
        yield Finding("token", loaded.where, f"Ray {version} knows no tokens; take 2.52 or later")
    for pod in pods_of(loaded):
        built = dig(pod.template, "metadata", "annotations", RAY_ANNOTATION)
        if built != version:
            yield Finding(
                "ray-version", loaded.where, f"rayVersion is {version}, and the image is said to have {built}"
            )


def _promises(loaded: Loaded, group: Mapping[str, Any]) -> Iterator[Finding]:
    """What Ray is told of a worker's pod, it has."""
    (container, *_) = dig(group, "template", "spec", "containers") or [{}]
    told = group.get("rayStartParams") or {}
    for word, resource in (("num-cpus", "cpu"), ("num-gpus", GPU)):
        has = dig(container, "resources", "requests", resource) or 0
        if word in told and str(told[word]) != str(has):
            message = f"group {group.get('groupName')}: Ray is told of {word} {told[word]}, and the pod asks for {has}"
            yield Finding("ray-resources", loaded.where, message)
    if not container.get("readinessProbe"):
        message = f"group {group.get('groupName')}: without readinessProbe the command may start before its workers"
        yield Finding("probes", loaded.where, message)
    folders = [volume.get("emptyDir") or {} for volume in dig(group, "template", "spec", "volumes") or []]
    size = next((str(folder.get("sizeLimit")) for folder in folders if folder.get("medium") == "Memory"), "")
    store = str(told.get("object-store-memory", ""))
    if size.endswith("Gi") and store.isdecimal() and int(store) > int(size.removesuffix("Gi")) * GIB:
        message = f"group {group.get('groupName')}: an object store of {store} bytes, and shared memory of {size}"
        yield Finding("ray-resources", loaded.where, message)


def options_of(loaded: Loaded) -> dict[str, str] | None:
    """What a RayJob's command gives `launch ray`, by option; None for any other command."""
    entrypoint = str(dig(loaded.body, "spec", "entrypoint") or "")
    words = [part for word in shlex.split(entrypoint) for part in (word.split("=", 1) if word[:2] == "--" else [word])]
    return dict(pairwise(words)) if words[: len(LAUNCH)] == LAUNCH else None


def _layout(loaded: Loaded, groups: list[Mapping[str, Any]]) -> Iterator[Finding]:
    given = options_of(loaded)
    if given is None:
        return
    if given.get("--address") != "auto":
        message = "the command starts a cluster of its own beside the one that is made for it; expected --address auto"
        yield Finding("layout", loaded.where, message)
    try:
        layout = Layout(
            trainers=int(given.get("--trainers", 1)),
            rollouts=int(given.get("--rollouts", 1)),
            scorers=int(given.get("--scorers", 1)),
            cpus=float(given.get("--cpus", 1)),
            gpus=float(given.get("--gpus", 0)),
        )
        refuse_unless_it_fits(layout, nodes_of(groups))
    except ValueError as error:
        yield Finding("layout", loaded.where, f"the command's actors cannot be counted: {error}")
    except PlanError as error:
        yield Finding("layout", loaded.where, str(error).partition(". Nothing was started")[0])


def nodes_of(groups: list[Mapping[str, Any]]) -> list[dict[str, float]]:
    """What Ray will count on each worker, at the smallest number of them that is promised."""
    nodes = []
    for group in groups:
        told = group.get("rayStartParams") or {}
        requests = dig(group, "template", "spec", "containers", 0, "resources", "requests") or {}
        node = {
            "CPU": float(told.get("num-cpus", requests.get("cpu", 0))),
            "GPU": float(told.get("num-gpus", requests.get(GPU, 0))),
        }
        nodes += [node] * int(group.get("minReplicas", group.get("replicas", 0)))
    return nodes
