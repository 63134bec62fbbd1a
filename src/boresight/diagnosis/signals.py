"""What a rule looks at: a run as aligned signals in known units, whatever framework logged it.

Signals bear the names of `boresight.runlog.names` where those have the quantity; the table here adds what only foreign
logs hold. A quantity whose unit cannot be told gets a name that says so, or stays out and is listed as unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.diagnosis.responses import Sample
from boresight.runlog.names import METRICS

Numbers = NDArray[np.float64]

COMPONENT = "reward/component/"
"""Prefix of the parts that a reward is made of, and of scores logged beside it."""

FOREIGN = {
    "policy/kl_unknown_unit": ("KL from the reference, summed or averaged in a way the log does not tell", "nats"),
    "policy/kl_maximum": ("largest KL of a token or response in the step", "nats"),
    "policy/sampler_probability_gap": ("mean difference of a token's probability, sampler against trainer", "fraction"),
    "policy/sampler_probability_factor": ("mean factor between both probabilities; 1 is perfect", "ratio"),
    "policy/kl_old_to_new": ("KL of the policy since the rollout, k1: small and of either sign", "nats a token"),
    "policy/chosen_logp": ("log-probability of chosen responses, summed (DPO) or a mean (ORPO)", "nats"),
    "policy/rejected_logp": ("log-probability of rejected responses, summed (DPO) or a mean (ORPO)", "nats"),
    "reward/deviation": ("spread of the reward within a group of responses to one prompt", "reward"),
    "reward/zero_variance_share": ("groups whose responses all have the same reward", "fraction"),
    "reward/validation": ("score on held-out prompts", "reward"),
    "rollout/stop_count": ("responses of the step that end with the stop token", "responses"),
    "rollout/length_minimum": ("shortest response of the step", "tokens"),
    "rollout/length_maximum": ("longest response of the step", "tokens"),
    "eval/loss": ("loss on held-out data", "as the method's loss"),
    "eval/margin": ("margin of held-out pairs", "reward, or nats times beta"),
    "eval/chosen": ("reward of the chosen responses of held-out pairs", "reward, or nats times beta"),
    "eval/rejected": ("reward of the rejected responses of held-out pairs", "reward, or nats times beta"),
    "run/progress": ("share of the planned steps that is done", "fraction"),
}
"""Signals beyond `boresight.runlog.names`: meaning and unit."""

RL_METHODS = ("ppo", "grpo", "rloo", "policy_gradient")
PAIR_METHODS = ("dpo", "orpo", "simpo", "kto")
TEXT_METHODS = ("sft", "pretrain")


def known(name: str) -> bool:
    """Whether a signal of that name has a meaning and a unit here."""
    return name in METRICS or name in FOREIGN or name.startswith(COMPONENT)


class Evidence(NamedTuple):
    """One signal over a window: its value at the beginning and at the end."""

    signal: str
    start: float
    end: float
    step_from: float
    step_to: float


@dataclass(frozen=True, slots=True)
class Series:
    """A signal by step. `source` is the name as it was logged, for people who look for it in their file."""

    name: str
    steps: Numbers
    values: Numbers
    """May hold NaN and infinity: the rule of non-finite values reads them, the others read `finite()`."""
    source: str

    def __len__(self) -> int:
        return len(self.values)

    def finite(self) -> "Series":
        """The steps at which the value is a number."""
        keep = np.isfinite(self.values)
        return self if keep.all() else Series(self.name, self.steps[keep], self.values[keep], self.source)

    def part(self, begin: float, end: float) -> "Series":
        """From one share of the series to another; never empty where the series is not."""
        a = min(int(len(self) * begin), max(len(self) - 1, 0))
        b = max(round(len(self) * end), a + 1)
        return Series(self.name, self.steps[a:b], self.values[a:b], self.source)

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def early(self) -> float:
        """Median of the first fifth."""
        return self.part(0, 0.2).median

    @property
    def late(self) -> float:
        """Median of the last fifth."""
        return self.part(0.8, 1).median

    def evidence(self) -> Evidence:
        """From the first fifth to the last, in medians; the values themselves where there are fewer than ten."""
        few = len(self) < 10
        start, end = (float(self.values[0]), float(self.values[-1])) if few else (self.early, self.late)
        return Evidence(self.source, start, end, float(self.steps[0]), float(self.steps[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """One run of one method. `broken` holds each logged number that was not finite, also of signals nobody knows."""

    method: str
    framework: str
    signals: Mapping[str, Series]
    rows: int
    steps: int
    """Distinct steps, restarts merged."""
    first_step: float = 0.0
    last_step: float = 0.0
    numbered: bool = True
    """The log has steps; otherwise its rows are counted, and the first may be from the middle of the run."""
    starts: int = 1
    """How often training begins anew in this log."""
    other_rows: int = 0
    """Rows of starts that are not the one diagnosed."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Names whose unit or meaning cannot be told -> why."""
    remarks: tuple[str, ...] = ()
    """What the reader passed over or put right."""
    samples: tuple[Sample, ...] = ()
    """Responses that the run keeps, in the order of steps."""

    def get(self, name: str) -> Series | None:
        """The finite values of a signal; None where there are none."""
        series = self.signals.get(name)
        if series is None:
            return None
        finite = series.finite()
        return finite if len(finite) else None

    def first_of(self, *names: str) -> Series | None:
        """The first of these signals that has finite values."""
        return next((series for name in names if (series := self.get(name)) is not None), None)

    def components(self) -> list[Series]:
        """The parts of the reward that were logged one by one."""
        found = [self.get(name) for name in self.signals if name.startswith(COMPONENT)]
        return [series for series in found if series is not None]
