"""Agreement figures of stored votes, against published tables, by hand, and against another implementation."""

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import krippendorff
import numpy as np
import pytest

from boresight.evaluation.agreement import rater_agreement
from boresight.evaluation.rater_files import Rated
from boresight.feedback.human_labels import LabelledTask, Vote
from boresight.records import Message
from boresight.stats.agreement import commonest_fleiss, fleiss_kappa, krippendorff_alpha
from boresight.web.annotation.adjudication import adjudicate, disputes
from boresight.web.annotation.bias import bias_of, biases, warnings_of
from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import add_tasks
from boresight.web.annotation.quality import (
    agreement_figures,
    pair_kappas,
    pair_ratings,
    quality,
    reliability,
    strengths,
)
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import VotedTask, voted_tasks
from tests.web.annotation.made import project_with, task

RANKS = {"1": (1, 2), "2": (2, 1), "0": (1, 1), "tie": (1, 1)}
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def voted(labels: Sequence[Sequence[str | None]], *, shown: tuple[int, ...] = (0, 1)) -> list[VotedTask]:
    """Tasks with one column of labels a person: "1", "2", "0" (a tie) or None."""
    made = []
    for number, row in enumerate(labels):
        votes = tuple(
            Vote(annotator=f"r{place}", verdict="ranked", ranks=RANKS[label], shown=shown, seconds=5.0)
            for place, label in enumerate(row)
            if label is not None
        )
        one = LabelledTask(
            id=str(number), prompt=(Message("user", "?"),), responses=("a", "bb"), votes=votes, models=("m", "n")
        )
        made.append(VotedTask(number, True, one))
    return made


def test_figures_equal_the_published_ones_of_pandalm() -> None:
    file = SHARED / "pandalm/testset-v1.json.gz"
    if not file.exists():
        pytest.skip("the public data sets (../shared/data) are not on this machine")
    rows = json.loads(gzip.decompress(file.read_bytes()))
    rated = pair_ratings(voted([[str(row[f"annotator{n}"]) for n in (1, 2, 3)] for row in rows]))
    kappas = {tuple(one["annotators"]): one["kappa"] for one in pair_kappas(rated)}
    published = {("r0", "r1"): 0.85, ("r0", "r2"): 0.88, ("r1", "r2"): 0.86}
    assert {pair: round(kappa, 2) for pair, kappa in kappas.items()} == published
    assert kappas["r0", "r1"] == pytest.approx(0.8520, abs=5e-5)


@pytest.mark.parametrize(("model", "percent", "kappa"), [("gpt4", 0.984, 0.970), ("mistralguard", 0.938, 0.892)])
def test_figures_equal_the_published_ones_of_xstest(model: str, percent: float, kappa: float) -> None:
    file = SHARED / f"xstest/xstest_v2_completions_{model}.csv.gz"
    if not file.exists():
        pytest.skip("the public data sets (../shared/data) are not on this machine")
    rows = list(csv.DictReader(gzip.decompress(file.read_bytes()).decode().splitlines(keepends=True)))
    code = {label: name for label, name in zip(sorted({r["annotation_1"] for r in rows}), ("1", "2", "0"), strict=True)}
    rated = pair_ratings(voted([[code[row["annotation_1"]], code[row["annotation_2"]]] for row in rows]))
    figures = agreement_figures(rated, seed=0)
    assert figures["percent_agreement"]["value"] == pytest.approx(percent, abs=5e-4)
    assert figures["fleiss_kappa"]["value"] == pytest.approx(kappa, abs=5e-4)
    assert figures["fleiss_kappa"]["low"] < kappa < figures["fleiss_kappa"]["high"]


@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_another_implementation_on_ratings_with_gaps(seed: int) -> None:
    random = np.random.default_rng(seed)
    table = random.integers(0, 4, size=(60, 5)).astype(float)
    table[random.random(table.shape) < 0.4] = np.nan
    for level in ("nominal", "ordinal", "interval"):
        other = krippendorff.alpha(reliability_data=table.T, level_of_measurement=level, value_domain=[0, 1, 2, 3])
        assert krippendorff_alpha(table, level) == pytest.approx(other, abs=1e-12)  # type: ignore[arg-type]


def test_alpha_of_stored_votes_equals_another_implementation() -> None:
    random = np.random.default_rng(3)
    labels = [[str(random.integers(0, 3)) if random.random() < 0.6 else None for _ in range(6)] for _ in range(80)]
    rated = pair_ratings(voted(labels))
    there = [[np.nan if label is None else float(label) for label in row] for row in labels]
    other = krippendorff.alpha(reliability_data=np.array(there).T, level_of_measurement="nominal")
    assert agreement_figures(rated, seed=0)["krippendorff_alpha"]["value"] == pytest.approx(other, abs=1e-12)


def test_fleiss_kappa_lets_raters_differ_from_item_to_item() -> None:
    nan = np.nan
    table = np.array([[0, 0, nan, nan], [nan, nan, 1, 1], [0, nan, nan, 1], [nan, 1, 1, nan], [0, 1, 1, nan]])
    pairs_of_slots = np.array([[0, 0], [1, 1], [0, 1], [1, 1]], dtype=float)  # the commonest number of ratings is two
    assert commonest_fleiss(table) == pytest.approx(fleiss_kappa(pairs_of_slots))


