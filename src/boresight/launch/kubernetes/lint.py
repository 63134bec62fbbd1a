"""Rules of a whole folder of manifests: what schemas cannot know, since it stands in two places or is a choice."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from boresight.launch.kubernetes.jobs import QUEUE_LABEL
from boresight.launch.kubernetes.lint_jobset import lint_jobset
from boresight.launch.kubernetes.lint_network import lint_network
from boresight.launch.kubernetes.lint_pods import is_postgres, lint_pod
from boresight.launch.kubernetes.lint_ray import lint_ray
from boresight.launch.kubernetes.manifests import INDEX, Finding, Loaded, dig, load_folder, pods_of

API_VERSIONS = {
    "RayJob": "ray.io/v1",
    "JobSet": "jobset.x-k8s.io/v1alpha2",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
JOBS = ("JobSet", "RayJob")


def lint(folder: Path) -> list[Finding]:
    """All findings. Raises PlanError for a folder that cannot be read."""
    index, objects = load_folder(folder)
    found = [*_folder(folder, index), *_doubles(objects), *_references(index, objects), *_queues(objects)]
    found += [*_generated(index), *lint_network(objects)]
    for loaded in objects:
        found += _version(loaded)
        found += _secret(loaded)
        found += _scaling(loaded)
        if loaded.kind == "JobSet":
            found += lint_jobset(loaded)
        if loaded.kind == "RayJob":
            found += lint_ray(loaded)
        for pod in pods_of(loaded):
            found += lint_pod(pod)
    return [*found, *_images(objects)]


def _folder(folder: Path, index: Mapping[str, Any]) -> Iterator[Finding]:
    generated = [name for one in index.get("configMapGenerator") or [] for name in one.get("files") or []]
    named = {"kustomization.yaml", *(index.get("resources") or []), *(name.rpartition("=")[2] for name in generated)}
    for file in sorted(path.name for path in folder.glob("*.y*ml")):
        if file not in named:
            yield Finding("kustomization", file, "is not named in kustomization.yaml and would not be applied")
    for name in sorted(named):
        if not (folder / name).exists():
            yield Finding("kustomization", "kustomization.yaml", f"names {name}, which does not exist")


def _doubles(objects: list[Loaded]) -> Iterator[Finding]:
    for (kind, name), count in Counter((one.kind, one.name) for one in objects).items():
        if count > 1:
            yield Finding("double", f"{kind} {name}", f"is there {count} times; the last would win")


def _version(loaded: Loaded) -> Iterator[Finding]:
    expected, found = API_VERSIONS.get(loaded.kind), loaded.body.get("apiVersion")
    if expected is not None and found != expected:
        yield Finding("api-version", loaded.where, f"apiVersion is {found}; expected {expected}")


def _secret(loaded: Loaded) -> Iterator[Finding]:
    if loaded.kind == "Secret" and (loaded.body.get("data") or loaded.body.get("stringData")):
        yield Finding("secret-value", loaded.where, "holds secrets in a file; make it with kubectl create secret")


def _generated(index: Mapping[str, Any]) -> Iterator[Finding]:
    for one in index.get("secretGenerator") or []:
        message = f"makes the Secret {one.get('name')} of values in a file; make it with kubectl create secret"
        yield Finding("secret-value", INDEX, message)


def _scaling(loaded: Loaded) -> Iterator[Finding]:
    """min <= replicas <= max, of an autoscaler and of Ray's groups."""
    spec = loaded.body.get("spec")
    if loaded.kind == "HorizontalPodAutoscaler":
        low, high = dig(spec, "minReplicas"), dig(spec, "maxReplicas")
        if isinstance(low, int) and isinstance(high, int) and low > high:
            yield Finding("replicas", loaded.where, f"minReplicas {low} is above maxReplicas {high}")
    for group in dig(spec, "rayClusterSpec", "workerGroupSpecs") or []:
        low, now, high = (group.get(key) for key in ("minReplicas", "replicas", "maxReplicas"))
        counts = [count for count in (low, now, high) if isinstance(count, int)]
        if counts != sorted(counts):
            message = f"group {group.get('groupName')}: expected minReplicas <= replicas <= maxReplicas, found {counts}"
            yield Finding("replicas", loaded.where, message)


def _queues(objects: list[Loaded]) -> Iterator[Finding]:
    """Where one job goes through a queue, all do, and each waits for it."""
    queued = {one.where: dig(one.body, "metadata", "labels", QUEUE_LABEL) for one in objects if one.kind in JOBS}
    for loaded in objects:
        if loaded.kind not in JOBS:
            continue
        suspended = dig(loaded.body, "spec", "suspend") is True
        if any(queued.values()) and not queued[loaded.where]:
            yield Finding("queue", loaded.where, f"has no label {QUEUE_LABEL}, and would take room past the queue")
        elif suspended and not queued[loaded.where]:
            yield Finding("queue", loaded.where, f"is suspended, and no label {QUEUE_LABEL} says who is to start it")
        elif queued[loaded.where] and not suspended:
            yield Finding("queue", loaded.where, "is in a queue and does not wait for it; expected suspend: true")


def _images(objects: list[Loaded]) -> Iterator[Finding]:
    """Services and jobs of one run come from one image, or they may differ in what they compute; so do a database and
    its backups, which no older program reads."""
    images = {str(c.get("image")) for one in objects for pod in pods_of(one) for c in pod.containers}
    databases = {image for image in images if is_postgres(image)}
    for program in (databases, {image for image in images - databases if "boresight" in image}):
        if len(program) > 1:
            yield Finding("versions", "all pods", f"run different images of one program: {', '.join(sorted(program))}")


def _references(index: Mapping[str, Any], objects: list[Loaded]) -> Iterator[Finding]:
    """Whatever is named is there; Secrets alone are made by hand."""
    there = {(one.kind, one.name) for one in objects}
    there |= {("ConfigMap", str(one.get("name"))) for one in index.get("configMapGenerator") or []}
    labels = [dict(dig(pod.template, "metadata", "labels") or {}) for one in objects for pod in pods_of(one)]
    for loaded in objects:
        spec = loaded.body.get("spec")
        wanted = set()
        for pod in pods_of(loaded):
            if account := pod.spec.get("serviceAccountName"):
                wanted.add(("ServiceAccount", account))
            for volume in pod.spec.get("volumes") or []:
                wanted.add(("PersistentVolumeClaim", dig(volume, "persistentVolumeClaim", "claimName")))
                wanted.add(("ConfigMap", dig(volume, "configMap", "name")))
        if loaded.kind == "StatefulSet":
            wanted.add(("Service", dig(spec, "serviceName")))
        if loaded.kind == "HorizontalPodAutoscaler":
            wanted.add((dig(spec, "scaleTargetRef", "kind"), dig(spec, "scaleTargetRef", "name")))
        for kind, name in sorted((str(k), str(n)) for k, n in wanted if n is not None and (k, n) not in there):
            yield Finding("reference", loaded.where, f"names the {kind} {name}, which is in no file here")
        selector = dig(spec, "selector") if loaded.kind == "Service" else dig(spec, "podSelector", "matchLabels")
        if selector and not any(selector.items() <= one.items() for one in labels):
            yield Finding("reference", loaded.where, f"selects pods labelled {selector}, and there are none")
