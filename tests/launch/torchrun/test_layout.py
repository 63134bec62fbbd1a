"""What is refused, or said, before any process is started."""

from pathlib import Path

import pytest

from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError, PlanError
from boresight.launch.torchrun.layout import (
    Layout,
    nodes_of,
    notes,
    refuse_what_cannot_be_met,
)
from boresight.launch.torchrun.rendezvous import place_of
from boresight.launch.torchrun.run import TorchrunRun
from tests.pipeline import tiny_pipeline as tiny

TWO = Layout(processes=2)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    noise = ("stages.dpo.gradient_noise_scale=true", "stages.dpo.micro_batch_size=2")
    return tiny.load(tmp_path, *noise, "stages.scorer.early_stopping_patience=2")


def test_machines_are_a_number_or_a_range() -> None:
    assert nodes_of("2") == (2, 2) and nodes_of("1:4") == (1, 4)


@pytest.mark.parametrize("text", ["node0", "node0:", ":29500", "node0:0", "node0:99999", "node0:x"])
def test_a_place_to_meet_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--rendezvous .*: expected HOST:PORT"):
        place_of(text)


@pytest.mark.parametrize("text", ["", "0", "x", "4:2", "1:", ":2", "1:2:3", "-1", "٣"])
def test_anything_else_is_no_number_of_machines(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--nodes .*expected a number of machines, or MIN:MAX"):
        nodes_of(text)


def test_fewer_gpus_than_processes_are_told_with_the_shortfall() -> None:
    with pytest.raises(PlanError, match=r"--processes 4: each takes a GPU, and this machine has 1: short by 3"):
        refuse_what_cannot_be_met(Layout(processes=4), gpus=1)
    refuse_what_cannot_be_met(Layout(processes=4), gpus=0)  # then all compute on the processor
    refuse_what_cannot_be_met(Layout(processes=4), gpus=4)


def test_several_machines_need_a_place_to_meet() -> None:
    with pytest.raises(ConfigError, match="Give all of them the same --rendezvous HOST:PORT"):
        refuse_what_cannot_be_met(Layout(nodes=(1, 2)), gpus=0)


def test_settings_for_one_process_are_refused_where_all_machines_together_have_several(pipeline: Pipeline) -> None:
    two_machines = Layout(nodes=(1, 2), rendezvous="node0:29500")
    for layout in (TWO, two_machines):
        with pytest.raises(ConfigError, match="is for one process, and 2 are to share the stage"):
            TorchrunRun(layout=layout).refuse(pipeline, None, None)
    TorchrunRun(layout=TWO).refuse(pipeline, "demo", None)
    TorchrunRun(layout=Layout()).refuse(pipeline, None, None)


def test_stages_that_the_first_process_builds_alone_are_named(pipeline: Pipeline) -> None:
    (note,) = notes(pipeline, TWO, None)
    assert "built by the first process alone while the others wait: base (pretrain), " in note and "demo" not in note
    assert notes(pipeline, TWO, "demo") == notes(pipeline, Layout(), None) == []
    (warning,) = notes(pipeline, TWO, "base")
    assert warning.startswith("warning: none of the stages is shared")


@pytest.mark.parametrize(("only", "start"), [("nope", None), (None, "nope")])
def test_a_stage_that_there_is_not_is_told_before_anything_else(
    only: str | None, start: str | None, pipeline: Pipeline
) -> None:
    with pytest.raises(ConfigError, match="nope: no such stage; the stages are base, demo"):
        TorchrunRun(layout=TWO).refuse(pipeline, only, start)
