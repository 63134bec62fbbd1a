"""`boresight launch`: the same pipeline by several processes, or on a cluster."""

SUBVERBS = {
    "torchrun": ("boresight.cli.launch_torchrun", "torchrun", "Run a pipeline by several processes that share it."),
    "ray": ("boresight.cli.launch_ray", "ray", "Run a pipeline with its roles in actors of a Ray cluster."),
    "kubernetes": ("boresight.cli.launch_kubernetes", "kubernetes", "Write and check manifests for Kubernetes."),
}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""


def command() -> None:
    """The same pipeline by several processes, or on a cluster.

    \b
    Example:
      boresight launch torchrun pipeline.yaml --processes 2
      boresight launch ray pipeline.yaml --rollouts 2
      boresight launch kubernetes pipeline.yaml --out manifests --image registry.example/boresight:0.1.0
    """
