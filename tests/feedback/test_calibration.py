"""Maps from a judge's probability to people's: what they learn, that the fit leaks nothing, and the file."""

import json
from pathlib import Path

import numpy as np
import pytest

from boresight.errors import DataError, JudgeError
from boresight.feedback.calibration import calibrate, load_calibration, sample_of, save_calibration
from boresight.feedback.calibration_fit import Sample, calibration_figures, cross_fit, fold_of, reliability
from boresight.feedback.calibration_maps import fit_map, map_from_json
from boresight.feedback.human_votes import HumanVotes

from .planted_couples import JUDGE, Planted, labelled, people_on, planted_couples

DATA = {"judged_sha256": "j", "human_sha256": "h"}


def over_confident(count: int, seed: int = 0, temperature: float = 2.5) -> Sample:
    """Soft verdicts whose logits are `temperature` times what people's choices warrant."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.2, count)
    people = (random.random(count) < 1 / (1 + np.exp(-logits))).astype(float)
    p = 1 / (1 + np.exp(-temperature * logits))
    return Sample(p, people, np.zeros(count), [f"p{i // 2}" for i in range(count)])


@pytest.mark.parametrize("name", ["platt", "platt_length", "isotonic"])
def test_which_response_is_called_a_changes_nothing(name: str) -> None:
    sample = over_confident(200)
    length = np.random.default_rng(1).normal(0, 50, 200)
    fitted = fit_map(name, sample.p, length, sample.people)
    turned = fit_map(name, 1 - sample.p, -length, 1 - sample.people)
    p, gap = np.linspace(0.02, 0.98, 25), np.linspace(-80, 80, 25)
    assert fitted.apply(1 - p, -gap) == pytest.approx(1 - fitted.apply(p, gap), abs=1e-6)
    assert turned.apply(p, gap) == pytest.approx(fitted.apply(p, gap), abs=1e-6)
    again = map_from_json(json.loads(json.dumps(fitted.as_json())), "here")
    assert again.apply(p, gap).tolist() == fitted.apply(p, gap).tolist()


def test_over_confidence_is_taken_back_by_its_factor() -> None:
    sample = over_confident(4000)
    fit = cross_fit(sample)
    assert fit.chosen.name.startswith("platt") and fit.chosen.as_json()["slope"] == pytest.approx(1 / 2.5, rel=0.1)
    before, after = calibration_figures(sample.p, sample), calibration_figures(fit.predicted, sample)
    assert after["nll"] < before["nll"] - 0.1 and after["ece"] < 0.03 < 0.1 < before["ece"]
    assert sum(row["n"] for row in reliability(fit.predicted, sample)) == 4000


def test_hard_verdicts_become_as_sure_as_they_are_right() -> None:
    """Each order errs in a fifth, of itself: both agree in 0.68, and are right in 0.64/0.68 of these."""
    couples = planted_couples(4000, Planted(noise=0.2))
    calibration, fit, sample = calibrate(labelled(couples), JUDGE, DATA)
    assert calibration.p(1.0, "same", "size") == pytest.approx(0.64 / 0.68, abs=0.02)
    assert calibration.p(0.5, "same", "size") == pytest.approx(0.5, abs=1e-6)
    assert calibration_figures(fit.predicted, sample)["ece"] < 0.03
    assert calibration.figures["map"] == calibration.map.name and calibration.figures["n"] == 4000


def test_length_term_takes_out_what_the_judge_thinks_of_length() -> None:
    couples = planted_couples(3000, Planted(length=0.5, noise=0.1))
    calibration, fit, sample = calibrate(labelled(couples), JUDGE, DATA)
    losses = {name: calibration_figures(p, sample)["nll"] for name, p in fit.out_of_fold.items()}
    assert calibration.map.name == "platt_length" and losses["platt_length"] < losses["platt"] - 0.02
    long, short = "x" * 40, "x" * 20
    assert calibration.p(1.0, long, short) < calibration.p(1.0, short, short) < calibration.p(1.0, short, long)


def test_labels_that_know_nothing_are_not_believed_out_of_fold() -> None:
    """A map that saw what it predicts beats a coin on noise; the cross-fit must not."""
    held_out: dict[str, list[float]] = {}
    seen: list[float] = []
    n = 60
    for seed in range(20):
        random = np.random.default_rng(seed)
        outcome = (random.random(n) < 0.5).astype(float)
        sample = Sample(random.random(n), outcome, random.normal(0, 9, n), [f"p{i}" for i in range(n)])
        for name, predicted in cross_fit(sample).out_of_fold.items():
            held_out.setdefault(name, []).append(calibration_figures(predicted, sample)["nll"])
        own = fit_map("isotonic", sample.p, sample.length, outcome).apply(sample.p, sample.length)
        seen.append(calibration_figures(own, sample)["nll"])
    assert np.mean(seen) < np.log(2) - 0.01
    assert all(np.mean(losses) > np.log(2) for losses in held_out.values()), held_out


def test_what_people_said_of_a_fold_has_no_part_in_its_own_prediction() -> None:
    sample = over_confident(120)
    folds = fold_of(sample.prompts, seed=0)
    assert all(len(set(folds[np.array(sample.prompts) == prompt])) == 1 for prompt in sample.prompts)
    own = folds == folds[0]
    turned = sample._replace(people=np.where(own, 1 - sample.people, sample.people))
    before, after = cross_fit(sample).out_of_fold, cross_fit(turned).out_of_fold
    for name in before:
        assert before[name][own].tolist() == after[name][own].tolist()
        assert before[name][~own].tolist() != after[name][~own].tolist()


def test_too_few_couples_or_one_prompt_are_refused() -> None:
    sample = over_confident(30)
    with pytest.raises(DataError, match="at least 20"):
        cross_fit(sample.rows(np.arange(30) < 19))
    with pytest.raises(DataError, match="of several prompts"):
        cross_fit(sample._replace(prompts=["p"] * 30))


def test_failed_comparisons_are_no_part_of_the_sample() -> None:
    couples = planted_couples(100, Planted(failures=0.3))
    failed = sum(bool(couple.failure) for couple, _ in couples)
    assert failed and len(sample_of(labelled(couples)).p) == 100 - failed


def test_file_comes_back_and_refuses_another_judge_rubric_or_a_changed_map(tmp_path: Path) -> None:
    couples = planted_couples(100, Planted(noise=0.2))
    made, _, _ = calibrate(labelled(couples), JUDGE, DATA, audit=12)
    path = tmp_path / "calibration.json"
    save_calibration(made, path)
    read = load_calibration(path)
    assert read.as_json() == made.as_json() and len(read.audit) == 12
    assert read.p(1.0, "ab", "c") == made.p(1.0, "ab", "c")
    read.require(JUDGE, "labels.jsonl")
    for other in ({**JUDGE, "judge": "gpt"}, {**JUDGE, "rubric_hash": "xyz"}, {**JUDGE, "samples": 3}):
        with pytest.raises(JudgeError, match=r"labels\.jsonl: calibrated for .*judge calibrate"):
            read.require(other, "labels.jsonl")
    content = json.loads(path.read_text())
    content["judge"]["judge"] = "gpt"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="was changed"):
        load_calibration(path)
    path.write_text("{}")
    with pytest.raises(DataError, match='"form" is not'):
        load_calibration(path)


def test_the_same_data_give_the_same_file(tmp_path: Path) -> None:
    couples = planted_couples(60, Planted(noise=0.2))
    people = HumanVotes(people_on(couples))
    for name in ("one.json", "two.json"):
        save_calibration(calibrate(labelled(couples, people), JUDGE, DATA, audit=5)[0], tmp_path / name)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
