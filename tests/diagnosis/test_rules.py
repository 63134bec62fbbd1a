"""Each failure, committed in a log, is named first; its healthy twin raises no alarm."""

import math

import numpy as np
import pytest
from tests.diagnosis.conftest import ALARMS, ROWS, ids, looked_at, noise, ramp

from boresight.diagnosis.rules.rule import SEVERITIES
from boresight.diagnosis.rules.table import RULES

Columns = dict[str, "np.ndarray | float"]

PPO: Columns = {
    "objective/kl": ramp(0, 5, 0.3) * np.linspace(0, 1, ROWS) ** 0.3,
    "objective/scores": ramp(0.0, 2.0, 0.3),
    "policy/entropy_avg": ramp(2.0, 1.6, 0.05),
    "policy/clipfrac_avg": 0.08 + noise(0.01),
    "policy/approxkl_avg": 0.01 + noise(0.001),
    "loss/value_avg": ramp(0.4, 0.1, 0.01),
    "loss/policy_avg": noise(0.01),
    "lr": ramp(3e-6, 0),
    "val/num_eos_tokens": 50.0,
}
GRPO: Columns = {
    "reward": ramp(0.2, 0.8, 0.1),
    "reward_std": 0.4 + noise(0.02),
    "frac_reward_zero_std": 0.1,
    "kl": ramp(0.0, 0.04, 0.003),
    "entropy": ramp(1.0, 0.7, 0.02),
    "completions/mean_length": 100 + noise(3),
    "completions/max_length": 200 + noise(5),
    "completions/clipped_ratio": 0.02,
    "clip_ratio/region_mean": 0.01 + noise(0.001),
    "grad_norm": 0.5 + noise(0.05),
    "learning_rate": ramp(1e-6, 0),
    "loss": noise(0.01),
}
DPO: Columns = {
    "loss": ramp(math.log(2), 0.5, 0.02),
    "rewards/chosen": ramp(0, 0.3, 0.05),
    "rewards/rejected": ramp(0, -0.5, 0.05, seed=1),
    "rewards/margins": ramp(0, 0.8, 0.08, seed=2),
    "rewards/accuracies": ramp(0.5, 0.75, 0.03),
    "grad_norm": 2 + noise(0.2),
    "learning_rate": ramp(5e-7, 0),
}
SFT: Columns = {"loss": ramp(2.0, 1.5, 0.05), "grad_norm": 1 + noise(0.1), "learning_rate": 1e-5, "epoch": ramp(0, 1)}
RM: Columns = {
    "loss": ramp(0.69, 0.5, 0.02),
    "accuracy": ramp(0.5, 0.75, 0.03),
    "mean_reward": noise(0.1),
    "eval_accuracy": ramp(0.5, 0.72, 0.005),
    "eval_loss": ramp(0.69, 0.55, 0.003),
    "grad_norm": 1.0,
    "learning_rate": 1e-5,
}
TWINS = {"ppo": PPO, "grpo": GRPO, "dpo": DPO, "sft": SFT, "rm": RM}

