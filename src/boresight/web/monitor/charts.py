"""Which metrics a stage's page draws, in which order, and what stands above each: from the one table of metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from boresight.runlog.names import METRICS, Range

FOUR_SIGNALS = ("policy/kl_to_reference", "reward/score", "policy/entropy", "policy/clip_fraction")

SIGNALS: Mapping[str, Sequence[str]] = {
    "ppo": FOUR_SIGNALS,
    "rloo": FOUR_SIGNALS,
    "dpo": ("reward/margin", "reward/accuracy", "reward/chosen", "reward/rejected"),
    "simpo": ("reward/margin", "reward/accuracy", "reward/chosen", "reward/rejected"),
    "kto": ("reward/margin", "policy/kl_baseline", "reward/chosen", "reward/rejected"),
    "orpo": ("loss/total", "policy/log_odds_ratio", "policy/chosen_logp_mean", "policy/rejected_logp_mean"),
    "reward_model": ("eval/accuracy", "reward/accuracy", "eval/ece", "loss/total"),
    "sft": ("loss/total", "loss/nll", "optim/grad_norm", "optim/learning_rate"),
    "pretrain": ("loss/total", "loss/nll", "optim/grad_norm", "optim/learning_rate"),
}
"""What is looked at first, by kind of stage. All else that a stage logs is drawn further down."""

TITLES = {
    "policy/kl_to_reference": "KL from the reference",
    "reward/score": "Reward",
    "policy/clip_fraction": "Clip fraction",
    "loss/total": "Loss",
    "loss/nll": "Loss a token",
    "optim/grad_norm": "Gradient norm",
}
SHORT_WORDS = {"kl": "KL", "nll": "NLL", "ece": "ECE", "logp": "log-probability", "gib": "GiB"}
WITH_GROUP = ("loss", "reward", "value", "advantage", "eval", "memory")
"""Groups without which the rest of a name says too little."""


class Chart(NamedTuple):
    """One picture: `group` is "signals", "more" or "machine"; `low` and `high` bound what is healthy, None for open."""

    name: str
    title: str
    meaning: str
    unit: str
    group: str
    low: float | None
    high: float | None


def charts_of(kind: str, names: Iterable[str]) -> list[Chart]:
    """The charts of the metrics that a stage has logged, its signals first, the machine's figures last."""
    logged = list(names)
    leading = [name for name in SIGNALS.get(kind, ("loss/total",)) if name in logged]
    others = sorted((name for name in logged if name not in leading), key=_place)
    return [_chart(name, "signals") for name in leading] + [_chart(name, _group(name)) for name in others]


def title_of(name: str) -> str:
    """Plain words for a metric's name, with its group where the name alone could be another's."""
    if name in TITLES:
        return TITLES[name]
    group, _, rest = name.rpartition("/")
    words = [SHORT_WORDS.get(word, word) for word in rest.split("_")]
    text = " ".join(words)
    text = f"{group} {text}" if group in WITH_GROUP else text
    return text[:1].upper() + text[1:] or name


def _place(name: str) -> tuple[bool, int, str]:
    order = list(METRICS)
    known = METRICS.get(name)
    return known is not None and known.timing, order.index(name) if known else len(order), name


def _group(name: str) -> str:
    known = METRICS.get(name)
    return "machine" if known is not None and known.timing else "more"


def _chart(name: str, group: str) -> Chart:
    known = METRICS.get(name)
    if known is None:
        return Chart(
            name, title_of(name), "logged by this run, not a metric of boresight's table", "", group, None, None
        )
    healthy = known.healthy if isinstance(known.healthy, Range) else Range()
    return Chart(name, title_of(name), known.meaning, known.unit, group, healthy.low, healthy.high)
