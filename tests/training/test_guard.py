"""The doctor beside a loop: a learning rate that breaks the policy trips it, and each answer to that holds exactly."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from boresight.config.sections import PolicyStage
from boresight.diagnosis.live import live_findings
from boresight.diagnosis.readers.folders import read_stage
from boresight.errors import PausedError, TrainingError
from boresight.models.roles import Policy
from boresight.runlog.reader import read_metrics
from boresight.training.experience import KLCoefficient, RewardScale
from boresight.training.guard import FINDINGS_FILE, Guard, findings_told
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.run import Run

from . import tiny_world as tiny
from .test_exact_resume import assert_equal, state_of

STEPS, EVERY = 24, 6
BROKEN = {"steps": STEPS, "guard_every": EVERY, "learning_rate": 0.1, "schedule": "constant"}
"""From random weights, at a rate a thousand times too high: KL runs away, and all answers become one."""


def rloo(run: Run, **changes: Any) -> Policy:
    model = tiny.fresh_model()
    roles = RLOORoles(tiny.policy_of(model), tiny.reference_of(model), tiny.LetterShare())
    train_rloo(tiny.rloo_config(**BROKEN | changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return roles.policy


def ppo(run: Run, **changes: Any) -> Policy:
    model = tiny.fresh_model()
    roles = PPORoles(tiny.policy_of(model), tiny.value_of(model), tiny.reference_of(model), tiny.LetterShare())
    train_ppo(tiny.ppo_config(**BROKEN | changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return roles.policy


def ids(folder: Path) -> set[str]:
    return {finding["id"] for finding in findings_told(folder)}


def test_broken_run_is_told_while_it_runs_and_once_for_each_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rloo(tiny.run_in(tmp_path))
    told = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line or ": warning: " in line]
    assert {"kl_runaway", "identical_outputs"} <= ids(tmp_path)
    pairs = [tuple(line.split(": ")[1:3]) for line in told]
    assert len(pairs) == len(set(pairs))
    first = {finding["id"]: finding["step"] for finding in findings_told(tmp_path)}
    assert first["kl_runaway"] < STEPS - 1 and all((step + 1) % EVERY == 0 for step in first.values())


def test_note_prints_nothing_and_keeps_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rloo(tiny.run_in(tmp_path), on_finding="note")
    assert "error" not in capsys.readouterr().err and "kl_runaway" in ids(tmp_path)


def test_run_that_learns_what_it_should_is_left_alone(imitator: Any, tmp_path: Path) -> None:
    for name, loop in (("ppo", train_ppo), ("rloo", train_rloo)):
        roles: dict[str, Any] = {
            "policy": tiny.policy_of(imitator.model),
            "reference": tiny.reference_of(imitator.model),
            "reward": tiny.LetterShare(),
        }
        config: Any = tiny.ppo_config if name == "ppo" else tiny.rloo_config
        made: Any = PPORoles(**roles, value=tiny.value_of(imitator.model)) if name == "ppo" else RLOORoles(**roles)
        run = tiny.run_in(tmp_path / name, checkpoint_every=100)
        held = config(steps=20, guard_every=2, on_finding="stop", kl_coefficient=0.3)
        loop(held, made, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
        assert not (tmp_path / name / FINDINGS_FILE).exists()


@pytest.mark.parametrize("loop", [ppo, rloo])
def test_paused_run_goes_on_when_run_again_and_ends_as_if_it_had_not_stopped(
    loop: Callable[..., Policy], tmp_path: Path
) -> None:
    whole = loop(tiny.run_in(tmp_path / "whole", checkpoint_every=100))
    pauses = []
    for _ in range(STEPS):
        try:
            policy = loop(tiny.run_in(tmp_path / "cut", checkpoint_every=100), on_finding="pause")
            break
        except PausedError as paused:
            assert "running again takes note" in str(paused)
            pauses.append(state_of(tmp_path / "cut")["next_step"])
    assert pauses == sorted(set(pauses)) and {6} < set(pauses) and all(step % EVERY == 0 for step in pauses)
    tiny.assert_same_weights(policy.model, tiny.weights(whole.model))
    for name in ("metrics.jsonl", "samples.jsonl", FINDINGS_FILE):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.parametrize("loop", [ppo, rloo])
def test_stopped_stage_fails_with_reasons_and_stays_stopped(loop: Callable[..., Policy], tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"on_finding: stop.*after step 5.*missing_eos.*Change the settings"):
            loop(tiny.run_in(tmp_path, checkpoint_every=100), on_finding="stop")
        assert state_of(tmp_path)["next_step"] == EVERY
        assert len(read_metrics(tmp_path / "metrics.jsonl").series("reward/score")) == EVERY


@pytest.mark.parametrize("loop", [ppo, rloo])
def test_adapted_kl_coefficient_rises_within_its_bound_and_resumes_exactly(
    loop: Callable[..., Policy], tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"on_finding": "adapt_kl", "adapt_kl_limit": 2.0, "kl_coefficient": 0.1, "guard_every": 2}
    loop(tiny.run_in(tmp_path / "whole"), **changes)
    for stop_after in (13, 21):
        with pytest.raises(tiny.Interrupted):
            loop(tiny.interrupted_run(tmp_path / "cut", stop_after), **changes)
    loop(tiny.run_in(tmp_path / "cut"), **changes)
    values = [value for _, value in read_metrics(tmp_path / "whole/metrics.jsonl").series("policy/kl_coefficient")]
    assert values == sorted(values) and values[0] == 0.1 and values[-1] == pytest.approx(0.2)
    assert pytest.approx(0.15) in values  # half more at one look, the bound at the next
    states = state_of(tmp_path / "cut"), state_of(tmp_path / "whole")
    for state in states:
        del state["metrics_position"]["timings.jsonl"]
    assert_equal(*states)
    for name in ("metrics.jsonl", "samples.jsonl", FINDINGS_FILE):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_finding_that_gets_graver_is_told_again(tmp_path: Path) -> None:
    """Written as a log: answers end more and more seldom, at first half of them."""
    config: PolicyStage = tiny.ppo_config(steps=1000, guard_every=10)
    said: list[str] = []
    guard = Guard(config, tiny.run_in(tmp_path), KLCoefficient(0.05, target=None, horizon=1.0), said.append)

    def write(rows: list[float]) -> None:
        lines = [{"step": step, "split": "train", "policy/clip_fraction": value} for step, value in enumerate(rows)]
        (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    write([0.4] * 10)
    guard.look(9)
    guard.look(10)  # not due
    guard.look(19)  # nothing new
    write([0.4] * 10 + [0.9] * 30)
    guard.look(29)
    assert [line.split(": ")[1:3] for line in said] == [
        ["warning", "clipfrac_saturated"],
        ["error", "clipfrac_saturated"],
    ]


def test_a_look_at_a_thousand_steps_takes_less_than_a_second(tmp_path: Path) -> None:
    """Much less than a step of a real run; a generous bound for busy machines."""
    names = ("reward/score", "policy/kl_to_reference", "policy/entropy", "policy/clip_fraction", "rollout/stop_rate")
    rows = [{"step": step, "split": "train", **{name: (step * 7 % 11) / 11 for name in names}} for step in range(1000)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    samples = [
        {"step": i // 4, "prompt": f"p{i % 50}", "response": f"a{i % 97} b{i % 89} c " * 20, "score": i / 4000}
        for i in range(4000)
    ]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in samples))
    started = time.process_time()
    live_findings(read_stage(tmp_path, "ppo").run)
    assert time.process_time() - started < 1.0
