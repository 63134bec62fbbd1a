"""How often the judge's labels are wrong, from couples drawn by chance: an estimate that no routing can colour.

Couples that were sent for a reason are known one by one (probability 1); of the others an audit was drawn, each with
the same probability pi = n/N. The Horvitz-Thompson estimate of the errors among all N_all labels,

    sum_i e_i / pi_i = (errors among those sent) + N * (mean error of the audit),

is unbiased whatever the judge and the routing do (Horvitz & Thompson 1952). The interval is Wilson's with n / (1 - n/N)
in place of n, the correction for a finite population (Cochran 1977, section 3.7).
"""

from collections.abc import Sequence
from typing import NamedTuple

from boresight.stats.intervals import wilson


class Estimate(NamedTuple):
    """A share with its 95 % interval; `n` audited of a `population`."""

    value: float
    low: float
    high: float
    n: int
    population: int


class AuditEstimates(NamedTuple):
    """`left_to_judge`: error of the labels that were not sent for a reason; None where nothing was audited. `judge`: of
    all its labels, those sent included."""

    left_to_judge: Estimate | None
    judge: Estimate | None


def estimate_errors(audited: Sequence[float], population: int, sent: Sequence[float]) -> AuditEstimates:
    """Errors (0, 1 or the share of people who disagree) of the audited labels, of a population of so many, and of those
    that were sent for a reason. Raises ValueError where the audit is larger than its population."""
    if len(audited) > population:
        raise ValueError(f"audit: {len(audited)} audited of a population of {population}; expected no more than that")
    if not audited:
        return AuditEstimates(None, finite_share(sent, len(sent)) if sent and not population else None)
    left = finite_share(audited, population)
    total = population + len(sent)
    known = sum(sent) / total
    part = population / total
    value, low, high = (known + part * bound for bound in left[:3])
    return AuditEstimates(left, Estimate(value, low, high, len(audited) + len(sent), total))


def finite_share(values: Sequence[float], population: int) -> Estimate:
    """Mean of values in 0..1 of an even draw without replacement, with the interval described above."""
    n, mean = len(values), sum(values) / len(values)
    if n == population:
        return Estimate(mean, mean, mean, n, population)
    effective = round(n / (1 - n / population))
    found = wilson(mean * effective, effective)
    return Estimate(mean, found.low, found.high, n, population)
