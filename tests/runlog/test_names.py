import re

import pytest

from boresight.runlog.names import METRICS, TIMING_GROUPS, Range, markdown_table

LOGGED = """
loss/total loss/policy loss/value loss/nll loss/preference policy/kl_to_reference policy/kl_per_token policy/entropy
policy/clip_fraction policy/approximate_kl policy/ratio_mean policy/chosen_logp_mean policy/rejected_logp_mean
policy/chosen_logp_sum policy/rejected_logp_sum policy/kl_baseline
policy/log_odds_ratio policy/kl_coefficient reward/score reward/score_normalized reward/shaped reward/chosen
reward/rejected reward/margin reward/accuracy value/explained_variance value/clip_fraction rollout/length_tokens
rollout/stop_rate rollout/repetition rollout/distinct_responses optim/grad_norm optim/learning_rate
optim/gradient_noise_scale
optim/value_grad_norm data/epoch advantage/mean advantage/deviation eval/accuracy eval/nll eval/ece time/step_seconds
time/generate_seconds time/score_seconds time/update_seconds throughput/tokens_per_second memory/peak_gib
"""


def test_every_name_that_the_loops_log_is_listed() -> None:
    assert set(LOGGED.split()) <= set(METRICS)


def test_names_have_the_house_form_and_say_what_they_are() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"[a-z]+/[a-z][a-z0-9_]*", name) and name == metric.name
        assert metric.meaning and metric.unit and str(metric.healthy)


def test_timing_metrics_are_those_of_the_timing_groups() -> None:
    timing = {name for name, metric in METRICS.items() if metric.timing}
    assert timing == {name for name in METRICS if name.split("/")[0] in ("time", "throughput", "memory")}
    assert {METRICS[name].group for name in timing} == set(TIMING_GROUPS)


@pytest.mark.parametrize("name", ["reward/chosen", "reward/rejected", "reward/margin"])
def test_implicit_rewards_are_said_to_include_beta(name: str) -> None:
    assert "implicit rewards include beta" in METRICS[name].meaning


@pytest.mark.parametrize(
    ("bounds", "text", "inside", "outside"),
    [
        (Range(0.1, 0.5), "0.1 to 0.5", [0.1, 0.3, 0.5], [0.09, 0.51]),
        (Range(low=2), "at least 2", [2, 1e9], [1.99]),
        (Range(high=2), "at most 2", [-1e9, 2], [2.01]),
        (Range(), "any", [-1e9, 1e9], []),
    ],
)
def test_a_range_holds_up_to_its_ends(bounds: Range, text: str, inside: list[float], outside: list[float]) -> None:
    assert str(bounds) == text
    assert all(bounds.holds(value) for value in inside) and not any(bounds.holds(value) for value in outside)


def test_the_markdown_table_has_one_row_of_five_cells_for_each_metric() -> None:
    lines = markdown_table().splitlines()
    assert len(lines) == len(METRICS) + 2
    assert all(line.count("|") == 6 for line in lines)
    assert (
        "| `policy/clip_fraction` | tokens whose ratio is outside the clip range | fraction | tokens | 0 to 0.3 |"
        in lines
    )
