"""A RayJob's cluster against what its command places there."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from boresight.errors import ConfigError, PlanError
from boresight.launch.kubernetes.lint_ray import nodes_of
from boresight.launch.kubernetes.render import render
from boresight.launch.kubernetes.sizes import sizes
from boresight.launch.ray.layout import Layout, refuse_unless_it_fits
from tests.launch.ray import pipelines
from tests.pipeline import tiny_pipeline as tiny

from .rendered import cluster


def rayjob(work: Path, **choices: Any) -> Any:
    return yaml.safe_load(render(pipelines.load(work), cluster(engine="ray", **choices))["rayjob.yaml"])


def placed(job: Any) -> Layout:
    """What `boresight launch ray` will ask Ray for, read out of the command."""
    words = shlex.split(job["spec"]["entrypoint"])
    given = {words[i]: words[i + 1] for i in range(len(words) - 1)}
    return Layout(
        trainers=int(given["--trainers"]), rollouts=int(given["--rollouts"]), scorers=int(given["--scorers"]),
        cpus=float(given["--cpus"]), gpus=float(given["--gpus"]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("choices", "pods"),
    [
        ({}, 4),
        ({"rollouts": 5, "scorers": 2}, 9),
        ({"gpus": 1}, 4),
        ({"trainers": 2}, 5),
        ({"trainers": 4, "rollouts": 2, "gpus": 4, "cpus": 8}, 2),
        ({"gpus": 4}, 1),
        ({"rollouts": 4, "scorers": 2, "gpus": 3, "cpus": 8}, 3),
        ({"rollouts": 12, "scorers": 2, "gpus": 8, "cpus": 7}, 2),
    ],
)
def test_the_workers_hold_the_actors_of_the_command_and_no_pod_is_spare(
    tmp_path: Path, choices: dict[str, Any], pods: int
) -> None:
    job = rayjob(tmp_path, **choices)
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    nodes = nodes_of([group])
    assert len(nodes) == group["replicas"] == group["maxReplicas"] == pods
    requests = group["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert nodes[0] == {"CPU": requests["cpu"], "GPU": requests.get("nvidia.com/gpu", 0)}
    assert placed(job).trainers == choices.get("trainers", 1)
    refuse_unless_it_fits(placed(job), nodes)
    with pytest.raises(PlanError, match="cannot hold the run"):
        refuse_unless_it_fits(placed(job), nodes[:-1])


def test_memory_is_that_of_each_actor_in_a_pod_and_of_the_weights_under_way(tmp_path: Path) -> None:
    """By hand: 402,653,184 numbers of 4 bytes are 1.5 GiB, so that two versions of the weights are 3 GiB and a bit."""
    wide = pipelines.text().replace("vocabulary_size: 300", "vocabulary_size: 262144")
    wide = wide.replace("hidden_size: 16", "hidden_size: 1536")
    weights = 4 * (262144 * 1536 + 4 * 1536**2 + 3 * 1536 * 32 + 3 * 1536) / 2**30
    found = sizes(tiny.load(tmp_path, text=wide), cluster(engine="ray", gpus=4))
    assert found.object_store == 5 and found.shared_memory == 7
    assert found.pod == pytest.approx(4 * (2 * weights + 3) + 7, abs=1)
    job = yaml.safe_load(render(tiny.load(tmp_path, text=wide), cluster(engine="ray", gpus=4))["rayjob.yaml"])
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["rayStartParams"]["object-store-memory"] == str(5 * 2**30)
    assert group["template"]["spec"]["volumes"][3]["emptyDir"] == {"medium": "Memory", "sizeLimit": "7Gi"}


def test_frozen_models_of_a_spread_stage_do_not_count_for_the_trainers_gpu(tmp_path: Path) -> None:
    """2.06 GiB of weights: policy and value take four times that each (gradients, moments) and the context 1 GiB, 17.5
    in all; the reference and the reward model are 4.1 more."""
    wide = pipelines.text().replace("vocabulary_size: 300", "vocabulary_size: 262144")
    loaded = tiny.load(tmp_path, text=wide.replace("hidden_size: 16", "hidden_size: 2048"))
    sizes(loaded, cluster(engine="ray", gpus=1, gpu_gib=20))
    with pytest.raises(PlanError, match=r"stage ppo: .*frozen models and context need 21\.6 GiB .* has 20"):
        sizes(loaded, cluster(gpus=1, gpu_gib=20))
    with pytest.raises(PlanError, match=r"stage ppo: weights, gradients, moments, and context need 17\.5 GiB"):
        sizes(loaded, cluster(engine="ray", gpus=1, gpu_gib=17))


def test_each_trainer_of_a_group_has_its_share_of_the_weights_and_what_it_gathers_of_them(tmp_path: Path) -> None:
    """Of the 16.5 GiB of policy and value model (above) each of four has 4.1, the context 1 GiB; at the end of a
    backward pass embeddings (2 GiB) and two blocks are whole, with their gradients."""
    wide = pipelines.text().replace("vocabulary_size: 300", "vocabulary_size: 262144")
    loaded = tiny.load(tmp_path, text=wide.replace("hidden_size: 16", "hidden_size: 2048"))
    with pytest.raises(PlanError, match=r"stage ppo: .* need 17\.5 GiB on one GPU, which"):
        sizes(loaded, cluster(engine="ray", gpus=4, gpu_gib=14))
    sizes(loaded, cluster(engine="ray", gpus=4, gpu_gib=14, trainers=4))
    with pytest.raises(PlanError, match=r"stage ppo: .* GiB on one GPU of 4, which has 4"):
        sizes(loaded, cluster(engine="ray", gpus=4, gpu_gib=4, trainers=4))


def test_a_group_of_trainers_is_asked_by_pods_of_the_job_alone(tmp_path: Path) -> None:
    assert "training-network.yaml" not in render(pipelines.load(tmp_path), cluster(engine="ray"))
    files = render(pipelines.load(tmp_path), cluster(engine="ray", trainers=2))
    guarded = yaml.safe_load(files["training-network.yaml"])["spec"]["podSelector"]["matchLabels"]
    spec = yaml.safe_load(files["rayjob.yaml"])["spec"]["rayClusterSpec"]
    worker, head = (one["template"]["metadata"]["labels"] for one in (*spec["workerGroupSpecs"], spec["headGroupSpec"]))
    assert guarded.items() <= worker.items() and not guarded.items() <= head.items()


def test_a_pipeline_that_ray_cannot_spread_is_refused_when_it_is_written(tmp_path: Path) -> None:
    text = pipelines.text()
    with pytest.raises(ConfigError, match="none of kind ppo or rloo"):
        render(tiny.load(tmp_path, text=text[: text.index("  ppo:")]), cluster(engine="ray"))
