import pytest

from boresight.errors import PlanError
from boresight.planning.labelling import BOTH, HUMAN, HYBRID, NAIVE, LabelCase, LabelPrices, measured_ways, plan_labels

PRICES = LabelPrices(vote_seconds=60.0, people=3, vote_price=1.0, call_seconds=2.0, calls_at_once=10, call_price=0.01)


def case(**changes: object) -> LabelCase:
    plain = {"pairs": 1000, "prices": PRICES, "judge": True, "prefer": "balance", "regulated": False, "budget": None,
             "hours": None}  # fmt: skip
    return LabelCase(**plain | changes)  # type: ignore[arg-type]


def test_cost_and_hours_follow_from_what_a_couple_takes() -> None:
    human = next(plan for plan in plan_labels(case()) if plan.way == HUMAN)
    measured = measured_ways()[HUMAN]
    assert measured.votes == 1.0 and measured.calls == 0.0
    assert human.couples == human.votes == -(-1000 // measured.pairs)  # ties of people leave couples without a pair
    assert human.cost == human.couples and human.hours == pytest.approx(human.couples / 3 / 60)


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, HYBRID),
        ({"prefer": "quality"}, HUMAN),
        ({"prefer": "cost"}, BOTH),
        ({"budget": 150.0}, BOTH),
        ({"hours": 2.0, "prefer": "quality"}, HYBRID),
        ({"judge": False}, HUMAN),
        ({"regulated": True, "prefer": "cost"}, HYBRID),
    ],
)
def test_the_advice_is_the_preferred_way_that_is_open(changes: dict[str, object], first: str) -> None:
    best, *others = plan_labels(case(**changes))
    assert best.way == first and best.obstacle is None
    assert {plan.way for plan in (best, *others)} == {HUMAN, HYBRID, BOTH, NAIVE}
    assert next(plan for plan in others if plan.way == NAIVE).obstacle is not None


def test_where_no_way_is_open_each_says_why() -> None:
    plans = plan_labels(case(judge=False, budget=10.0))
    assert all(plan.obstacle for plan in plans)
    assert any("the budget is 10" in (plan.obstacle or "") for plan in plans)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pairs": 0}, "--labels 0"),
        ({"prices": PRICES._replace(people=0)}, "--people 0"),
        ({"prices": PRICES._replace(vote_price=-1.0)}, "--vote-price -1: expected 0 or more"),
        ({"budget": -5.0}, "--budget -5"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(PlanError, match=word):
        plan_labels(case(**changes))
