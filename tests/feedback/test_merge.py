"""The merged set: people's votes stand whatever the judge says, and the report tells what it is worth."""

from dataclasses import replace
from pathlib import Path

import pytest

from boresight.data.preferences import pair_weight, response_text
from boresight.errors import DataError
from boresight.feedback.calibration import calibrate
from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import JudgedFile
from boresight.feedback.jury import Verdicts, seat_jury
from boresight.feedback.merge import MergeSettings, merge_labels
from boresight.feedback.routing import Shares, plan_route

from .planted_couples import JUDGE, Planted, labelled, people_on, planted_couples, vote

JUDGED = planted_couples(400, Planted(position=0.3, length=0.1, noise=0.1, failures=0.03))
COUPLES = [couple for couple, _ in JUDGED]


def verdicts_of(couples: list) -> Verdicts:  # type: ignore[type-arg]
    return Verdicts(seat_jury([JudgedFile(Path("j.jsonl"), JUDGE, couples)]))


def test_votes_of_people_always_win() -> None:
    verdicts = verdicts_of(COUPLES)
    against = [
        vote(c, 3 - (verdicts.label(c) or 1)) for c in COUPLES[:200]
    ]  # against the judge wherever it has a label
    merged = merge_labels(verdicts, HumanVotes(against))
    by_id = {pair.id: pair for pair in merged.pairs}
    for said in against:
        pair = by_id[said.id]
        assert (pair.source, pair.p_chosen, pair.n_votes) == ("human", 1.0, 1)
        assert response_text(pair.chosen) == response_text(said.chosen)
    rest = [by_id[c.id] for c in COUPLES[200:] if c.id in by_id]
    assert rest and all(pair.source == "ai" and pair.meta["judge"] == JUDGE["judge"] for pair in rest)
    assert merged.report["human"] == 200 and merged.report["ai"] == len(rest)
    assert merged.report["human_share"] == pytest.approx(200 / len(by_id))
    labelled_before = sum(bool(verdicts.label(c)) for c in COUPLES[:200])
    assert merged.report["people_overruled_the_judge"] == labelled_before


def test_nothing_vanishes_uncounted() -> None:
    verdicts = verdicts_of(COUPLES)
    people = HumanVotes([vote(COUPLES[0], 1, p=0.5), vote(COUPLES[1], 1, p=0.75, votes=4)])
    report = merge_labels(verdicts, people).report
    assert report["pairs"] + sum(report["left_out"].values()) == report["couples"] == 400
    assert report["left_out"]["tie_by_people"] == 1 and report["left_out"]["no_verdict"] > 0
    assert report["left_out"]["orders_disagree"] > 0 and report["audit_unanswered"] is None
    assert sum(own["human"] + own["ai"] for own in report["by_kind"].values()) == report["pairs"]


def test_probabilities_and_weights_are_those_of_their_source() -> None:
    couples = labelled(JUDGED)
    calibration, _, _ = calibrate([row for row in couples if not row[0].failure], JUDGE, {})
    verdicts = Verdicts(seat_jury([JudgedFile(Path("j.jsonl"), JUDGE, COUPLES)]), calibration)
    people = HumanVotes([vote(COUPLES[0], 2, p=0.75, votes=4), vote(COUPLES[1], 1)])
    settings = MergeSettings(clip=0.2, human_error=0.1, human_weight=2.0, ai_weight=0.5)
    pairs = merge_labels(verdicts, people, settings=settings).pairs
    first, second, *others = pairs
    assert (first.p_chosen, first.n_votes) == (pytest.approx(0.75 * 0.9 + 0.25 * 0.1), 4)
    assert second.p_chosen == pytest.approx(0.9) and pair_weight(second) == 2.0
    machine = [pair for pair in others if pair.source == "ai"]
    assert all(pair_weight(pair) == 0.5 and 0.5 < pair.p_chosen <= 0.8 for pair in machine)
    loose = [pair for pair in merge_labels(verdicts, people).pairs if pair.source == "ai"]
    by_id = {c.id: c for c in COUPLES}
    for pair in loose:
        p = verdicts.p(by_id[pair.id])
        assert p is not None and pair.p_chosen == pytest.approx(min(max(p, 1 - p), 0.95))
        assert "weight" not in pair.meta


def test_report_estimates_the_errors_that_are_there() -> None:
    """Over many plans the audit's mean is the judge's true error; in each the interval is told with what it rests
    on."""
    verdicts = verdicts_of(COUPLES)
    everybody = {pair.id: pair for pair in people_on(JUDGED)}
    people = HumanVotes(everybody.values())
    errors = [float(verdicts.label(c) != people.of(c).label) for c in COUPLES if verdicts.label(c)]  # type: ignore[union-attr]
    truth, found = sum(errors) / len(errors), []
    for seed in range(30):
        plan = plan_route(verdicts, budget=80, shares=Shares(audit=0.6, coverage=0.1), seed=seed)
        report = merge_labels(verdicts, HumanVotes(everybody[one.id] for one in plan.routed), plan).report
        assert report["audit_unanswered"] == 0
        left, mixed = report["ai_label_error"], report["label_error"]
        assert left["audited"] == 48 and left["of"] == plan.audited_from
        assert mixed["value"] == pytest.approx(left["value"] * report["ai"] / report["pairs"])
        found.append(report["judge_error"]["value"])
    assert sum(found) / 30 == pytest.approx(truth, abs=0.02)


def test_unanswered_couples_are_told() -> None:
    verdicts = verdicts_of(COUPLES)
    plan = plan_route(verdicts, budget=40, shares=Shares(audit=0.5))
    everybody = {pair.id: pair for pair in people_on(JUDGED)}
    audit = [one.id for one in plan.routed if one.reason == "audit"]
    answered = [everybody[one.id] for one in plan.routed if one.id not in audit[:3]]
    report = merge_labels(verdicts, HumanVotes(answered), plan).report
    assert report["audit_unanswered"] == 3 and report["ai_label_error"]["audited"] == len(audit) - 3


def test_plan_of_other_couples_is_refused() -> None:
    plan = plan_route(verdicts_of(COUPLES), budget=10)
    with pytest.raises(DataError, match="the plan is of 400 couples, here are 399"):
        merge_labels(verdicts_of(COUPLES[:399]), HumanVotes(), plan)
    renamed = [replace(c, id=f"other-{c.id}") for c in COUPLES]
    with pytest.raises(DataError, match="without 'c"):
        merge_labels(verdicts_of(renamed), HumanVotes(), plan)