COLLAPSING = np.geomspace(1.0, 0.01, ROWS)
INVERTED: Columns = {
    "loss": ramp(math.log(2), 0.98, 0.02),
    "rewards/chosen": ramp(0, -0.5, 0.05),
    "rewards/rejected": ramp(0, 0.0, 0.05, seed=1),
    "rewards/margins": ramp(0, -0.5, 0.08, seed=2),
    "rewards/accuracies": ramp(0.5, 0.3, 0.03),
}
FAULTS: list[tuple[str, str, Columns]] = [
    ("nan_inf", "sft", {"grad_norm": np.where(np.arange(ROWS) < 60, 1.0, math.nan)}),
    ("nan_inf", "ppo", {"loss/value_avg": np.where(np.arange(ROWS) < 60, 0.2, math.inf)}),
    ("reference_mismatch", "dpo", {"rewards/chosen": ramp(9.7, 6, 0.5), "rewards/rejected": ramp(5.6, 1, 0.5)}),
    ("reference_moves", "ppo", {"objective/kl": 0.0}),
    ("policy_not_finetuned", "ppo", {"policy/entropy_avg": ramp(9.2, 8.5, 0.1)}),
    ("uncovered_prompts", "ppo", {"rollout/uncovered_prompts": 0.6}),
    ("kl_runaway", "grpo", {"kl": np.geomspace(0.01, 6, ROWS), "reward": ramp(0.5, 0.2, 0.1)}),
    ("kl_runaway", "grpo", {"kl": np.where(np.arange(ROWS) > 95, 1.5e6, 0.01)}),
    ("kl_negative", "ppo", {"objective/kl": -4 + noise(0.5), "objective/scores": noise(0.3)}),
    ("missing_eos", "ppo", {"val/num_eos_tokens": 0.0}),
    ("missing_eos", "grpo", {"completions/clipped_ratio": 1.0, "completions/mean_length": 200.0}),
    ("length_explosion", "grpo", {"completions/clipped_ratio": ramp(0.1, 1.0), "completions/mean_length": ramp(80, 200),
                                  "completions/max_length": 200.0}),
    ("zero_variance_groups", "grpo", {"reward_std": 0.0, "frac_reward_zero_std": 1.0, "reward": 0.0}),
    ("no_learning", "grpo", {"grad_norm": 0.0, "kl": 0.0, "reward": 0.5 + noise(0.1)}),
    ("no_learning", "ppo", {"objective/scores": ramp(0.4, 0.3, 0.2)}),
    ("entropy_collapse", "ppo", {"policy/entropy_avg": COLLAPSING, "objective/scores": ramp(1, 0.99, 0.5)}),
    ("clipfrac_saturated", "ppo", {"policy/clipfrac_avg": 0.7 + noise(0.05)}),
    ("value_not_learning", "ppo", {"loss/value_avg": 9 + noise(0.3)}),
    ("reward_hacking", "ppo", {"policy/entropy_avg": ramp(2.0, 0.6, 0.05), "objective/kl": np.linspace(0.1, 60, ROWS)}),
    ("reward_hacking", "ppo", {"val/test_score": np.concatenate([ramp(0.3, 0.6, 0.02, 40), ramp(0.6, 0.1, 0.02, 60)])}),
    ("logprob_mismatch", "ppo", {"objective/kl": 9 + noise(0.5)}),
    ("dpo_margin_overfit", "dpo", {"loss": ramp(0.69, 0, 0.0), "rewards/margins": ramp(0, 140, 1),
                                   "rewards/accuracies": 1.0, "grad_norm": np.geomspace(10, 1e-8, ROWS)}),
    ("lr_too_high", "sft", {"loss": np.concatenate([ramp(2, 1.2, 0.02, 40), ramp(1.2, 4, 0.02, 60)])}),
    ("lr_too_high", "dpo", {"loss": np.tile([0.1, 3.0, 0.4, 2.2], 25)}),
    ("rm_at_chance", "rm", {"eval_accuracy": 0.5 + noise(0.01), "accuracy": 0.5 + noise(0.03), "loss": 0.693,
                            "eval_loss": 0.693}),
    ("dpo_margin_negative", "dpo", INVERTED),
    ("dpo_margin_negative", "dpo", {"eval_rewards/margins": ramp(0, -0.6, 0.02), "eval_rewards/accuracies": 0.35}),
    ("rm_at_chance", "rm", {"eval_accuracy": 0.25 + noise(0.01)}),
    ("rm_at_chance", "rm", {"eval_accuracy": 51 + noise(1)}),
    ("rm_overfit", "rm", {"loss": ramp(0.69, 0.05, 0.01), "eval_loss": ramp(0.6, 1.6, 0.01),
                          "eval_accuracy": ramp(0.7, 0.64, 0.005)}),
    ("sft_overfit", "sft", {"loss": np.repeat([1.9, 0.9, 0.3, 0.08], 25) + noise(0.02),
                            "epoch": np.linspace(0.01, 4, ROWS)}),
    ("identical_outputs", "grpo", {"distinct_responses": ramp(0.9, 0.05), "reward": 0.5 + noise(0.1)}),
]  # fmt: skip