def test_a_file_of_raters_and_a_store_tell_one_agreement_where_two_share_no_item() -> None:
    labels = [("1", "1", None), ("2", "2", None), ("1", "2", None), ("2", "2", None)]
    labels += [(None, "1", "1"), (None, "2", "1"), (None, None, "2")]
    of_file = rater_agreement(Rated(("a", "b", "c"), labels))
    of_store = agreement_figures(pair_ratings(voted(labels)), seed=0)
    for name in ("percent_agreement", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha"):
        assert of_store[name]["value"] == pytest.approx(of_file[name]), name
    assert of_file["cohen_kappa"] == pytest.approx(1 / 3)
    assert of_file["cohen_kappa_pairs"]["a, c"] is None


def test_there_are_no_figures_before_two_people_rated_one_task() -> None:
    for labels in ([], [["1", None], [None, "2"]]):
        rated = pair_ratings(voted(labels))
        figures = agreement_figures(rated, seed=0)
        assert figures["krippendorff_alpha"] is None and figures["pairs_rated_twice"] == 0
        assert reliability(rated) is None and pair_kappas(rated) == []


def test_reliability_tells_the_careless_annotator() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(1, 3, size=200)
    rows = []
    for right in truth:
        careful = [str(right) if random.random() < 0.9 else str(3 - right) for _ in range(3)]
        rows.append([*careful, str(random.integers(1, 3))])
    found = reliability(pair_ratings(voted(rows)))
    assert found is not None
    assert [found[f"r{n}"]["accuracy"] for n in range(3)] == pytest.approx([0.9] * 3, abs=0.06)
    assert found["r3"]["accuracy"] == pytest.approx(0.5, abs=0.08)


def test_strengths_are_the_log_odds_of_the_votes_or_say_why_there_are_none() -> None:
    found = strengths(voted([["1"]] * 30 + [["2"]] * 10))
    (strong, weak) = found["models"]
    assert (strong["model"], weak["model"]) == ("m", "n") and found["comparisons"] == 40
    assert strong["strength"] - weak["strength"] == pytest.approx(np.log(3))
    assert "never won" in strengths(voted([["1"]] * 3))["reason"]
    assert strengths([])["models"] == []


def test_who_prefers_what_is_shown_first_or_is_longer_is_told() -> None:
    tasks = voted([["1"]] * 40)  # the first listed is the shorter one
    cast = [(one.labelled, one.labelled.votes[0]) for one in tasks]
    bias = bias_of("anna", cast)
    assert bias.first is not None and bias.longer is not None and (bias.first.value, bias.longer.value) == (1.0, 0.0)
    assert warnings_of(bias) == [
        "anna: prefers the response shown first in 100% of 40 decided pairs",
        "anna: prefers the shorter response in 100% of 40 decided pairs",
    ]
    balanced = voted([["1"], ["2"]] * 20)
    assert warnings_of(bias_of("ben", [(one.labelled, one.labelled.votes[0]) for one in balanced])) == []


def test_live_quality_warnings_and_the_queue_of_disputes(sqlite_store: Store) -> None:
    store = sqlite_store
    project, people = project_with(store, 2, overlap=2, gold_every=1)
    reviewer = add_person(store, "reviewer", "reviewer")
    golds = [task(f"g{n}", gold=1, purpose="gold") for n in range(8)]
    add_tasks(store, project.id, [task(f"t{n}") for n in range(8)] + golds)
    for person in people:
        number = 0
        while held := claim(store, project.id, person.id):
            number += 1
            prefers_first = held.responses[0].endswith("answer 0") == (person == people[0])
            submit(store, held.task_id, person.id, {"preference": -1 if prefers_first else 1}, key=str(number))
    result = quality(store, project.id)
    assert result["agreement"]["percent_agreement"]["value"] == 0.0 and result["agreement"]["pairs"] == 8
    warnings = biases(store, project.id, names=True)["warnings"]
    (low_gold,) = [warning for warning in warnings if "known answer" in warning]  # between two tasks each one: 7
    assert low_gold == "annotator 1: 0 of 7 questions with a known answer were right"
    assert any("faster than anybody reads" in w for w in warnings)
    waiting = disputes(store, project.id)
    assert len(waiting) == 8 and waiting[0].share == 0.5
    with pytest.raises(RefusedError, match="a reviewer's"):
        adjudicate(store, waiting[0].task_id, people[0].id, {"preference": -1}, key="d")
    event = adjudicate(store, waiting[0].task_id, reviewer.id, {"preference": -1}, key="d")
    assert adjudicate(store, waiting[0].task_id, reviewer.id, {"preference": -1}, key="d") == event
    assert len(disputes(store, project.id)) == 7
    adjudicate(store, waiting[0].task_id, reviewer.id, {"preference": 2}, key="d2")
    decided = next(v.labelled for v in voted_tasks(store, project.id) if v.task_id == waiting[0].task_id)
    assert decided.final is not None and decided.final.ranks == (2, 1) and len(decided.votes) == 2
