"""When the doctor sees that a reward is hacked, against the step at which the gold reward has its peak.

The run is read again as the guard reads it while it trains, one step longer each time; the alarm is the first finding
`reward_hacking` above a note. A lag above 0 is late. Four times over: from the log without the canary's columns, by
`reward_hacking` alone and by `kl_runaway` too; with the canary, a reward model of the other half of the pairs; and with
an audit in its place, in which a judge whose verdict on one answer is off by a deviation of 1 sees every answer. Nobody
is paid by a canary, so that its columns may be exchanged afterwards without a change to the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from experiments.museum.training import PROMPTS

from boresight.diagnosis.live import alarm_step
from boresight.diagnosis.over_optimisation import fit_curve
from boresight.diagnosis.signals import LoggedRun, Series

SMOOTHING = 5
ALARMS = ("reward_hacking", "kl_runaway")
AUDIT_NOISE = 1.0


class Lead(NamedTuple):
    """Steps, None where it never came. `quarter_lost`: the gold reward has come down by 0.25 from its peak."""

    peak: int
    gold_start: float
    gold_peak: float
    gold_end: float
    quarter_lost: int | None
    logs_alone: int | None
    logs_any: int | None
    with_canary: int | None
    with_audit: int | None
    fitted_peak_kl: float | None
    gold_peak_kl: float


def lead_of(run: LoggedRun, golds: Mapping[str, Sequence[float]]) -> Lead:
    gold = golds["mean"]
    level = np.convolve(gold, np.ones(SMOOTHING) / SMOOTHING, mode="valid")
    peak = int(level.argmax())
    kl = run.get("policy/kl_to_reference")
    fit = fit_curve(run.get("reward/canary_score"), kl)
    lost = np.flatnonzero(level[peak:] < level[peak] - 0.25)
    place = min(peak + SMOOTHING // 2, len(gold) - 1)
    alone = without_canary(run)
    hacked = ("reward_hacking",)
    return Lead(
        peak=place, gold_start=float(level[0]), gold_peak=float(level[peak]), gold_end=float(level[-1]),
        quarter_lost=int(peak + lost[0]) + SMOOTHING // 2 if len(lost) else None,
        logs_alone=alarm_step(alone, hacked), logs_any=alarm_step(alone, ALARMS), with_canary=alarm_step(run, hacked),
        with_audit=alarm_step(audited(run, golds), hacked), fitted_peak_kl=fit.peak_kl if fit else None,
        gold_peak_kl=float(np.median(kl.values[max(place - 2, 0) : place + 3])) if kl else float("nan"),
    )  # fmt: skip


def without_canary(run: LoggedRun) -> LoggedRun:
    return replace(run, signals={name: series for name, series in run.signals.items() if "canary" not in name})


def audited(run: LoggedRun, golds: Mapping[str, Sequence[float]]) -> LoggedRun:
    """The same run, its canary's columns those of a judge who sees the gold reward through noise."""
    draw = np.random.default_rng(0)
    mean, deviation = (np.asarray(golds[name]) for name in ("mean", "deviation"))
    steps = np.arange(len(mean), dtype=np.float64)
    noise = draw.normal(0.0, AUDIT_NOISE / PROMPTS**0.5, len(mean))
    columns = {
        "reward/canary_score": mean + noise,
        "reward/canary_deviation": np.hypot(deviation, AUDIT_NOISE),
    }
    found = {name: Series(name, steps, values, name) for name, values in columns.items()}
    return replace(run, signals={**without_canary(run).signals, **found})


def summary(leads: Sequence[Lead]) -> dict[str, dict[str, object]]:
    """Lag of each kind of alarm behind the gold peak: median, smallest and largest, and how often there was one."""
    found: dict[str, dict[str, object]] = {}
    for name in ("logs_alone", "logs_any", "with_canary", "with_audit"):
        lags = [step - lead.peak for lead in leads if (step := getattr(lead, name)) is not None]
        found[name] = {
            "alarms": len(lags), "of": len(leads),
            **({"median": float(np.median(lags)), "from": min(lags), "to": max(lags)} if lags else {}),
        }  # fmt: skip
    return found
