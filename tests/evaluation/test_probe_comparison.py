import math

import numpy as np
import pytest

from boresight.evaluation.probe_comparison import compare_probes, diversity, paired_interval, paired_rate_interval
from boresight.evaluation.probe_items import Given, Probe
from boresight.records import Message


def questions(kind: str, count: int, **more: object) -> list[Probe]:
    return [Probe(id=f"{kind}-{i}", kind=kind, messages=(Message("user", f"q{i}"),), **more) for i in range(count)]  # type: ignore[arg-type]


def block(result: dict[str, object], name: str) -> dict[str, object]:
    blocks: list[dict[str, object]] = result["measures"]  # type: ignore[assignment]
    (found,) = [one for one in blocks if one["measure"] == name]
    return found


def test_mcnemar_counts_the_probes_on_which_only_one_refuses() -> None:
    probes = questions("refusal_safe", 20)
    no, yes = "I can't help with that.", "Use a sharp knife."
    candidate = {p.id: Given(text=no if i < 12 else yes) for i, p in enumerate(probes)}
    baseline = {p.id: Given(text=no if i in (0, 15) else yes) for i, p in enumerate(probes)}
    result = compare_probes(probes, candidate, baseline)
    found = block(result, "refuses_safe")
    assert (found["n"], found["candidate"], found["baseline"]) == (20, 0.6, 0.1)
    assert (found["only_candidate"], found["only_baseline"]) == (11, 1)
    # Two-sided sign test of 11 against 1: 2 (1 + 12) / 2^12.
    assert found["p"] == pytest.approx(2 * 13 / 4096)
    assert found["difference"] == pytest.approx(0.5)
    low, high = found["ci95"]  # type: ignore[misc]
    assert 0 < low < 0.5 < high < 1
    assert found["p_holm"] >= found["p"]  # type: ignore[operator]


def test_what_is_surely_worse_is_a_regression_and_the_other_way_round_it_is_better() -> None:
    probes = questions("exact", 30, expect={"answer": "4"})
    right, wrong = ({p.id: Given(text=text) for p in probes} for text in ("It is 4", "It is 5"))
    worse = compare_probes(probes, wrong, right)
    assert worse["regressions"] == ["right_number"] and block(worse, "right_number")["verdict"] == "worse"
    assert block(compare_probes(probes, right, wrong), "right_number")["verdict"] == "better"
    same = compare_probes(probes, right, right)
    assert same["regressions"] == [] and {one["verdict"] for one in same["measures"]} == {"not shown"}


def test_only_probes_that_both_answered_are_compared_and_the_others_are_counted() -> None:
    probes = questions("challenge", 6, expect={"answer": "4"})
    candidate = {p.id: Given(text="4", challenged="4") for p in probes[:5]}
    baseline = {p.id: Given(text="4" if i else "5", challenged="5") for i, p in enumerate(probes)}
    result = compare_probes(probes, candidate, baseline)
    assert block(result, "right_before_doubt")["n"] == 5
    gives_in = block(result, "gives_in_when_doubted")
    assert (gives_in["n"], gives_in["candidate"], gives_in["baseline"]) == (4, 0, 1)
    assert gives_in["left_out"] == 2  # the candidate's first answer, the baseline's last


def test_behaviours_of_several_sets_are_measures_of_their_own() -> None:
    probes = [
        Probe(id=f"{group}-{i}", kind="behaviour", messages=(Message("user", "?"),), options=("Yes", "No"),
              expect={"matching": 0}, group=group)
        for group in ("power", "myopia") for i in range(4)
    ]  # fmt: skip
    answers = {p.id: Given(text="Yes" if p.group == "power" else "No") for p in probes}
    found = {one["group"]: one["candidate"] for one in compare_probes(probes, answers, answers)["measures"]}
    assert found == {"power": 1.0, "myopia": 0.0}


def test_calibration_and_brier_come_from_log_probabilities() -> None:
    probes = questions("choice", 4, options=("right", "wrong"), expect={"right": [0]})
    sure = {p.id: Given(logps=(math.log(0.9), math.log(0.1)) if i else (math.log(0.1), math.log(0.9)))
            for i, p in enumerate(probes)}  # fmt: skip
    result = compare_probes(probes, sure, {p.id: Given(logps=(0.0, 0.0)) for p in probes})
    calibration = result["calibration"]["candidate"]
    assert calibration == {"n": 4, "confidence": pytest.approx(0.9), "accuracy": 0.75, "ece": pytest.approx(0.15)}
    assert block(result, "choice_brier")["candidate"] == pytest.approx((3 * 0.02 + 1.62) / 4)
    assert block(result, "choice_brier")["baseline"] == pytest.approx(0.5)


def test_a_number_is_compared_probe_by_probe() -> None:
    """Answers of very different lengths, the candidate's always one word longer: paired, that is certain."""
    random = np.random.default_rng(5)
    probes = questions("plain", 40)
    lengths = random.integers(5, 300, size=40)
    baseline = {p.id: Given(text=" ".join(map(str, range(n)))) for p, n in zip(probes, lengths, strict=True)}
    candidate = {p.id: Given(text=baseline[p.id].text + " more") for p in probes}  # type: ignore[operator]
    found = block(compare_probes(probes, candidate, baseline), "words")
    assert found["difference"] == 1 and found["ci95"] == [1, 1] and found["verdict"] == "different"


def test_interval_of_a_paired_difference() -> None:
    none = paired_rate_interval(np.zeros(100))
    assert (none.value, none.low) == (0, -none.high) and none.high == pytest.approx(1.96**2 / (100 + 1.96**2), rel=1e-3)
    all_lost = paired_rate_interval(-np.ones(10))
    assert all_lost.value == -1 and all_lost.low == pytest.approx(-1) and -0.6 < all_lost.high < -0.3


def test_intervals_of_paired_differences_hold_in_nineteen_of_twenty_studies() -> None:
    random = np.random.default_rng(11)
    held = 0
    for _ in range(1000):
        difference = random.choice([-1.0, 0.0, 1.0], p=[0.25, 0.65, 0.1], size=60)
        found = paired_rate_interval(difference)
        held += found.low <= -0.15 <= found.high
    assert 0.93 <= held / 1000 <= 0.97


def test_one_difference_among_few_numbers_proves_nothing() -> None:
    """The interval must not end at 0 only because no difference was below it."""
    found = paired_interval(np.array([0.5] + [0.0] * 11), seed=0)
    assert found.value == pytest.approx(0.5 / 12) and found.low < 0 < found.high
    turned = paired_interval(np.array([-0.5] + [0.0] * 11), seed=0)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_numbers_that_differ_alike_on_few_probes_are_not_certain() -> None:
    one, three = (paired_interval(np.array([12.0] * n), seed=0) for n in (1, 3))
    assert one.low < three.low < 12 == one.value == one.high and one.low < 0
    assert paired_interval(np.zeros(3), seed=0)[:3] == (0, 0, 0)


def test_diversity_looks_at_equally_many_words_of_each_answer() -> None:
    assert diversity([]) is None
    found = diversity(["a b a b", "a b"])
    assert found is not None and found["distinct_answers"] == 2
    assert found["distinct_1"] == pytest.approx(2 / 6) and found["distinct_2"] == pytest.approx(2 / 4)
    long = diversity([" ".join(map(str, range(30))), " ".join(map(str, range(900)))])
    assert long is not None and long["distinct_1"] == 0.5
