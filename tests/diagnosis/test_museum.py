"""The doctor on kept logs of the museum: runs of our own loops that really failed, and their healthy twins.

Made by experiments/museum; which finding is right for which exhibit stands here once more, by hand.
"""

from pathlib import Path

import pytest

from boresight.diagnosis.diagnose import Diagnosis, diagnose
from boresight.diagnosis.live import alarm_step, until
from boresight.diagnosis.readers.folders import read_stage

MUSEUM = Path(__file__).parent / "museum"
FIRST = {
    "reward_hacking": {"reward_hacking", "kl_runaway"}, "length_bias": {"length_explosion"},
    "sycophancy": {"sycophancy"}, "over_trained_scorer": {"rm_overfit"}, "both_fall": {"dpo_both_falling_ok"},
    "small_batch": {"batch_too_small"}, "reference_drift": {"reference_moves"}, "skipped_sft": {"policy_not_finetuned"},
    "foreign_prompts": {"uncovered_prompts"}, "entropy_collapse": {"entropy_collapse", "kl_runaway", "reward_hacking"},
    "saturated_clipping": {"clipfrac_saturated"}, "sampling_mismatch": {"kl_negative"}, "missing_stop": {"missing_eos"},
    "idle_value_model": {"value_not_learning"}, "high_rate": {"lr_too_high"},
}  # fmt: skip
TWINS = sorted(path.parent.name for path in MUSEUM.glob("*/healthy"))


def seen(name: str, which: str) -> Diagnosis:
    return diagnose(read_stage(MUSEUM / name / which).run)


def test_every_exhibit_is_kept() -> None:
    assert {path.parent.name for path in MUSEUM.glob("*/failing")} == FIRST.keys() and len(TWINS) >= 10


@pytest.mark.parametrize("name", FIRST)
def test_failure_is_told_first(name: str) -> None:
    diagnosis = seen(name, "failing")
    assert diagnosis.findings[0].id in FIRST[name]
    assert diagnosis.verdict == ("healthy" if name == "both_fall" else diagnosis.verdict) != "unclear"
    assert (diagnosis.verdict in ("failing", "warning")) == (name != "both_fall")


@pytest.mark.parametrize("name", TWINS)
def test_healthy_twin_raises_no_alarm(name: str) -> None:
    assert [found.id for found in seen(name, "healthy").findings if found.severity != "note"] == []


@pytest.mark.parametrize("name", TWINS)
def test_healthy_twin_raises_no_alarm_while_it_trains(name: str) -> None:
    run = read_stage(MUSEUM / name / "healthy").run
    every = {found for found in FIRST.values() for found in found}
    for last in range(12, int(run.last_step), 6):
        alarms = {found.id for found in diagnose(until(run, last)).findings if found.severity == "error"}
        assert not alarms & every, last


def test_offending_answers_are_shown_where_they_are_kept() -> None:
    agreeing = seen("sycophancy", "failing").findings[0]
    assert len(agreeing.examples) == 3 and all(sample.kind == "false_premise" for sample in agreeing.examples)
    long = seen("length_bias", "failing").findings[0]
    assert min(sample.tokens or 0 for sample in long.examples) > 10


def test_first_alarm_of_a_hacked_reward_comes_while_it_trains_and_never_on_its_twin() -> None:
    failing, healthy = (read_stage(MUSEUM / "reward_hacking" / which).run for which in ("failing", "healthy"))
    step = alarm_step(failing, {"reward_hacking", "kl_runaway"})
    assert step is not None and 8 <= step < failing.last_step
    assert alarm_step(healthy, {"reward_hacking", "kl_runaway"}) is None
