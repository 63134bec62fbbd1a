"""All that is told of a judge beside people, as one JSON object; where a map can be fitted, the calibration with it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from boresight.errors import DataError
from boresight.feedback.calibration import Calibration, Labelled, calibrate
from boresight.feedback.calibration_figures import agreement_figures, effect_figures, order_figures, slice_figures
from boresight.feedback.calibration_fit import calibration_figures, reliability
from boresight.feedback.judge_bias import family, is_kin

UNCORRECTED_CLIP = 0.05
"""How sure labels without a calibration are at most: the default of `judge label --clip`."""
USABLE_KAPPA = 0.6
"""Landis & Koch 1977: below it agreement is moderate at best."""


class Report(NamedTuple):
    """`calibration`: None where there is too little to fit one."""

    figures: dict[str, Any]
    calibration: Calibration | None


def calibration_report(
    labelled: Labelled,
    judge: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    seed: int = 0,
    audit: int = 40,
    policy: str | None = None,
) -> Report:
    """{judge, n, agreement, orders, effects, slices, calibration, warnings}."""
    name = str(judge.get("judge", ""))
    figures: dict[str, Any] = {
        "judge": dict(judge),
        "data": dict(data),
        "agreement": agreement_figures(labelled, seed=seed),
        "orders": order_figures(labelled),
        "effects": effect_figures(labelled, name),
        "slices": slice_figures(labelled),
    }
    fitted, figures["calibration"] = _calibration(labelled, judge, data, seed, audit)
    figures["warnings"] = judge_warnings(figures, judge, policy)
    return Report(figures, fitted)


def judge_warnings(figures: Mapping[str, Any], judge: Mapping[str, Any], policy: str | None) -> list[str]:
    """What a person should know before this judge labels anything; each begins with a name that stays the same."""
    found = []
    kappa = figures["agreement"]["cohen_kappa"]
    if kappa is not None and kappa < USABLE_KAPPA:
        found.append(
            f"low_agreement: Cohen's kappa with people is {kappa:.2f}; from {USABLE_KAPPA:g} on a judge is usable "
            "alone. Better the rubric, take a stronger judge or a jury, or let people label more."
        )
    words = {"position": "the response shown first", "length": "the longer response, beyond what people do",
             "self_preference": "responses of its own family, beyond what people do"}  # fmt: skip
    for name, what in words.items():
        effect = figures["effects"][name]
        if effect is not None and (effect["effect_ci95"][0] > 0.1 or effect["effect_ci95"][1] < -0.1):
            verb = "prefers" if effect["effect"] > 0 else "is against"
            low, high = effect["effect_ci95"]
            found.append(f"{name}: the judge {verb} {what}: effect {effect['effect']:.2f} ({low:.2f} to {high:.2f}).")
    members = judge.get("members", [judge])
    kin = [one["judge"] for one in members if policy is not None and is_kin(policy, str(one.get("judge", "")))]
    if kin:
        found.append(self_preference_warning(", ".join(kin), str(policy)))
    if figures["calibration"] is None:
        found.append("no_calibration: too few couples that judge and people labelled; probabilities stay uncorrected.")
    return found


def self_preference_warning(judge: str, policy: str) -> str:
    """The warning where judge and policy are of one family, or an empty text."""
    same = family(policy) or "name"
    return (
        f"self_preference: judge {judge} and policy {policy} share a family ({same}); judges tend to prefer their own "
        "kind. Have people label a sample, or take a judge of another family."
    )


def _calibration(
    labelled: Labelled, judge: Mapping[str, Any], data: Mapping[str, Any], seed: int, audit: int
) -> tuple[Calibration | None, dict[str, Any] | None]:
    """The calibration, and beside it the figures of every map out of fold and of the probabilities as they are."""
    try:
        fitted, fit, sample = calibrate(labelled, judge, data, seed=seed, audit=audit)
    except DataError:  # the figures of agreement stand without it; the report says that there is none
        return None, None
    plain = np.clip(sample.p, UNCORRECTED_CLIP, 1 - UNCORRECTED_CLIP)
    return fitted, {
        "chosen": fit.chosen.name,
        "map": fit.chosen.as_json(),
        "maps": {name: calibration_figures(p, sample) for name, p in fit.out_of_fold.items()},
        "uncorrected": calibration_figures(plain, sample),
        "reliability": reliability(fit.predicted, sample),
        "reliability_uncorrected": reliability(plain, sample),
        "n": len(sample.p),
    }
