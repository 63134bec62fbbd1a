"""From a pipeline and a cluster to a folder for `kubectl apply -k`, one object a file."""

import json
from collections.abc import Sequence
from pathlib import Path

from boresight.config.pipeline import Pipeline
from boresight.config.several_processes import refuse_what_is_for_one
from boresight.config.yaml_text import dump_yaml
from boresight.errors import PlanError
from boresight.launch.kubernetes import annotation, database, jobs, rayjob, reward, storage
from boresight.launch.kubernetes.cluster import KUBERNETES, Cluster, check_cluster
from boresight.launch.kubernetes.manifests import INDEX
from boresight.launch.kubernetes.pods import PIPELINE_MAP, Manifest, labels
from boresight.launch.kubernetes.sizes import Sizes, sizes
from boresight.launch.ray.layout import refuse_what_cannot_be_spread
from boresight.storage import folder_at_once

MARK = f"# Made by `boresight launch kubernetes` for Kubernetes {KUBERNETES}; made anew by the same command.\n"
PIPELINE_NAME = "pipeline.yaml"


def render(pipeline: Pipeline | None, cluster: Cluster, overrides: Sequence[str] = ()) -> dict[str, str]:
    """Text of each file by its name. `overrides` are the `--set` of the pipeline, which go into the command. Without a
    pipeline it is the annotation app alone.

    Raises PlanError for what cannot be, and ConfigError for a pipeline that Ray cannot spread or several processes
    cannot share, before anything is written.
    """
    check_cluster(cluster)
    if pipeline is None:
        if cluster.annotation is None or cluster.reward_model is not None:
            raise PlanError("without a PIPELINE there is the annotation app alone: add --annotation, or name a file.")
        objects = manifests(None, cluster, None, overrides)
        return {name: MARK + text for name, text in _texts(cluster, objects, None).items()}
    jobs.require_data_inside(pipeline)
    if cluster.engine == "ray":
        refuse_what_cannot_be_spread(pipeline, cluster.trainers)
    else:
        refuse_what_is_for_one(pipeline, cluster.pods * max(1, cluster.gpus))
    size = sizes(pipeline, cluster)
    objects = manifests(pipeline, cluster, size, overrides)
    files = {name: MARK + text for name, text in _texts(cluster, objects, pipeline).items()}
    job = next(name for name in objects if name in ("jobset.yaml", "rayjob.yaml"))
    files[job] = files[job].replace(MARK, f"{MARK}# Memory of the pods that train: {size.reason}.\n")
    return {**files, PIPELINE_NAME: pipeline.path.read_text(encoding="utf-8")}


def manifests(
    pipeline: Pipeline | None, cluster: Cluster, size: Sizes | None, overrides: Sequence[str]
) -> dict[str, Manifest]:
    """All objects by file, in the order in which they are to be made."""
    found = {"namespace.yaml": storage.namespace(cluster), "account.yaml": storage.account(cluster)}
    if cluster.annotation is not None:
        found |= annotation.manifests(cluster, cluster.annotation)
    if pipeline is None or size is None:
        return found
    found["volume.yaml"] = storage.volume(cluster)
    if cluster.reward_model is not None:
        found |= {
            "reward-deployment.yaml": reward.deployment(cluster, size),
            "reward-service.yaml": reward.service(cluster),
            "reward-autoscaler.yaml": reward.autoscaler(cluster),
            "reward-network.yaml": reward.network_policy(cluster),
        }
    if cluster.engine == "ray":  # its operator has to reach the head, wherever that is; what guards it is the token
        if cluster.trainers > 1:
            found["training-network.yaml"] = rayjob.group_policy(cluster)
        return {**found, "rayjob.yaml": rayjob.rayjob(pipeline, cluster, size, overrides)}
    found["training-network.yaml"] = jobs.network_policy(cluster, labels("training"))
    return {**found, "jobset.yaml": jobs.jobset(pipeline, cluster, size, overrides)}


def write_manifests(files: dict[str, str], folder: Path) -> None:
    """Fill the folder, which may be new, empty, or made by this command before: PlanError for any other."""
    if folder.exists():
        ours = folder.is_dir() and (not any(folder.iterdir()) or _is_ours(folder / INDEX))
        if not ours:
            raise PlanError(
                f"--out {folder}: holds files that this command did not make and would remove. Give a new folder, or "
                "an empty one."
            )
    with folder_at_once(folder) as new:
        for name, text in files.items():
            (new / name).write_text(text, encoding="utf-8")


def _texts(cluster: Cluster, objects: dict[str, Manifest], pipeline: Pipeline | None) -> dict[str, str]:
    """The objects, the kustomization of them, and the script that the database reads when it is new."""
    maps = [{"name": PIPELINE_MAP, "files": [PIPELINE_NAME]}] if pipeline is not None else []
    scripts = {}
    if "database-statefulset.yaml" in objects:
        maps.append({"name": database.ROLES_MAP, "files": [database.ROLES_FILE]})
        scripts[database.ROLES_FILE] = database.ROLES
    index = _index(cluster, list(objects), maps)
    return {INDEX: _text(index), **{name: _text(manifest) for name, manifest in objects.items()}, **scripts}


def _text(manifest: Manifest) -> str:
    return dump_yaml(json.loads(json.dumps(manifest)))  # a copy without shared parts, which YAML would write as anchors


def _is_ours(index: Path) -> bool:
    return index.is_file() and index.read_text(encoding="utf-8").startswith("# Made by `boresight launch kubernetes`")


def _index(cluster: Cluster, resources: list[str], maps: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": cluster.namespace,
        "resources": resources,
        "configMapGenerator": maps,
        # Names in a JobSet or RayJob would not follow a suffix.
        "generatorOptions": {"disableNameSuffixHash": True},
    }
