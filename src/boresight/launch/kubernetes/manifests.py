"""Manifests as they lie in a folder, and the pods in them: what the checks look at."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from boresight.errors import PlanError

INDEX = "kustomization.yaml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Finding(NamedTuple):
    """One thing that is wrong: `rule` names the check, `where` file and object."""

    rule: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message} [{self.rule}]"


class Loaded(NamedTuple):
    """One object of a folder; `where` is its file, kind and name."""

    file: str
    body: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind"))

    @property
    def name(self) -> str:
        return str(dig(self.body, "metadata", "name"))

    @property
    def where(self) -> str:
        return f"{self.file}: {self.kind} {self.name}"


class Pod(NamedTuple):
    """A pod's template in an object; `job` tells whether it ends by itself."""

    owner: Loaded
    template: Mapping[str, Any]
    job: bool

    @property
    def spec(self) -> Mapping[str, Any]:
        return dict(self.template.get("spec") or {})

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]


def dig(value: Any, *keys: str | int) -> Any:
    """The value under a path of keys; None where there is none."""
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def load_folder(folder: Path) -> tuple[Mapping[str, Any], list[Loaded]]:
    """The kustomization, and every object of the files that it names. Raises PlanError for what cannot be read."""
    index = _documents(folder / INDEX)[0]
    named = [str(name) for name in index.get("resources") or []]
    return index, [Loaded(name, body) for name in named for body in _documents(folder / name)]


def pods_of(loaded: Loaded) -> Iterator[Pod]:
    """Every pod specification in the manifests, wherever it is nested."""
    spec = loaded.body.get("spec")
    match loaded.kind:
        case "Deployment" | "StatefulSet" | "DaemonSet":
            yield Pod(loaded, dig(spec, "template") or {}, job=False)
        case "Job":
            yield Pod(loaded, dig(spec, "template") or {}, job=True)
        case "CronJob":
            yield Pod(loaded, dig(spec, "jobTemplate", "spec", "template") or {}, job=True)
        case "JobSet":
            for replicated in dig(spec, "replicatedJobs") or []:
                yield Pod(loaded, dig(replicated, "template", "spec", "template") or {}, job=True)
        case "RayJob":
            if submitter := dig(spec, "submitterPodTemplate"):
                yield Pod(loaded, submitter, job=True)
            yield Pod(loaded, dig(spec, "rayClusterSpec", "headGroupSpec", "template") or {}, job=True)
            for group in dig(spec, "rayClusterSpec", "workerGroupSpecs") or []:
                yield Pod(loaded, dig(group, "template") or {}, job=True)


def _documents(path: Path) -> list[Mapping[str, Any]]:
    try:
        found = [body for body in yaml.load_all(path.read_text(encoding="utf-8"), LOADER) if body is not None]
    except OSError as error:
        raise PlanError(
            f"{path}: cannot be read ({error.strerror}); expected the folder of a kustomization."
            " Give one, such as `launch kubernetes --out DIR` writes."
        ) from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path}: is no YAML: {' '.join(str(error).split())}") from error
    if not found or not all(isinstance(body, Mapping) for body in found):
        raise PlanError(f"{path}: expected Kubernetes objects. Correct the file, or render the folder again.")
    return found
