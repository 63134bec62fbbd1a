"""How far the policy goes and how: KL from the reference, entropy, and the share of tokens that are clipped."""

from typing import NamedTuple

import numpy as np

from boresight.diagnosis.rules.movement import SURE, fell, rose
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import RL_METHODS, LoggedRun, Series
from boresight.stats.trends import trend

_SCHULMAN = "Schulman 2020, Approximating KL Divergence (joschu.net/blog/kl-approx.html)"

LONG_ANSWER = 200.0
"""Tokens of an answer, where its length is not logged: thresholds a token become those of a response."""


class Kl(NamedTuple):
    """KL of the run in its own unit, and what a nat a token is in that unit."""

    series: Series
    per_token: float
    """The value that one nat a token has."""
    unit: str


def kl_of(run: LoggedRun) -> Kl | None:
    """The KL from the reference; a sum over the response is compared with the response's length."""
    token, response = run.get("policy/kl_per_token"), run.get("policy/kl_to_reference")
    if token is not None and (response is None or len(token) >= len(response)):
        return Kl(token, 1.0, "nats a token")
    if response is not None:
        length = run.get("rollout/length_tokens")
        return Kl(response, length.median if length is not None else LONG_ANSWER, "nats a response")
    unknown = run.get("policy/kl_unknown_unit")
    return None if unknown is None else Kl(unknown, float("nan"), "nats, of a response or a token")


def kl_runaway(run: LoggedRun) -> Finding | None:
    kl = kl_of(run)
    if kl is None:
        return None
    x, one = kl.series, 1000.0 if np.isnan(kl.per_token) else kl.per_token
    late = x.evidence().end
    severity: Severity
    if abs(late) >= 20 * one or (np.isnan(kl.per_token) and abs(late) >= one):
        severity = "error"
        cause = (
            f"KL is {late:.3g} {kl.unit}: no policy that is still a language model is so far away, so a few tokens on "
            "which the log-probabilities disagree make up the estimate, or the policy is broken."
        )
    elif len(x) >= 8 and _grows_on(late / one, x.early / one) and trend(x.values).z > SURE:
        lost = not rose(run.get("reward/score"))
        severity = "error" if lost else "warning"
        cause = f"KL grows without settling, from {x.early:.3g} to {late:.3g} {kl.unit}" + (
            ", and the reward does not rise with it." if lost else "."
        )
    elif float(x.values.max()) >= 50 * one:
        severity = "warning"
        cause = (
            f"KL jumps to {x.values.max():.3g} {kl.unit} and comes back: single tokens with a log-probability far off "
            "dominate an exponential estimate (k3)."
        )
    else:
        return None
    return Finding(
        "kl_runaway",
        severity,
        cause,
        evidence(x, run.get("policy/kl_maximum"), run.get("reward/score")),
        "Raise the KL coefficient (or use an adaptive one), lower the learning rate; compare the log-probabilities of "
        "sampler and trainer token by token, and clamp the log-ratio before it is exponentiated.",
        f"{_SCHULMAN}; Ziegler et al. 2019 (arXiv:1909.08593) on the target KL",
    )


def _grows_on(late: float, early: float) -> bool:
    """In nats a token: fourfold to about one, or twofold to beyond it."""
    return (late >= 0.8 and late > 4 * max(early, 0)) or (late >= 1.0 and late > 2 * max(early, 0))


def kl_negative(run: LoggedRun) -> Finding | None:
    """A KL cannot be negative; its k1 estimate is, on and on, where samples are not those of the policy."""
    kl = kl_of(run)
    if kl is None or len(kl.series) < 5:
        return None
    x = kl.series
    limit = -1.0 if kl.unit == "nats a response" else -0.02
    if x.median > limit or float((x.values < 0).mean()) < 0.8:
        return None
    return Finding(
        "kl_negative",
        "error",
        f"KL is {x.median:.3g} {kl.unit} in the median. Samples of the policy itself cannot give that on and on: they "
        "come from another distribution (top-k or top-p, temperature, padding, a sampler with other weights).",
        evidence(x, run.get("policy/ratio_mean")),
        "Sample at top_k 0, top_p 1, and divide logits by the temperature in every log-probability; mask padding, and "
        "recompute log-probabilities in the trainer.",
        f"{_SCHULMAN}; TRL warns below -1 a response",
    )


