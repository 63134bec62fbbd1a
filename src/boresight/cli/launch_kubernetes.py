"""`boresight launch kubernetes`: manifests for a pipeline, and what is wrong with them."""

import json
import sys
from pathlib import Path

import typer

from boresight.cli import launch_kubernetes_options as o
from boresight.data.wording import counted


def kubernetes(
    pipeline: o.PipelineFile = None, out: o.Out = None, check: o.Check = None, image: o.Image = "",
    namespace: o.Namespace = "boresight", queue: o.Queue = None, engine: o.Engine = "torchrun", pods: o.Pods = 1,
    trainers: o.Trainers = 1, rollouts: o.Rollouts = 1, scorers: o.Scorers = 1, gpus: o.Gpus = 0,
    gpu_memory: o.GpuMemory = 80, cpus: o.Cpus = 4, memory: o.Memory = None, storage: o.Storage = "100Gi",
    storage_class: o.StorageClass = None, ray_version: o.RayVersion = None, reward_model: o.RewardModel = None,
    reward_gpus: o.RewardGpus = 0, reward_replicas: o.RewardReplicas = "1:4", reward_scale_on: o.RewardScaleOn = "cpu",
    annotation: o.AnnotationApp = False, annotation_host: o.AnnotationHost = None,
    annotation_replicas: o.AnnotationReplicas = None, annotation_storage: o.AnnotationStorage = None,
    ingress_class: o.IngressClass = None, ingress_namespace: o.IngressNamespace = None,
    postgres_image: o.PostgresImage = None, database_secret: o.DatabaseSecret = None, crds: o.CRDs = None,
    overrides: o.Overrides = None, as_json: o.AsJson = False,
) -> None:  # fmt: skip
    """Write manifests for Kubernetes 1.35, and check them without a cluster.

    A folder for `kubectl apply -k`: namespace, volume, the pipeline as a JobSet or a RayJob, and with --reward-model
    the reward service with its autoscaler. --annotation adds the annotation app with its database, or, without a
    PIPELINE, writes these alone. Memory is what the planner says of the stages; what does not fit is refused. Then our
    own rules are held against what was written, and, where kubernetes-validate is installed, the schemas of
    Kubernetes. Exit code 1: something was found.

    \b
    Example:
      boresight launch kubernetes pipeline.yaml --out manifests --image registry.example/boresight:0.1.0 --gpus 4
      boresight launch kubernetes pipeline.yaml --out manifests --image registry.example/boresight:0.1.0 --engine ray
      boresight launch kubernetes --out labels --image registry.example/boresight:0.1.0 --annotation
      boresight launch kubernetes --check manifests
    """
    from boresight.config.load import load_pipeline
    from boresight.errors import PlanError
    from boresight.launch.kubernetes.cluster import RAY, Cluster, annotation_of, replicas_of
    from boresight.launch.kubernetes.render import render, write_manifests

    writes = pipeline is not None or annotation
    folder = check or out
    if folder is None or (check is None) != writes or (check and out):
        raise PlanError("give a PIPELINE (or --annotation, or both) with --out DIR, or --check DIR alone.")
    app = annotation_of(
        annotation, host=annotation_host, replicas=annotation_replicas, storage=annotation_storage,
        ingress_class=ingress_class, ingress_namespace=ingress_namespace, postgres_image=postgres_image,
        database_secret=database_secret,
    )  # fmt: skip
    if writes:
        cluster = Cluster(
            image=image, namespace=namespace, queue=queue, engine=engine, pods=pods, trainers=trainers,
            rollouts=rollouts, scorers=scorers, gpus=gpus, gpu_gib=gpu_memory, cpus=cpus, memory_gib=memory,
            storage=storage, storage_class=storage_class, ray_version=ray_version or RAY, reward_model=reward_model,
            reward_gpus=reward_gpus, reward_replicas=replicas_of(reward_replicas), reward_scale_on=reward_scale_on,
            annotation=app,
        )  # fmt: skip
        changes = overrides or ()
        loaded = None if pipeline is None else load_pipeline(pipeline, changes)
        write_manifests(render(loaded, cluster, changes), folder)
    _tell(folder, crds, as_json)


def _tell(folder: Path, crds: Path | None, as_json: bool) -> None:
    from importlib.util import find_spec

    from boresight.launch.kubernetes.lint import lint
    from boresight.launch.kubernetes.schemas import check_schemas

    found = lint(folder)
    by_schema = crds is not None or find_spec("kubernetes_validate") is not None
    if by_schema:
        found += check_schemas(folder, crds)
    else:
        print("Not checked by schema: pip install 'boresight[k8s]'", file=sys.stderr)
    files = sorted(path.name for path in folder.glob("*.yaml"))
    if as_json:
        findings = [finding._asdict() for finding in found]
        print(json.dumps({"folder": str(folder), "files": files, "by_schema": by_schema, "findings": findings}))
    else:
        print(
            "\n".join([*map(str, found), f"{folder}: {counted(len(files), 'file')}, {counted(len(found), 'finding')}"])
        )
    if found:
        raise typer.Exit(1)
