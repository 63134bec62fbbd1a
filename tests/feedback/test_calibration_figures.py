"""What is planted in a judge is what its figures find; agreement against figures counted by hand."""

import random

import pytest

from boresight.feedback.calibration_figures import (
    Held,
    agreement_figures,
    balanced_preference,
    effect_figures,
    kappa_interval,
    order_figures,
    slice_figures,
)
from boresight.feedback.human_votes import HumanLabel, HumanVotes
from boresight.stats.agreement import cohen_kappa
from boresight.stats.intervals import wilson

from .planted_couples import JUDGE, Planted, labelled, people_on, planted_couples


@pytest.mark.parametrize("longer_is_better", [0.5, 0.75])
def test_planted_effects_are_recovered_whatever_people_think_of_length(longer_is_better: float) -> None:
    faults = Planted(position=0.2, length=0.15, own=0.1, noise=0.1, longer_is_better=longer_is_better)
    found = effect_figures(labelled(planted_couples(6000, faults)), JUDGE["judge"])
    for name, planted in (("position", 0.2), ("length", 0.15), ("self_preference", 0.1)):
        assert found[name]["effect"] == pytest.approx(planted, abs=0.05), name
        low, high = found[name]["effect_ci95"]
        assert low < planted < high and high - low < 0.15


def test_people_who_err_do_not_move_the_effects() -> None:
    couples = planted_couples(6000, Planted(position=0.2, length=0.15, own=0.1, noise=0.1))
    people = HumanVotes(people_on(couples, noise=0.1))
    found = effect_figures(labelled(couples, people), JUDGE["judge"])
    assert found["length"]["effect"] == pytest.approx(0.15, abs=0.05)
    assert found["self_preference"]["effect"] == pytest.approx(0.1, abs=0.05)


def test_fair_judge_that_follows_people_to_longer_responses_prefers_none() -> None:
    found = effect_figures(labelled(planted_couples(3000, Planted(longer_is_better=0.9, noise=0.1))), "judge")
    assert abs(found["length"]["effect"]) < 0.05 and found["self_preference"] is None


def test_interval_of_a_preference_covers_it() -> None:
    covered = 0
    for seed in range(100):
        found = effect_figures(labelled(planted_couples(200, Planted(length=0.2, noise=0.2), seed)), "judge")["length"]
        low, high = found["effect_ci95"]
        covered += low <= 0.2 <= high
    assert covered >= 88


def test_preference_that_people_always_share_cannot_be_told() -> None:
    assert balanced_preference([]) is None
    rows = labelled(planted_couples(50, Planted(longer_is_better=1.0)))
    assert effect_figures(rows, "judge")["length"] is None


def test_few_couples_prove_no_preference_however_alike_they_are() -> None:
    """Two couples, each for the longer response: a coin does that in one of four. One couple beside a hundred: the half
    of the rate that rests on it may be anything from Wilson's 0.207 on."""
    two = balanced_preference([Held(1.0, 1.0, "p"), Held(1.0, 0.0, "q")])
    assert two is not None and two["effect"] == 1.0 and two["effect_ci95"][0] < 0 and two["effect_ci95"][1] == 1.0
    many = [Held(float(i % 10 > 0), 1.0, f"p{i}") for i in range(100)]
    one = balanced_preference([*many, Held(1.0, 0.0, "q")])
    first, second = wilson(90, 100), wilson(1, 1)
    down = ((first.value - first.low) ** 2 + (second.value - second.low) ** 2) ** 0.5 / 2
    right = pytest.approx([0.95 - down, 0.95 + (first.high - first.value) / 2], abs=1e-3)
    assert one is not None and one["ci95"] == right


def test_couples_of_one_prompt_on_which_people_differ_go_together() -> None:
    """Each prompt has a couple of either kind, and the judge one taste a prompt: as unsure as 400 couples, not 800."""
    draw = random.Random(2)
    taste = [float(draw.random() < 0.6) for _ in range(400)]
    rows = [Held(judge, liked, str(i)) for i, judge in enumerate(taste) for liked in (1.0, 0.0)]
    found = balanced_preference(rows)
    assert found is not None and found["ci95"] == pytest.approx(wilson(sum(taste), 400)[1:3], abs=1e-3)


def test_agreement_counted_by_hand() -> None:
    """a/b right, tie, disagreement, failure: of five couples two are right; labels 3, of which one is wrong."""
    (one, _), *_ = planted_couples(1, Planted())
    from dataclasses import replace

    def couple(number: int, given: float | None, swapped: float | None, failure: str = "") -> object:
        return replace(one, id=str(number), prompt_id=str(number), given=given, swapped=swapped, failure=failure)

    rows = [
        (couple(1, 1.0, 1.0), HumanLabel(1, 0)),
        (couple(2, 0.0, 0.0), HumanLabel(0, 3)),
        (couple(3, 1.0, 1.0), HumanLabel(1, 3)),
        (couple(4, 1.0, 0.0), HumanLabel(1, 0)),
        (couple(5, None, 1.0, "unreadable"), HumanLabel(0, 0, 2)),
    ]
    found = agreement_figures(rows)  # type: ignore[arg-type]
    assert (found["n"], found["accuracy"], found["labels"]) == (5, 0.4, 3)
    assert found["label_error"] == pytest.approx((0 + 0 + 0.75) / 3) and found["no_label"] == 0.4
    assert found["cohen_kappa"] == pytest.approx(cohen_kappa([1, 2, 1, 0, -1], [1, 2, 2, 1, 0]))
    orders = order_figures(rows)  # type: ignore[arg-type]
    assert orders is not None
    assert (orders["accuracy_given_order"], orders["accuracy_swapped"], orders["correct_in_both"]) == (0.6, 0.4, 0.4)
    # Shown first: given 1, 3, 4 are for a, 2 is not; swapped 2 and 4 are for b, 1, 3 and 5 are not: 5 of 9.
    assert orders["first_position_rate"] == pytest.approx(5 / 9) and orders["unparsable"] == 0.1


def test_kappa_interval_covers_and_is_wider_where_a_prompt_holds_its_couples_together() -> None:
    draw = random.Random(1)
    right = [draw.choice((1, 2)) for _ in range(400)]
    said = [r if draw.random() < 0.8 else 3 - r for r in right]
    low, high = kappa_interval(said, right, range(400))
    assert low is not None and high is not None and low < cohen_kappa(said, right) < high and 0.1 < high - low < 0.18
    copies = [i // 4 for i in range(400)]
    said, right = [said[i] for i in copies], [right[i] for i in copies]
    clustered = kappa_interval(said, right, copies)
    assert clustered[1] - clustered[0] > 1.5 * (high - low)  # type: ignore[operator]
    assert kappa_interval([1, 1], [1, 1], [0, 1]) == (None, None)


def test_slices_show_where_the_judge_errs() -> None:
    found = slice_figures(labelled(planted_couples(900, Planted(length=0.5, noise=0.05))))
    length = found["length"]
    assert length["people prefer the longer"]["accuracy"] > length["people prefer the shorter"]["accuracy"] + 0.2
    assert set(found["kind"]) == {"plain", "greeting", "premise"}
    assert sum(own["n"] for own in found["kind"].values()) == 900 and set(found["source"]) == {
        "llama-3-8b and qwen-3-8b"
    }
