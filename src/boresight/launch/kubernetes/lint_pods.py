"""Rules of single pods: whose rights they have, what they may use, whether anybody can tell that they work."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from boresight.launch.kubernetes.annotation import STATE_VARIABLE
from boresight.launch.kubernetes.cluster import POSTGRES_TAG
from boresight.launch.kubernetes.manifests import Finding, Pod, dig
from boresight.launch.kubernetes.pods import GPU

SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIAL", re.IGNORECASE)
ADDRESS_WITH_PASSWORD = re.compile(r"\w+://[^/\s:@]+:[^/\s@]+@")
DEFAULT_PGDATA = "/var/lib/postgresql/data"
SEVERAL_PROCESSES = ("torchrun", "ray-head", "ray-worker")
"""What uses shared memory: processes of PyTorch, by `launch torchrun` or plain torchrun, and Ray's object store."""


def lint_pod(pod: Pod) -> Iterator[Finding]:
    """What is wrong in the specification of one pod: security, resources, probes, images."""
    yield from _rights(pod)
    yield from _restart(pod)
    for container in pod.containers:
        yield from _image(pod, container)
        yield from _container_rights(pod, container)
        yield from _secrets(pod, container)
        yield from _resources(pod, container)
        yield from _shared_memory(pod, container)
        yield from _session_key(pod, container)
        if not pod.job:
            yield from _probes(pod, container)
            yield from _kept(pod, container)


def is_postgres(image: str) -> bool:
    """Whether it is PostgreSQL's, of whichever registry."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0] == "postgres"


def word_after(container: Mapping[str, Any], option: str) -> str | None:
    """What follows an option in the command; None where it is not there."""
    words = [str(word) for word in [*(container.get("command") or []), *(container.get("args") or [])]]
    return dict(pairwise(words)).get(option)


def _found(pod: Pod, rule: str, message: str, container: Mapping[str, Any] | None = None) -> Finding:
    inside = f", container {container.get('name')}" if container else ""
    return Finding(rule, f"{pod.owner.where}{inside}", message)


def _rights(pod: Pod) -> Iterator[Finding]:
    context = pod.spec.get("securityContext") or {}
    if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
        yield _found(pod, "non-root", "may run as root; expected securityContext.runAsNonRoot: true and another user")
    if dig(context, "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
        yield _found(pod, "non-root", "has no seccomp profile; expected seccompProfile.type: RuntimeDefault")
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield _found(pod, "api-token", "gets a token of the API server; expected automountServiceAccountToken: false")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key):
            yield _found(pod, "host", f"{key} shares the machine with the pod; take it out")
    for volume in pod.spec.get("volumes") or []:
        if "hostPath" in volume:
            yield _found(pod, "host", f"the volume {volume.get('name')} is a folder of the machine; use a claim")


def _restart(pod: Pod) -> Iterator[Finding]:
    policy = pod.spec.get("restartPolicy")
    if pod.owner.kind in ("Job", "JobSet", "CronJob") and policy not in ("Never", "OnFailure"):
        yield _found(pod, "restart", f"restartPolicy is {policy}; a job takes Never or OnFailure")


def _image(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2].partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        yield _found(pod, "image-tag", f"the image {image!r} has no fixed version; give a tag or a digest", container)

    elif is_postgres(image) and not POSTGRES_TAG.search(image):
        message = f"the image {image!r} moves on with each minor version; give that, or a digest"
        yield _found(pod, "image-tag", message, container)


def _container_rights(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    context = container.get("securityContext") or {}
    if context.get("privileged") or context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield _found(pod, "non-root", "asks for root", container)
    if context.get("allowPrivilegeEscalation") is not False:
        yield _found(pod, "non-root", "may gain rights; expected allowPrivilegeEscalation: false", container)
    if "ALL" not in (dig(context, "capabilities", "drop") or []):
        yield _found(pod, "non-root", "keeps capabilities; expected capabilities.drop: [ALL]", container)


def _secrets(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    for variable in container.get("env") or []:
        name, value = str(variable.get("name")), variable.get("value")
        if value and (SECRET_NAME.search(name) or ADDRESS_WITH_PASSWORD.search(str(value))):
            yield _found(pod, "secret-value", f"{name} holds its value; expected valueFrom.secretKeyRef", container)
    for word in [*(container.get("command") or []), *(container.get("args") or [])]:
        if ADDRESS_WITH_PASSWORD.search(str(word)):
            yield _found(pod, "secret-value", "the command holds a password; take it from a Secret", container)


def _resources(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    requests, limits = (dig(container, "resources", side) or {} for side in ("requests", "limits"))
    for resource in ("cpu", "memory"):
        if resource not in requests:
            yield _found(pod, "resources", f"asks for no {resource}; the scheduler would place it anywhere", container)
    if "memory" not in limits:
        yield _found(pod, "resources", "has no limit of memory", container)
    gpus = requests.get(GPU), limits.get(GPU)
    if any(gpus) and str(gpus[0]) != str(gpus[1]):
        yield _found(pod, "gpu", f"asks for {gpus[0]} GPUs and is limited to {gpus[1]}; they must be equal", container)
    if any(gpus) and requests.get("memory") != limits.get("memory"):
        yield _found(pod, "gpu", "holds a GPU and may lose its memory; expected requests = limits", container)


def _shared_memory(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    words = [*(container.get("command") or []), str(container.get("name"))]
    several = any(str(word).startswith(SEVERAL_PROCESSES) for word in words)
    if not several and not dig(container, "resources", "limits", GPU):
        return
    mounted = {m.get("name") for m in container.get("volumeMounts") or [] if m.get("mountPath") == "/dev/shm"}
    memory = {v.get("name") for v in pod.spec.get("volumes") or [] if dig(v, "emptyDir", "medium") == "Memory"}
    if not mounted & memory:
        message = "has the 64 MiB of /dev/shm that a container gets; mount an emptyDir of medium Memory there"
        yield _found(pod, "shared-memory", message, container)


def _session_key(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    """Replicas of the annotation app, and those that take their place, know each other's sessions."""
    words = [str(word) for word in container.get("command") or []]
    if words[:3] != ["boresight", "label", "serve"]:
        return
    state = [one.get("value") for one in container.get("env") or [] if one.get("name") == STATE_VARIABLE]
    keys = [mount.get("name") for mount in container.get("volumeMounts") or [] if mount.get("mountPath") == _key(state)]
    if not any("secret" in volume for volume in pod.spec.get("volumes") or [] if volume.get("name") in keys):
        message = (
            "makes a key of its own at each start, which ends all sessions; expected a Secret mounted at boresight/ "
            f"of ${STATE_VARIABLE}"
        )
        yield _found(pod, "session-key", message, container)


