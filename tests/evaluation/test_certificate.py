import json
import math

import numpy as np
import pytest

from boresight.errors import DataError
from boresight.evaluation.baselines import Baselines, fit_baselines
from boresight.evaluation.certificate import certify, within_pair_correlation
from boresight.records import Message, PreferencePair


def _pair(
    number: int, chosen: str = "yes it is", rejected: str = "no", *, kind: str = "", p: float = 1.0, prompt: int = -1
) -> PreferencePair:
    return PreferencePair(
        id=f"p{number}",
        prompt=(Message("user", f"question {number if prompt < 0 else prompt}"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        kind=kind,
        p_chosen=p,
    )


@pytest.fixture
def baselines() -> Baselines:
    return fit_baselines([_pair(i) for i in range(10)])


def test_every_number_by_hand(baselines: Baselines) -> None:
    # Margins log 3, log 3, -log 3, 0: right, right, wrong, tie; claims of 3/4, 3/4, 1/4, 1/2 for the chosen response.
    pairs = [_pair(0, kind="plain"), _pair(1, "no", "yes it is", kind="plain"), _pair(2, kind="greeting"), _pair(3)]
    third = math.log(3)
    block = certify(pairs, [third, third, 0, 2], [0, 0, third, 2], baselines)
    assert (block["n"], block["accuracy"]) == (4, 0.625)
    assert block["brier"] == pytest.approx((1 / 16 + 1 / 16 + 9 / 16 + 1 / 4) / 4)
    assert block["nll"] == pytest.approx((2 * math.log(4 / 3) + math.log(4) + math.log(2)) / 4)
    # Confidence 3/4 three times, right in 2 of 3; confidence 1/2 once, a half right.
    assert block["ece"] == pytest.approx((3 * abs(3 / 4 - 2 / 3) + 0) / 4)
    assert [(row["n"], row["accuracy"]) for row in block["reliability"]] == [(1, 0.5), (3, pytest.approx(2 / 3))]
    # Of three decided pairs 2/3 are right at |margin| log 3: sigmoid(log 3 / T) = 2/3 where T = log 3 / log 2.
    assert block["temperature"] == pytest.approx(math.log(3) / math.log(2))
    assert {kind: (own["n"], own["accuracy"]) for kind, own in block["by_kind"].items()} == {
        "greeting": (1, 0.0),
        "plain": (2, 1.0),
    }
    assert block["length_only"]["accuracy"] == 0.75  # the longer one, three times of four
    assert block["bag_of_words"]["accuracy"] == 0.75
    # Score and length differences (log 3, 7), (log 3, -7), (-log 3, 7), (0, 7).
    assert block["score_length_correlation"] == pytest.approx(-7 / math.sqrt(3 * 4 * 49))
    assert block["ci95"][0] < 0.625 < block["ci95"][1]
    assert json.loads(json.dumps(block, allow_nan=False)) == block


def test_ties_have_no_right_order_and_count_for_no_accuracy(baselines: Baselines) -> None:
    # Right, right, wrong by the label of 0.2, and two ties: whichever response of these is called chosen says nothing.
    pairs = [_pair(0, kind="a"), _pair(1), _pair(2, p=0.2), _pair(3, kind="a", p=0.5), _pair(4, kind="b", p=0.5)]
    block = certify(pairs, [1, 1, 1, 1, 0], [0, 0, 0, 0, 1], baselines)
    assert (block["n"], block["ties"], block["accuracy"]) == (3, 2, pytest.approx(2 / 3))
    assert block["length_only"]["accuracy"] == pytest.approx(2 / 3)
    assert {kind: (own["n"], own["accuracy"]) for kind, own in block["by_kind"].items()} == {"a": (1, 1.0)}
    swapped = [_pair(3, "no", "yes it is", kind="a", p=0.5), _pair(4, "no", "yes it is", kind="b", p=0.5)]
    turned = certify([*pairs[:3], *swapped], [1, 1, 1, 0, 1], [0, 0, 0, 1, 0], baselines)
    assert turned["accuracy"] == block["accuracy"] and turned["nll"] == pytest.approx(block["nll"])
    with pytest.raises(DataError, match=r"all 2 held-out pairs are ties .* expected some of which one"):
        certify(swapped, [1, 1], [0, 0], baselines)


def test_a_shift_of_scores_changes_nothing_and_a_swap_mirrors(baselines: Baselines) -> None:
    random = np.random.default_rng(1)
    pairs = [_pair(i) for i in range(60)]
    chosen, rejected = random.normal(1, 1, 60), random.normal(0, 1, 60)
    block = certify(pairs, chosen, rejected, baselines)
    shifted = certify(pairs, chosen + 100, rejected + 100, baselines)
    assert shifted["accuracy"] == block["accuracy"]
    assert shifted["nll"] == pytest.approx(block["nll"])
    assert certify(pairs, rejected, chosen, baselines)["accuracy"] == pytest.approx(1 - block["accuracy"])


def test_an_honest_model_is_found_calibrated_and_a_loud_one_is_not(baselines: Baselines) -> None:
    random = np.random.default_rng(2)
    gap = random.normal(0, 1.2, 4000)
    wins = random.random(4000) < 1 / (1 + np.exp(-gap))
    margin = np.where(wins, gap, -gap)
    pairs = [_pair(i) for i in range(4000)]
    honest = certify(pairs, margin, np.zeros(4000), baselines)
    loud = certify(pairs, 4 * margin, np.zeros(4000), baselines)
    assert honest["ece"] < 0.03
    assert honest["temperature"] == pytest.approx(1, abs=0.1)
    assert loud["accuracy"] == honest["accuracy"]
    assert loud["ece"] > 0.15
    assert loud["temperature"] == pytest.approx(4 * honest["temperature"])


def test_soft_labels_are_what_confidence_is_held_against(baselines: Baselines) -> None:
    pairs = [_pair(i, p=0.75) for i in range(20)]
    block = certify(pairs, np.full(20, math.log(3)), np.zeros(20), baselines)
    assert block["ece"] == pytest.approx(0, abs=1e-9)
    assert block["accuracy"] == 1.0
    assert block["temperature"] == pytest.approx(1)


def test_pairs_of_one_prompt_are_one_piece_of_evidence(baselines: Baselines) -> None:
    right = np.tile([1.0, 1.0, -1.0], 20)
    once = certify([_pair(i) for i in range(60)], right, np.zeros(60), baselines)
    six_a_prompt = [_pair(i, prompt=i // 6) for i in range(360)]
    repeated = certify(six_a_prompt, np.repeat(right, 6), np.zeros(360), baselines)
    assert repeated["ci95"] == pytest.approx(once["ci95"])


def test_all_right_on_few_pairs_is_not_certain(baselines: Baselines) -> None:
    block = certify([_pair(i) for i in range(8)], np.ones(8), np.zeros(8), baselines)
    assert block["ci95"] == pytest.approx([0.6756, 1.0], abs=1e-4)  # Wilson, 8 of 8


def test_correlation_sees_a_reward_that_is_length() -> None:
    length = np.array([5.0, -3.0, 8.0, -1.0])
    assert within_pair_correlation(0.1 * length, length) == pytest.approx(1)
    assert within_pair_correlation(-length, length) == pytest.approx(-1)
    assert within_pair_correlation(np.ones(4), np.zeros(4)) is None


def test_scores_that_do_not_fit_the_pairs_are_refused(baselines: Baselines) -> None:
    with pytest.raises(DataError, match=r"2 pairs with scores of shape \(3,\)"):
        certify([_pair(0), _pair(1)], [1, 2, 3], [0, 0], baselines)
    with pytest.raises(DataError, match=r"0 pairs"):
        certify([], [], [], baselines)
    with pytest.raises(DataError, match=r"'p1': score nan is not finite"):
        certify([_pair(0), _pair(1)], [1, math.nan], [0, 0], baselines)