@pytest.mark.parametrize("method", TWINS)
def test_the_healthy_twin_raises_no_alarm(method: str) -> None:
    diagnosis = looked_at(TWINS[method])
    assert ids(diagnosis, *ALARMS) == []
    assert (diagnosis.verdict, diagnosis.findings[0].id) == ("healthy", "healthy")


def test_accuracy_of_tokens_is_no_reward_model_below_chance() -> None:
    columns = {"loss": ramp(6.0, 3.5, 0.02), "accuracy": ramp(0.1, 0.3, 0.01)}
    assert "rm_at_chance" not in ids(looked_at(columns))


@pytest.mark.parametrize(("fault", "method", "changes"), FAULTS, ids=[f"{f}-{m}" for f, m, _ in FAULTS])
def test_the_fault_is_named_first(fault: str, method: str, changes: Columns) -> None:
    diagnosis = looked_at({**TWINS[method], **changes})
    assert diagnosis.findings[0].id == fault
    assert diagnosis.verdict in ("failing", "warning")
    first = diagnosis.findings[0]
    assert first.evidence and first.action and first.reference
    assert all(one.step_from <= one.step_to for one in first.evidence)


VERL = {
    "reward": "critic/score/mean", "kl": "actor/kl_loss", "entropy": "actor/entropy", "grad_norm": "actor/grad_norm",
    "completions/mean_length": "response_length/mean", "completions/max_length": "response_length/max",
    "completions/clipped_ratio": "response_length/clip_ratio", "clip_ratio/region_mean": "actor/pg_clipfrac",
    "loss": "actor/pg_loss", "learning_rate": "actor/lr", "distinct_responses": "distinct_responses",
}  # fmt: skip
"""What verl calls the columns of the group runs above; it has no name for the spread within groups."""


@pytest.mark.parametrize(
    ("fault", "changes"),
    [(fault, changes) for fault, method, changes in FAULTS if method == "grpo" and set(changes) <= set(VERL)],
)
def test_the_diagnosis_does_not_depend_on_the_names(fault: str, changes: Columns) -> None:
    renamed = {VERL[name]: column for name, column in {**GRPO, **changes}.items() if name in VERL}
    diagnosis = looked_at(renamed)
    assert diagnosis.findings[0].id == fault


def test_batches_of_easy_pairs_are_no_loss_that_rises_for_good() -> None:
    uneven = np.tile([0.9, 0.8, 0.25, 0.7, 0.65], 20) - 0.1 * np.linspace(0, 1, ROWS) + noise(0.05)
    assert ids(looked_at({**RM, "loss": uneven}), *ALARMS) == []
    few = {name: np.asarray(column)[-12:] if np.ndim(column) else column for name, column in RM.items()}
    assert ids(looked_at({**few, "loss": np.array([0.9, 0.8, 0.2, 0.2] + [0.75, 0.7] * 4)}, rows=12), *ALARMS) == []


def test_low_loss_that_falls_evenly_over_epochs_is_no_overfit() -> None:
    even = {**SFT, "loss": np.geomspace(2.0, 0.03, ROWS), "epoch": np.linspace(0.03, 3, ROWS)}
    assert looked_at(even).verdict == "healthy"


def test_every_rule_is_tried_here() -> None:
    tried = {fault for fault, _, _ in FAULTS} | {"dpo_both_falling_ok", "clip_fraction_zero_ok", "batch_too_small"}
    assert {rule.id for rule in RULES} <= tried


def test_both_dpo_rewards_falling_is_said_to_be_fine() -> None:
    diagnosis = looked_at(
        {**DPO, "rewards/chosen": ramp(0, -1.0, 0.05), "rewards/rejected": ramp(0, -2.0, 0.05, seed=1)}
    )
    assert (diagnosis.verdict, diagnosis.findings[0].id) == ("healthy", "dpo_both_falling_ok")
    assert diagnosis.findings[0].severity == "note"


