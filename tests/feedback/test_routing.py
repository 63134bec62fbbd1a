"""What is sent to people, why, and that what is drawn by chance is drawn by chance."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import JudgedCouple, JudgedFile
from boresight.feedback.jury import Verdicts, seat_jury
from boresight.feedback.routing import Shares, ask_rows, load_plan, openness, plan_route, save_plan

from .planted_couples import Planted, people_on, planted_couples

JUDGED = planted_couples(300, Planted(position=0.3, noise=0.1, failures=0.05))
COUPLES = [couple for couple, _ in JUDGED]


def verdicts_of(*judges: list[JudgedCouple]) -> Verdicts:
    files = [JudgedFile(Path(f"{i}.jsonl"), {"judge": str(i)}, own) for i, own in enumerate(judges)]
    return Verdicts(seat_jury(files))


def test_budget_is_kept_and_its_parts_are_as_asked() -> None:
    verdicts = verdicts_of(COUPLES)
    plan = plan_route(verdicts, budget=60, shares=Shares(audit=0.3, coverage=0.25))
    counts = plan.counts()
    assert len(plan.routed) == len({one.id for one in plan.routed}) == 60
    assert counts["audit"] == 18 and counts["coverage"] == round(42 * 0.25)
    by_id = {one.id: one for one in COUPLES}
    for one in plan.routed:
        couple = by_id[one.id]
        if one.reason == "audit":
            assert verdicts.label(couple) and one.probability == pytest.approx(18 / plan.audited_from)
        else:
            assert one.probability == 1.0
        assert one.reason != "no_verdict" or couple.failure
        assert one.reason != "orders_disagree" or not couple.agrees
    assert plan.audited_from == sum(bool(verdicts.label(c)) for c in COUPLES) - sum(
        bool(verdicts.label(by_id[one.id])) for one in plan.routed if one.reason != "audit"
    )


def test_open_couples_go_before_sure_ones() -> None:
    def soft(number: int, p: float) -> JudgedCouple:
        return replace(COUPLES[0], id=str(number), given=p, swapped=p, failure="")

    couples = [soft(i, 0.5 + 0.005 * i) for i in range(1, 90)]
    plan = plan_route(verdicts_of(couples), budget=10, shares=Shares(audit=0.0, coverage=0.0))
    assert [one.id for one in plan.routed] == [str(i) for i in range(1, 11)]
    assert {one.reason for one in plan.routed} == {"uncertain"}
    assert openness(None) == openness(0.5) > openness(0.6) > openness(1.0) == 0
    assert openness(0.4) == pytest.approx(openness(0.6))


def test_judges_that_disagree_are_a_reason() -> None:
    calm = [replace(c, given=1.0, swapped=1.0, failure="") for c in COUPLES[:40]]
    other = [replace(c, given=float(i >= 5), swapped=float(i >= 5)) for i, c in enumerate(calm)]
    plan = plan_route(verdicts_of(calm, other), budget=5, shares=Shares(audit=0.0, coverage=0.0))
    assert {one.id for one in plan.routed} == {c.id for c in calm[:5]}
    assert plan.counts() == {"judges_disagree": 5}


def test_every_kind_is_covered_in_proportion() -> None:
    rare = [replace(c, kind="rare", given=1.0, swapped=1.0, failure="") for c in COUPLES[:30]]
    common = [replace(c, kind="common", given=1.0, swapped=0.0, failure="") for c in COUPLES[30:]]
    plan = plan_route(verdicts_of(rare + common), budget=100, shares=Shares(audit=0.0, coverage=1.0))
    ids = {c.id for c in rare}
    assert sum(one.id in ids for one in plan.routed) == 10  # 30 of 300, of 100 votes
    none = plan_route(verdicts_of(rare + common), budget=100, shares=Shares(audit=0.0, coverage=0.0))
    assert sum(one.id in ids for one in none.routed) == 0


def test_audit_is_an_even_draw_over_seeds() -> None:
    verdicts = verdicts_of(COUPLES)
    drawn: Counter[str] = Counter()
    for seed in range(100):
        plan = plan_route(verdicts, budget=20, shares=Shares(audit=1.0), seed=seed)
        assert plan.counts() == {"audit": 20}
        drawn.update(one.id for one in plan.routed)
    assert plan.audited_from == sum(bool(verdicts.label(c)) for c in COUPLES) < len(COUPLES)
    # Each of n couples is drawn in 20/n of 100 plans; a chi-square over them has n - 1 degrees of freedom.
    expected = 100 * 20 / len(COUPLES)
    chi_square = sum((drawn[c.id] - expected) ** 2 / expected for c in COUPLES)
    assert abs(chi_square - len(COUPLES)) < 5 * (2 * len(COUPLES)) ** 0.5


def test_who_was_asked_already_is_not_asked_again_and_equal_input_gives_the_equal_plan() -> None:
    verdicts = verdicts_of(COUPLES)
    people = HumanVotes(people_on(JUDGED[:100]))
    plan = plan_route(verdicts, budget=50, people=people, seed=3)
    assert not {one.id for one in plan.routed} & {c.id for c in COUPLES[:100]}
    assert plan == plan_route(verdicts, budget=50, people=people, seed=3)
    assert plan != plan_route(verdicts, budget=50, people=people, seed=4)
    with pytest.raises(DataError, match="people judged all"):
        plan_route(verdicts, budget=1, people=HumanVotes(people_on(JUDGED)))
    with pytest.raises(DataError, match="a budget of 0"):
        plan_route(verdicts, budget=0)
    with pytest.raises(DataError, match=r"audit 1\.5"):
        plan_route(verdicts, budget=1, shares=Shares(audit=1.5))


def test_larger_budget_than_there_is_to_ask_asks_all_of_it() -> None:
    plan = plan_route(verdicts_of(COUPLES), budget=1000)
    assert {one.id for one in plan.routed} == {c.id for c in COUPLES}


def test_what_people_see_tells_nothing_of_the_judge() -> None:
    plan = plan_route(verdicts_of(COUPLES), budget=80)
    rows = ask_rows(plan, COUPLES, seed=0)
    assert {row["id"] for row in rows} == {one.id for one in plan.routed}
    assert all(set(row) == {"id", "prompt", "responses"} for row in rows)
    by_id = {c.id: c for c in COUPLES}
    turned = sum(row["responses"] == [by_id[row["id"]].b, by_id[row["id"]].a] for row in rows)
    assert 25 <= turned <= 55
    order = [next(i for i, one in enumerate(plan.routed) if one.id == row["id"]) for row in rows]
    assert order != sorted(order)


def test_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = plan_route(verdicts_of(COUPLES), budget=30, source={"judged": "abc"})
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    (tmp_path / "plan.json").write_text('{"form": "other"}')
    with pytest.raises(DataError, match="no routing plan"):
        load_plan(tmp_path / "plan.json")
