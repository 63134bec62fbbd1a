"""People, a judge, or both: what labels for so many pairs cost and take, and which way to go.

How many couples make a pair, what each way asks of people and of the judge, and how much of the accuracy of all-human
labels a reward model keeps with it, was measured in a small world with planted faults of the judge
(`experiments/rlaif.py`; docs/ai_feedback.md). Prices and times are the user's.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from boresight.errors import PlanError

MEASURED = Path(__file__).with_name("labelling.json")
HUMAN, HYBRID, BOTH, NAIVE = ("all human", "hybrid", "AI, both orders", "AI, one order, hard")
"""The last is there to be advised against: one order, taken at its word, keeps the judge's liking for a place."""
PREFERENCES = {"quality": (HUMAN, HYBRID, BOTH), "balance": (HYBRID, BOTH, HUMAN), "cost": (BOTH, HYBRID, HUMAN)}
"""balance: most of what people would give at a tenth of their votes, and these tell how far the labels are wrong."""


class LabelPrices(NamedTuple):
    """What a vote and a call take: inputs, not findings."""

    vote_seconds: float = 45.0
    people: int = 2
    vote_price: float = 0.60
    call_seconds: float = 2.0
    calls_at_once: int = 32
    call_price: float = 0.002

    def cost(self, *, votes: float, calls: float) -> float:
        return votes * self.vote_price + calls * self.call_price

    def hours(self, *, votes: float, calls: float) -> float:
        """People begin when the judge is done."""
        by_people = votes * self.vote_seconds / self.people
        return (by_people + calls * self.call_seconds / self.calls_at_once) / 3600


class WayMeasured(NamedTuple):
    """Of one couple of responses, on the mean; `kept` is the share of all-human accuracy with its 95 % interval."""

    pairs: float
    votes: float
    calls: float
    kept: tuple[float, float, float]


class LabelPlan(NamedTuple):
    """One way to label: votes, calls, cost and hours, and the share of accuracy that it keeps."""

    way: str
    couples: int
    votes: int
    calls: int
    cost: float
    hours: float
    kept: tuple[float, float, float]
    obstacle: str | None  # why it is not to be taken


class LabelCase(NamedTuple):
    """How many pairs are to be labelled, by whom, and what a vote and a call cost."""

    pairs: int
    prices: LabelPrices
    judge: bool  # whether there is one
    prefer: str  # a key of PREFERENCES
    regulated: bool
    budget: float | None  # in the prices' currency
    hours: float | None


def measured_ways() -> dict[str, WayMeasured]:
    rows = json.loads(MEASURED.read_text(encoding="utf-8"))
    return {way: WayMeasured(**row | {"kept": tuple(row["kept"])}) for way, row in rows.items()}


def plan_labels(case: LabelCase) -> list[LabelPlan]:
    """A plan for each way: those that can be taken first, and of them the preferred one.

    Raises PlanError for numbers that cannot be meant.
    """
    _check(case)
    measured = measured_ways()
    plans = [_plan(case, way, measured[way]) for way in (*PREFERENCES[case.prefer], NAIVE)]
    return sorted(plans, key=lambda plan: plan.obstacle is not None)


def _plan(case: LabelCase, way: str, measured: WayMeasured) -> LabelPlan:
    couples = -(-case.pairs // measured.pairs)
    votes, calls = couples * measured.votes, couples * measured.calls
    cost, hours = (of(votes=votes, calls=calls) for of in (case.prices.cost, case.prices.hours))
    return LabelPlan(
        way, int(couples), round(votes), round(calls), cost, hours, measured.kept, _obstacle(case, way, cost, hours)
    )


def _obstacle(case: LabelCase, way: str, cost: float, hours: float) -> str | None:
    if way != HUMAN and not case.judge:
        return "there is no judge (--have judge)"
    if way in (BOTH, NAIVE) and case.regulated:
        return "regulated: labels of a language model may not decide alone"
    if way == NAIVE:
        return "the judge's liking for a place goes into the labels; asking in both orders costs two calls"
    if case.budget is not None and cost > case.budget:
        return f"costs {cost:,.0f}, the budget is {case.budget:,.0f}"
    if case.hours is not None and hours > case.hours:
        return f"takes {hours:,.1f} hours, there are {case.hours:,.1f}"
    return None


def _check(case: LabelCase) -> None:
    wrong: Sequence[tuple[str, float | None]] = [
        ("--labels", case.pairs),
        *((f"--{name.replace('_', '-')}", value) for name, value in case.prices._asdict().items()),
    ]
    for name, value in wrong:
        free = name.endswith("-price")  # a model of one's own costs nothing a call
        if value is not None and (value < 0 or (value == 0 and not free)):
            raise PlanError(f"{name} {value:g}: expected {'0 or more' if free else 'more than 0'}. Correct it.")
    for name, limit in (("--budget", case.budget), ("--hours", case.hours)):
        if limit is not None and limit < 0:
            raise PlanError(f"{name} {limit:g}: expected 0 or more. Correct it, or leave it out.")
