from pathlib import Path

import pytest

from boresight.errors import ConfigError, PlanError
from boresight.launch.ray.layout import (
    Layout,
    layout_of,
    refuse_unless_it_fits,
    refuse_what_cannot_be_spread,
    scorers_of,
)

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


def test_what_trainers_cannot_share_is_refused_with_what_cannot_be_spread_each_setting_once(tmp_path: Path) -> None:
    pipeline = pipelines.load(
        tmp_path, "stages.scorer.early_stopping_patience=2", "stages.ppo.offload=[reference]",
        "stages.rloo.roles=shared", "stages.rloo.lora.rank=2",
    )  # fmt: skip
    with pytest.raises(ConfigError) as refused:
        refuse_what_cannot_be_spread(pipeline, 2)
    problems = {problem.split(": ")[1]: problem for problem in refused.value.problems}
    assert list(problems) == ["stages.scorer.early_stopping_patience", "stages.ppo.offload", "stages.rloo.roles"]
    assert "2 is for one process, and 2 are to share the stage" in problems["stages.scorer.early_stopping_patience"]
    assert len(refused.value.problems) == 3 and "cannot be spread over Ray" in problems["stages.ppo.offload"]
    patient = pipelines.load(tmp_path, "stages.scorer.early_stopping_patience=2")
    refuse_what_cannot_be_spread(patient, 1)
    refuse_what_cannot_be_spread(patient, 2, "ppo")


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


def test_room_for_the_most_scorers_is_asked_for_from_the_start() -> None:
    layout = Layout(rollouts=2, scorers=1, most_scorers=3)
    assert len(layout.bundles) == 4 and len(layout.replicas) == 3
    refuse_unless_it_fits(layout, [{"CPU": 7}])
    with pytest.raises(PlanError, match=r"7 actors .*at most 3 for scores.* need 7 CPUs, and it has 6: short by 1"):
        refuse_unless_it_fits(layout, [{"CPU": 6}])
    assert layout.sharing(2).cpus == pytest.approx(2 / 7)


def test_without_a_word_on_processors_actors_share_those_of_one_machine_and_take_one_each_of_a_cluster() -> None:
    said = {"trainers": 1, "rollouts": 2, "scorers": "1:2", "gpus": 0.0}
    assert layout_of(**said, cpus=None, processors=3).cpus == pytest.approx(0.5)
    assert layout_of(**said, cpus=None, processors=None).cpus == 1.0
    assert layout_of(**said, cpus=4.0, processors=3) == Layout(rollouts=2, scorers=1, most_scorers=2, cpus=4.0)


@pytest.mark.parametrize(("text", "expected"), [("2", (2, None)), ("1:4", (1, 4)), ("3:3", (3, 3))])
def test_scorers_are_a_number_or_a_range(text: str, expected: tuple[int, int | None]) -> None:
    assert scorers_of(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0:2", "4:1", "1:", ":2", "1:2:3", "-1", "two"])
def test_what_is_neither_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"--scorers {text}: .*1:4"):
        scorers_of(text)
