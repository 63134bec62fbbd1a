"""PPO on one base, killed in each of its phases and started again, ends bit-equal to a run that never was."""

import multiprocessing
import runpy
import shutil
import signal
from pathlib import Path

import pytest

from boresight.pipeline.run import run_pipeline

from . import tiny_pipeline as tiny
from .test_policy_roles import LORA, scored  # noqa: F401  the run that both files begin with

KILLED_IN = Path(__file__).with_name("killed_in.py")
DEADLINE = 120.0  # seconds; a run takes two on an idle core
KILLS = (("rollout", 9), ("scoring", 1), ("update", 3), ("checkpoint", 1))  # a step has several calls of each


@pytest.mark.slow
@pytest.mark.parametrize("roles", ["shared", "one_trunk"])
def test_ppo_killed_in_each_phase_ends_bit_equal(roles: str, scored: Path, built: Path, tmp_path: Path) -> None:  # noqa: F811
    pipeline = tiny.load(built / "data", LORA["scorer"], LORA["ppo"], f"stages.ppo.roles={roles}")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for run in (whole, killed):
        shutil.copytree(scored, run)
        shutil.rmtree(run / "stages/ppo")  # of another layout
    run_pipeline(pipeline, whole, only="ppo", say=lambda line: None)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["boresight.pipeline.run"])
    for phase, count in KILLS:
        given = {"pipeline": pipeline, "out": killed, "stage": "ppo", "phase": phase, "count": count}
        process = context.Process(target=runpy.run_path, args=(str(KILLED_IN), given), kwargs={"run_name": "__main__"})
        process.start()
        process.join(DEADLINE)
        assert process.exitcode == -signal.SIGKILL, phase
        assert not (killed / "stages/ppo").exists(), phase
    run_pipeline(pipeline, killed, only="ppo", say=lambda line: None)
    found, expected = tiny.artifacts(killed), tiny.artifacts(whole)
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