def _key(state: list[Any]) -> str:
    return f"{state[0]}/boresight" if state else ""


def _kept(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    """A database writes into a claim."""
    if not is_postgres(str(container.get("image"))):
        return
    data = next((v.get("value") for v in container.get("env") or [] if v.get("name") == "PGDATA"), None)
    claims = {dig(one, "metadata", "name") for one in dig(pod.owner.body, "spec", "volumeClaimTemplates") or []}
    claims |= {one.get("name") for one in pod.spec.get("volumes") or [] if "persistentVolumeClaim" in one}
    kept = [str(m.get("mountPath")) for m in container.get("volumeMounts") or [] if m.get("name") in claims]
    if not any(str(data or DEFAULT_PGDATA).startswith(folder.rstrip("/") + "/") for folder in kept):
        message = "its data would be gone with the pod; expected PGDATA below the mount of a volume claim"
        yield _found(pod, "volume", message, container)


def _probes(pod: Pod, container: Mapping[str, Any]) -> Iterator[Finding]:
    for probe in ("readinessProbe", "livenessProbe"):
        if not container.get(probe):
            yield _found(pod, "probes", f"has no {probe}: nobody sees that it is stuck", container)
        port = dig(container, probe, "httpGet", "port")
        names = {p.get("name") for p in container.get("ports") or []} | {
            p.get("containerPort") for p in container.get("ports") or []
        }
        if port is not None and port not in names:
            yield _found(pod, "probes", f"{probe} asks port {port}, which the container does not have", container)
