from pathlib import Path

import pytest

from boresight.errors import ConfigError, PlanError
from boresight.launch.ray.layout import Layout, refuse_unless_it_fits, refuse_what_cannot_be_spread

from . import pipelines


def test_actors_that_fit_exactly_are_placed() -> None:
    refuse_unless_it_fits(Layout(rollouts=2, cpus=0.1), [{"CPU": 0.5}])
    refuse_unless_it_fits(Layout(rollouts=2, gpus=1.0), [{"CPU": 3, "GPU": 2}, {"CPU": 3, "GPU": 3}])


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([{"CPU": 2.0}], "need 4 CPUs, and it has 2: short by 2; 4 GPUs, and it has 0: short by 4"),
        ([{"CPU": 8.0, "GPU": 3.0}], "need 4 GPUs, and it has 3: short by 1"),
        ([{"CPU": 8.0}, {"GPU": 8.0}], "need room for 4 actors of 1 CPU and 1 GPU, each on one of 2 nodes: 0 fit"),
    ],
)
def test_a_shortfall_is_told_in_numbers(nodes: list[dict[str, float]], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        refuse_unless_it_fits(Layout(gpus=1.0), nodes)


def test_trainers_are_counted_as_other_actors_are() -> None:
    assert Layout(trainers=2).actors == ["trainer", "trainer", "rollout", "scorer", "reference"]
    with pytest.raises(PlanError, match=r"5 actors \(2 trainers, .* need 5 CPUs, and it has 3: short by 2"):
        refuse_unless_it_fits(Layout(trainers=2), [{"CPU": 3.0}])


def test_stages_that_cannot_be_taken_apart_are_named_with_their_settings(tmp_path: Path) -> None:
    pipeline = pipelines.load(tmp_path, "stages.ppo.lora.rank=2", "stages.rloo.roles=shared", "stages.rloo.lora.rank=2")
    with pytest.raises(ConfigError) as refused:
        refuse_what_cannot_be_spread(pipeline)
    problems = refused.value.problems
    assert [problem.split(": ")[1] for problem in problems] == ["stages.ppo.roles", "stages.rloo.roles"]
    assert "shared (what lora takes by itself) cannot be spread" in problems[0] and "Expected: separate" in problems[1]
    refuse_what_cannot_be_spread(pipelines.load(tmp_path, *pipelines.SPREAD))


def test_a_pipeline_without_rollouts_is_sent_elsewhere(tmp_path: Path) -> None:
    text = pipelines.text()
    pipeline = pipelines.tiny.load(tmp_path, text=text[: text.index("  ppo:")])
    with pytest.raises(
        ConfigError, match=r"none of kind ppo or rloo \(found pretrain, sft, preferences, reward_model\)"
    ):
        refuse_what_cannot_be_spread(pipeline)


def test_on_one_machine_the_actors_share_its_processors() -> None:
    assert Layout(rollouts=2).sharing(2).cpus == pytest.approx(0.4) and Layout().sharing(64).cpus == 1.0
    refuse_unless_it_fits(Layout(rollouts=4, scorers=2).sharing(3), [{"CPU": 3}])