def test_dpo_margin_below_zero_with_a_loss_below_log_two_is_told_as_sides_that_differ() -> None:
    (finding, *_) = looked_at({**DPO, **INVERTED, "loss": DPO["loss"]}).findings
    assert finding.id == "dpo_margin_negative" and "the other way round" in finding.cause


@pytest.mark.parametrize(
    "changes",
    [
        {"rewards/margins": ramp(-0.5, 0.5, 0.08), "rewards/accuracies": ramp(0.3, 0.7)},
        {"rewards/margins": noise(0.1), "rewards/accuracies": 0.48 + noise(0.02), "loss": math.log(2) + noise(0.05)},
        {"rewards/margins": -0.05 + noise(0.02), "rewards/accuracies": 0.7},
    ],
    ids=["recovers", "chance", "a few pairs far off"],
)
def test_dpo_margin_that_recovers_or_is_below_zero_by_chance_or_by_few_pairs_is_not_inverted(changes: Columns) -> None:
    assert "dpo_margin_negative" not in ids(looked_at({**DPO, **changes}))


def test_dpo_that_was_well_above_zero_before_it_diverged_is_too_fast_rather_than_inverted() -> None:
    margin = np.concatenate([np.linspace(0, 0.8, 30), np.linspace(0.8, -2.0, 70)]) + noise(0.05)
    diverged = {"rewards/margins": margin, "loss": np.log1p(np.exp(-margin)), "rewards/accuracies": ramp(0.6, 0.3)}
    found = ids(looked_at({**DPO, **diverged}), *ALARMS)
    assert found[0] == "lr_too_high" and "dpo_margin_negative" not in found


def test_no_clipping_with_one_update_a_batch_is_said_to_be_normal() -> None:
    diagnosis = looked_at({**GRPO, "clip_ratio/region_mean": 0.0})
    assert diagnosis.verdict == "healthy" and "clip_fraction_zero_ok" in ids(diagnosis, "note")


def test_accuracies_in_quarters_are_noted() -> None:
    quarters = np.random.default_rng(0).integers(0, 5, ROWS) / 4
    assert "batch_too_small" in ids(looked_at({**DPO, "rewards/accuracies": quarters}), "note")


def test_a_single_spike_that_recovers_is_no_alarm() -> None:
    spike = GRPO["kl"] + np.where(np.arange(ROWS) == 50, 0.9, 0.0)
    assert ids(looked_at({**GRPO, "kl": spike}), *ALARMS) == []


def test_low_entropy_from_the_start_is_no_collapse() -> None:
    assert ids(looked_at({**GRPO, "entropy": ramp(0.05, 0.02, 0.003)}), *ALARMS) == []


def test_solved_prompts_are_not_taken_for_prompts_that_are_too_hard() -> None:
    solved = {
        **GRPO,
        "reward": ramp(0.1, 1.0, 0.02),
        "frac_reward_zero_std": ramp(0.0, 1.0),
        "reward_std": ramp(0.4, 0),
    }
    assert "zero_variance_groups" not in ids(looked_at(solved), *ALARMS)


def test_a_reward_made_of_its_parts_is_no_hacking_when_one_part_stands_still() -> None:
    parts = {"rewards/format/mean": ramp(0, 1, 0.05), "rewards/correct/mean": 0.1 + noise(0.01, 3)}
    total = {"reward": parts["rewards/format/mean"] + parts["rewards/correct/mean"]}
    assert "reward_hacking" not in ids(looked_at({**GRPO, **parts, **total}))


def test_a_score_that_is_logged_but_not_trained_on_betrays_hacking() -> None:
    proxy = ramp(0.2, 0.75, 0.02)
    run: Columns = {"reward/mean": proxy, "reward/compiles": proxy, "reward/correct": 0.002 + noise(0.0005)}
    assert looked_at(run).findings[0].id == "reward_hacking"


