"""Options of `boresight launch kubernetes`: what is written, for which machines, and what stands beside the job."""

from pathlib import Path
from typing import Annotated, Literal

import typer

PipelineFile = Annotated[Path | None, typer.Argument(metavar="[PIPELINE]", help="Pipeline file.")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to write: new, empty, or of before.")]
Check = Annotated[Path | None, typer.Option(metavar="DIR", help="Check this folder instead of writing one.")]
Image = Annotated[str, typer.Option(metavar="REF", help="Image with a fixed tag, or by digest.")]
Namespace = Annotated[str, typer.Option(help="Namespace of everything.")]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Kueue's LocalQueue that the job waits in.")]
Engine = Annotated[Literal["torchrun", "ray"], typer.Option(help="A JobSet, or a RayJob.")]
Pods = Annotated[int, typer.Option(min=1, metavar="N", help="Machines that train together, by `launch torchrun`.")]
Trainers = Annotated[int, typer.Option(min=1, metavar="N", help="With ray: trainers that share batches, weights.")]
Rollouts = Annotated[int, typer.Option(min=1, metavar="N", help="With ray: actors that write responses.")]
Scorers = Annotated[int, typer.Option(min=1, metavar="N", help="With ray: actors that score them.")]
Gpus = Annotated[int, typer.Option(min=0, metavar="N", help="GPUs of each machine; with ray one for an actor.")]
GpuMemory = Annotated[int, typer.Option(min=1, metavar="GIB", help="Memory of each GPU.")]
Cpus = Annotated[int, typer.Option(min=1, metavar="N", help="Processors of each machine.")]
Memory = Annotated[int | None, typer.Option(min=1, metavar="GIB", help="Of each machine.  [default: as planned]")]
Storage = Annotated[str, typer.Option(metavar="SIZE", help="Of the volume for data, models and runs.")]
StorageClass = Annotated[str | None, typer.Option(metavar="NAME", help="Its class; it must take many pods.")]
RayVersion = Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Ray in the image.")]

RewardModel = Annotated[str | None, typer.Option(metavar="PATH", help="Serve this folder of the volume.")]
RewardGpus = Annotated[int, typer.Option(min=0, metavar="N", help="GPUs of each replica.")]
RewardReplicas = Annotated[str, typer.Option(metavar="MIN:MAX", help="Replicas of the service.")]
RewardScaleOn = Annotated[Literal["cpu", "held"], typer.Option(help="What the autoscaler looks at.")]

AnnotationApp = Annotated[bool, typer.Option("--annotation", help="The annotation app, with PostgreSQL.")]
AnnotationHost = Annotated[str | None, typer.Option(metavar="NAME", help="Its name outside, by an Ingress with TLS.")]
AnnotationReplicas = Annotated[int | None, typer.Option(min=1, metavar="N", help="Replicas of it.  [default: 1]")]
AnnotationStorage = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of its database, and again of the backups.  [default: 10Gi]")
]
IngressClass = Annotated[str | None, typer.Option(metavar="NAME", help="Of the Ingress.  [default: the cluster's]")]
IngressNamespace = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of its controller, which alone may ask.  [default: ingress-nginx]")
]
PostgresImage = Annotated[
    str | None, typer.Option(metavar="REF", help="PostgreSQL with a minor version, or by digest.")
]
DatabaseSecret = Annotated[
    str | None, typer.Option(metavar="NAME", help="Secret with PGHOST, PGUSER, … of a server elsewhere.")
]

CRDs = Annotated[Path | None, typer.Option(metavar="DIR", help="KubeRay's CRDs, to check a RayJob by.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
