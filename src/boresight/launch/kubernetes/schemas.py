"""Manifests against schemas: Kubernetes' own by the package kubernetes-validate, KubeRay's by its CRD files."""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from boresight.errors import PlanError
from boresight.launch.kubernetes.cluster import KUBERNETES
from boresight.launch.kubernetes.manifests import LOADER, Finding, Loaded, dig, load_folder

CUSTOM = ("RayJob", "JobSet")


def check_schemas(folder: Path, crds: Path | None = None) -> list[Finding]:
    """Findings of every object whose schema is at hand; a JobSet by the Jobs that it makes, a RayJob by `crds`, a
    folder with KubeRay's CRDs (.yaml or .yaml.gz).

    Raises PlanError where the packages for it are missing.
    """
    try:
        import jsonschema
        import kubernetes_validate
    except ModuleNotFoundError as error:
        raise PlanError(
            f"the package {error.name}, which holds the schemas, is not installed: pip install 'boresight[k8s]'"
        ) from error
    _, objects = load_folder(folder)
    found = []
    for loaded, body in _kubernetes_objects(objects):
        try:
            kubernetes_validate.validate(body, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            place = ".".join(map(str, error.path))
            found.append(Finding("schema", loaded.where, f"{place or 'object'}: {error.message}"))
        except kubernetes_validate.InvalidSchemaError as error:
            found.append(Finding("schema", loaded.where, f"{loaded.body.get('apiVersion')}: {error}"))
    if crds is not None:
        for loaded in objects:
            if loaded.kind == "RayJob":
                validator = jsonschema.Draft202012Validator(_closed(_ray_schema(crds)))
                for fault in validator.iter_errors(dict(loaded.body)):
                    found.append(Finding("schema", loaded.where, f"{'.'.join(map(str, fault.path))}: {fault.message}"))
    return found


def _kubernetes_objects(objects: list[Loaded]) -> Iterator[tuple[Loaded, dict[str, Any]]]:
    for loaded in objects:
        if loaded.kind not in CUSTOM:
            yield loaded, dict(loaded.body)
        for number, replicated in enumerate(dig(loaded.body, "spec", "replicatedJobs") or []):
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": f"{loaded.name}-{number}"}}
            yield loaded, {**job, **(replicated.get("template") or {})}


def _ray_schema(crds: Path) -> dict[str, Any]:
    for path in sorted(crds.glob("ray.io_rayjobs.yaml*")):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        versions = yaml.load(text, Loader=LOADER)["spec"]["versions"]
        return dict(next(v for v in versions if v["name"] == "v1")["schema"]["openAPIV3Schema"])
    raise PlanError(
        f"{crds}: no ray.io_rayjobs.yaml; expected KubeRay's CRDs (config/crd/bases of its repository)."
        " Give that folder, or leave --crds out."
    )


def _closed(schema: Any) -> Any:
    """The same schema, in which a key that it does not know is an error, as in a cluster that validates strictly."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.pop("x-kubernetes-int-or-string", False):
        closed.pop("type", None)
        closed.pop("anyOf", None)
        closed["type"] = ["integer", "string"]
    free = closed.get("x-kubernetes-preserve-unknown-fields") or closed.get("x-kubernetes-embedded-resource")
    if isinstance(closed.get("properties"), dict) and "additionalProperties" not in closed and not free:
        closed["additionalProperties"] = False
    return closed