def test_a_reward_that_jumps_while_answers_turn_repetitive_is_suspected() -> None:
    jump = np.where(np.arange(ROWS) < 60, 0.2, 1.5) + noise(0.05)
    diagnosis = looked_at({"reward/mean": jump, "repetition": np.where(np.arange(ROWS) < 60, 0.05, 0.4) + noise(0.01)})
    assert diagnosis.findings[0].id == "reward_hacking" and "step 61" in diagnosis.findings[0].cause


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_snapshot_of_nothing_odd_is_unclear(rows: int) -> None:
    assert (
        looked_at({name: np.asarray(c)[:rows] if np.ndim(c) else c for name, c in PPO.items()}, rows).verdict
        == "unclear"
    )


def test_a_noisy_reward_over_few_rows_is_unclear_and_not_flat() -> None:
    rows = 30
    diagnosis = looked_at(
        {"reward/mean": 0.2 + noise(0.1, rows=rows), "progress/done_frac": ramp(0, 0.4, rows=rows)}, rows
    )
    assert (diagnosis.verdict, ids(diagnosis)) == ("unclear", ["unclear"])


SECOND: Columns = {
    **PPO,
    "reward/score_deviation": 1.0,
    "reward/canary_deviation": 1.0,
    "reward/canary_score": ramp(0.0, 1.6, 0.1, seed=3),
    "reward/canary_correlation": ramp(0.8, 0.6, 0.02),
}


def test_canary_that_rises_with_the_reward_raises_nothing() -> None:
    assert ids(looked_at(SECOND), *ALARMS) == []


def test_canary_that_turns_while_the_reward_rises_is_hacking() -> None:
    turning = np.concatenate([np.linspace(0, 1, 40), np.linspace(1, -0.5, 60)]) + noise(0.1, 3)
    diagnosis = looked_at({**SECOND, "reward/canary_score": turning})
    assert (diagnosis.findings[0].id, diagnosis.findings[0].severity) == ("reward_hacking", "error")
    assert "turns at step 4" in diagnosis.findings[0].cause or "turns at step 3" in diagnosis.findings[0].cause


def test_canary_that_stays_behind_is_hacking_and_a_noisy_level_is_not() -> None:
    behind = {**SECOND, "objective/scores": ramp(0, 3, 0.2), "reward/canary_score": 0.1 + noise(0.05, 3)}
    assert looked_at(behind).findings[0].id == "reward_hacking"
    small = {**behind, "objective/scores": ramp(0, 0.6, 0.1)}  # a gain of less than a deviation says nothing yet
    assert ids(looked_at(small), *ALARMS) == []


def test_canary_that_comes_to_order_answers_otherwise_is_hacking() -> None:
    parting = {**SECOND, "reward/canary_correlation": ramp(0.5, 0.0, 0.1)}
    finding = looked_at(parting).findings[0]
    assert (finding.id, finding.severity) == ("reward_hacking", "warning") and "orders the answers" in finding.cause


@pytest.mark.parametrize(("share", "severity"), [(0.05, None), (0.2, "warning"), (0.8, "error")])
def test_prompts_unlike_those_of_the_pairs_are_told(share: float, severity: str | None) -> None:
    found = {f.id: f.severity for f in looked_at({**PPO, "rollout/uncovered_prompts": share}).findings}
    assert found.get("uncovered_prompts") == severity


def test_loss_with_a_likelihood_term_is_not_held_against_log_two() -> None:
    both = {**DPO, "loss": ramp(3.2, 2.9, 0.1), "loss/nll": ramp(2.5, 2.2, 0.1)}
    assert ids(looked_at(both), *ALARMS) == []
    assert ids(looked_at({**DPO, "loss": ramp(3.2, 2.9, 0.1)}), *ALARMS) == ["lr_too_high"]