def entropy_collapse(run: LoggedRun) -> Finding | None:
    entropy = run.get("policy/entropy")
    if entropy is None or len(entropy) < 8 or entropy.early < 0.15 or not fell(entropy):
        return None
    left = entropy.late / entropy.early
    if left > 0.3:
        return None
    gains = rose(run.get("reward/score"))
    severity: Severity = "error" if left < 0.1 and not gains else "warning" if left < 0.1 or not gains else "note"
    return Finding(
        "entropy_collapse",
        severity,
        f"Entropy falls from {entropy.early:.3g} to {entropy.late:.3g} nats a token, {left:.0%} of what it was"
        + (", while the reward still rises." if gains else ": the policy settles on few answers and stops exploring."),
        evidence(entropy, run.get("reward/score"), run.get("policy/clip_fraction")),
        "Lower the learning rate, add an entropy bonus or raise the upper clip range (0.28), sample at temperature 1, "
        "and raise the KL coefficient.",
        "Cui et al. 2025 (arXiv:2505.22617); DAPO (arXiv:2503.14476) on the upper clip range",
    )


def clipfrac_saturated(run: LoggedRun) -> Finding | None:
    clipped = run.get("policy/clip_fraction")
    if clipped is None or not len(clipped):
        return None
    enough = len(clipped) >= 5
    moved = run.get("policy/approximate_kl")
    far = enough and moved is not None and len(moved) >= 5 and moved.median >= 0.05 and clipped.median >= 0.2
    if clipped.median < (0.3 if enough else 0.6) and not far:
        return None
    severity: Severity = "error" if clipped.median >= 0.5 else "warning"
    return Finding(
        "clipfrac_saturated",
        severity,
        f"{clipped.median:.0%} of the tokens are outside the clip range in the median: updates are too large for the "
        "batch they rest on, and most of them are thrown away.",
        evidence(clipped, run.get("policy/approximate_kl"), run.get("policy/ratio_mean")),
        "Lower the learning rate, make fewer passes over a rollout, and stop a rollout's updates above 0.02 nats a "
        "token; where it holds in the first step too, compare the log-probabilities of sampler and trainer.",
        "Schulman et al. 2017 (arXiv:1707.06347); Huang et al. 2024 (arXiv:2403.17031)",
    )


def clip_fraction_zero_ok(run: LoggedRun) -> Finding | None:
    """No token clipped and no movement since the rollout: one update a batch."""
    clipped = run.get("policy/clip_fraction")
    moved = run.first_of("policy/kl_old_to_new", "policy/approximate_kl")
    if clipped is None or len(clipped) < 3 or clipped.values.any():
        return None
    if moved is not None and float(np.abs(moved.values).max()) > 1e-4:
        return None
    return Finding(
        "clip_fraction_zero_ok",
        "note",
        "No token is ever clipped. With one update a batch every ratio is 1, so this is as it must be, and no sign of "
        "health or harm.",
        evidence(clipped, moved),
        "Nothing. Clipping shows step size, never quality.",
        "Schulman et al. 2017 (arXiv:1707.06347), eq. 7 at ratio 1",
    )


_KL = (("policy/kl_to_reference", "policy/kl_per_token", "policy/kl_unknown_unit"),)
RULES_KL = (
    Rule(
        "kl_runaway",
        "KL grows fourfold to about a nat a token without settling, or twofold to beyond one; or it reaches a size "
        "that only broken log-probabilities give",
        kl_runaway,
        _KL,
        RL_METHODS,
    ),
    Rule(
        "kl_negative",
        "KL below -1 a response or -0.02 a token in the median of at least 5 rows",
        kl_negative,
        _KL,
        RL_METHODS,
    ),
)
RULES_STEP = (
    Rule(
        "clipfrac_saturated",
        "a clip fraction above 0.3 (error: 0.5) in the median of at least 5 rows, or above 0.2 where a batch moves the "
        "policy by 0.05 nats a token",
        clipfrac_saturated,
        (("policy/clip_fraction",),),
        RL_METHODS,
    ),
    Rule(
        "entropy_collapse",
        "entropy falls below 3 tenths of its start (error: 1 tenth, without reward); one that "
        "starts below 0.15 is left alone",
        entropy_collapse,
        (("policy/entropy",),),
        RL_METHODS,
    ),
)
RULES_FINE = (
    Rule(
        "clip_fraction_zero_ok",
        "a clip fraction of 0 throughout and no movement since the rollout: normal",
        clip_fraction_zero_ok,
        (("policy/clip_fraction",),),
        RL_METHODS,
    ),
)
