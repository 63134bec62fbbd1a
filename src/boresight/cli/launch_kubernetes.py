"""`boresight launch kubernetes`: manifests for a pipeline, and what is wrong with them."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer


def kubernetes(
    pipeline: Annotated[Path | None, typer.Argument(metavar="PIPELINE", help="Pipeline file.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to write: new, empty, or of before.")] = None,
    check: Annotated[Path | None, typer.Option(metavar="DIR", help="Check this folder instead of writing one.")] = None,
    image: Annotated[str, typer.Option(metavar="REF", help="Image with a fixed tag, or by digest.")] = "",
    namespace: Annotated[str, typer.Option(help="Namespace of everything.")] = "boresight",
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Kueue's LocalQueue that the job waits in.")] = None,
    engine: Annotated[Literal["torchrun", "ray"], typer.Option(help="A JobSet, or a RayJob.")] = "torchrun",
    pods: Annotated[int, typer.Option(min=1, metavar="N", help="Machines that train together.")] = 1,
    gpus: Annotated[int, typer.Option(min=0, metavar="N", help="GPUs of each.")] = 0,
    gpu_memory: Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory of each GPU.")] = 80,
    cpus: Annotated[int, typer.Option(min=1, metavar="N", help="Processors of each.")] = 4,
    memory: Annotated[int | None, typer.Option(min=1, metavar="GIB", help="Of each.  [default: as planned]")] = None,
    storage: Annotated[str, typer.Option(metavar="SIZE", help="Of the volume for data, models and runs.")] = "100Gi",
    storage_class: Annotated[
        str | None, typer.Option(metavar="NAME", help="Its class; it must take many pods.")
    ] = None,
    ray_version: Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Ray in the image.")] = None,
    reward_model: Annotated[str | None, typer.Option(metavar="PATH", help="Serve this folder of the volume.")] = None,
    reward_gpus: Annotated[int, typer.Option(min=0, metavar="N", help="GPUs of each replica.")] = 0,
    reward_replicas: Annotated[str, typer.Option(metavar="MIN:MAX", help="Replicas of the service.")] = "1:4",
    reward_scale_on: Annotated[Literal["cpu", "held"], typer.Option(help="What the autoscaler looks at.")] = "cpu",
    crds: Annotated[Path | None, typer.Option(metavar="DIR", help="KubeRay's CRDs, to check a RayJob by.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write manifests for Kubernetes 1.35, and check them without a cluster.

    A folder for `kubectl apply -k`: namespace, volume, the pipeline as a JobSet or a RayJob, and with --reward-model
    the reward service with its autoscaler. Memory is what the planner says of the stages; what does not fit is refused.
    Then our own rules are held against what was written, and, where kubernetes-validate is installed, the schemas of
    Kubernetes. Exit code 1: something was found.

    \b
    Example:
      boresight launch kubernetes pipeline.yaml --out manifests --image registry.example/boresight:0.1.0 --gpus 4
      boresight launch kubernetes --check manifests
    """
    from boresight.config.load import load_pipeline
    from boresight.errors import PlanError
    from boresight.launch.kubernetes.cluster import RAY, Cluster, replicas_of
    from boresight.launch.kubernetes.render import render, write_manifests

    folder = check or out
    if folder is None or (check is None) == (pipeline is None):
        raise PlanError("give a PIPELINE with --out DIR, or --check DIR alone.")
    if pipeline is not None:
        cluster = Cluster(
            image=image, namespace=namespace, queue=queue, engine=engine, pods=pods, gpus=gpus, gpu_gib=gpu_memory,
            cpus=cpus, memory_gib=memory, storage=storage, storage_class=storage_class, ray_version=ray_version or RAY,
            reward_model=reward_model, reward_gpus=reward_gpus, reward_replicas=replicas_of(reward_replicas),
            reward_scale_on=reward_scale_on,
        )  # fmt: skip
        write_manifests(render(load_pipeline(pipeline, overrides or ()), cluster, overrides or ()), folder)
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
        print("\n".join([*map(str, found), f"{folder}: {len(files)} files, {len(found)} findings"]))
    if found:
        raise typer.Exit(1)