def test_dpo_that_moves_far_and_ends_no_better_than_it_began_is_too_fast() -> None:
    loss = np.concatenate([[math.log(2)], 0.72 + np.abs(noise(0.02))[1:]])
    run = {**DPO, "loss": loss, "rewards/chosen": ramp(0, -1.5, 0.1), "rewards/rejected": ramp(0, -1.55, 0.1, seed=1)}
    assert looked_at({**run, "rewards/margins": 0.05 + noise(0.1, 2)}).findings[0].id == "lr_too_high"


def test_two_pairs_a_row_that_leave_log_two_nowhere_are_a_warning() -> None:
    quarters = np.tile([0.5, 0.0, 1.0, 0.5], 25)
    still = {**DPO, "loss": math.log(2) + noise(0.03), "rewards/margins": noise(0.05), "rewards/accuracies": quarters}
    found = {f.id: f.severity for f in looked_at({**still, "rewards/chosen": noise(0.02)}).findings}
    assert found["batch_too_small"] == "warning" and "no_learning" not in found
    falling = {f.id: f.severity for f in looked_at({**DPO, "rewards/accuracies": quarters}).findings}
    assert falling["batch_too_small"] == "note"


@pytest.mark.parametrize(("stops", "words"), [(0.0, "None of the answers end"), (0.002, "Hardly any answer ends")])
def test_answers_that_never_end_are_told_without_a_share_of_zero_percent(stops: float, words: str) -> None:
    cause = looked_at({**GRPO, "completions/clipped_ratio": 1 - stops}).findings[0].cause
    assert cause.startswith(words) and "0%" not in cause


def test_scorer_that_knows_its_pairs_by_heart_is_over_trained_rather_than_at_chance() -> None:
    run = {**RM, "loss": ramp(0.69, 0.05, 0.02), "accuracy": ramp(0.5, 0.99), "eval_accuracy": 0.53 + noise(0.005)}
    assert looked_at({**run, "eval_loss": ramp(0.69, 1.4, 0.02)}).findings[0].id == "rm_overfit"


def test_missing_signals_are_said() -> None:
    diagnosis = looked_at({"act_loss": noise(0.1), "cri_loss": ramp(0.2, 0.1), "average_reward_score": ramp(0, 3, 0.2)})
    assert {"policy/kl_to_reference", "policy/entropy", "policy/clip_fraction", "rollout/stop_rate"} <= set(
        diagnosis.signals_missing
    )


def test_the_four_signals_are_told_together() -> None:
    told = looked_at(PPO).explanation
    assert all(word in told for word in ("reference", "reward rises", "entropy falls", "clipped"))
    assert "as they should be" in told and "Unexplained" not in told


def test_what_no_finding_accounts_for_is_said_to_be_unexplained() -> None:
    few = {**PPO, "policy/clipfrac_avg": np.tile([0.0, 0.5, 0.35, 0.28], 25), "policy/approxkl_avg": 0.01}
    told = looked_at({**few, "objective/scores": ramp(0, 2, 0.2)})
    if "clipfrac_saturated" not in ids(told):
        assert "Unexplained: clip fraction" in told.explanation
    fallen = looked_at({**DPO})
    assert fallen.explanation == ""


def test_grave_findings_come_first_and_ids_are_unique_in_the_table() -> None:
    diagnosis = looked_at({**PPO, "val/num_eos_tokens": 0.0, "policy/clipfrac_avg": 0.4})
    gravity = [SEVERITIES.index(finding.severity) for finding in diagnosis.findings]
    assert gravity == sorted(gravity)
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("first", "found"), [(0.0, False), (0.2, True)])
def test_a_gap_to_the_sampler_that_age_explains_is_no_mismatch(first: float, found: bool) -> None:
    ahead = np.minimum(np.arange(ROWS), 2.0)
    gaps = np.where(ahead > 0.0, 0.4, first)
    ours = {"reward/score": ramp(0.0, 2.0, 0.3), "loss/policy": noise(0.01), "rollout/staleness": ahead}
    assert ("logprob_mismatch" in ids(looked_at({**ours, "policy/sampler_kl": gaps}))) == found
