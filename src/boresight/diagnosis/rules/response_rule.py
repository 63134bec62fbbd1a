"""What a rule over the responses of a run is, and what such rules measure alike."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from boresight.diagnosis.responses import Sample
from boresight.diagnosis.rules.rule import Finding
from boresight.diagnosis.signals import Evidence

Window = Sequence[Sample]


class ResponseRule(NamedTuple):
    """What it looks for in the responses of a run, in order of steps."""

    id: str
    looks_for: str
    check: Callable[[Window], Finding | None]


def two_shares(first: int, of_first: int, second: int, of_second: int) -> float:
    """z of the difference of two shares, with the pooled variance."""
    pooled = (first + second) / (of_first + of_second)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of_first + 1 / of_second))
    return (second / of_second - first / of_first) / error if error > 0 else 0.0


def seen_in(name: str, before: float, after: float, early: Window, late: Window) -> tuple[Evidence, ...]:
    """Evidence from two windows of responses: a figure before and after."""
    return (Evidence(name, before, after, early[0].step, late[-1].step),)
