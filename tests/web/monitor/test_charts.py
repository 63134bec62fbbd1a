"""Which charts, in which order, with which words."""

import pytest

from boresight.runlog.names import METRICS
from boresight.web.monitor.charts import FOUR_SIGNALS, SIGNALS, charts_of, title_of


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_the_four_signals_come_first_where_a_policy_is_sampled(kind: str) -> None:
    charts = charts_of(kind, sorted(METRICS))
    assert tuple(chart.name for chart in charts[:4]) == FOUR_SIGNALS
    assert {chart.group for chart in charts[:4]} == {"signals"}
    assert len(charts) == len(METRICS) and charts[-1].group == "machine"


def test_only_what_is_logged_is_drawn_and_unknown_names_too() -> None:
    charts = charts_of("dpo", ["own/figure", "reward/margin", "time/step_seconds"])
    assert [(chart.name, chart.group) for chart in charts] == [
        ("reward/margin", "signals"), ("own/figure", "more"), ("time/step_seconds", "machine"),
    ]  # fmt: skip


def test_signals_are_metrics_that_exist() -> None:
    assert {name for names in SIGNALS.values() for name in names} <= set(METRICS)


def test_titles_are_different_and_plain() -> None:
    titles = [title_of(name) for name in METRICS]
    assert len(set(titles)) == len(titles), sorted(titles)
    assert title_of("policy/kl_per_token") == "KL per token" and title_of("eval/ece") == "Eval ECE"


def test_a_healthy_range_is_that_of_the_table() -> None:
    (clip,) = charts_of("ppo", ["policy/clip_fraction"])
    assert (clip.low, clip.high) == (0.0, 0.3)
    (entropy,) = charts_of("ppo", ["policy/entropy"])
    assert (entropy.low, entropy.high) == (None, None)
