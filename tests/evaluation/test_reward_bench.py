import numpy as np
import pytest

from boresight.evaluation.reward_bench import SECTIONS, section_averages


def test_subsets_are_weighted_by_their_published_sizes() -> None:
    kinds = ["alpacaeval-easy", "alpacaeval-easy", "mt-bench-easy", "math-prm", "hep-cpp"]
    found = section_averages(kinds, np.array([1.0, -1.0, 2.0, 3.0, 0.0]))
    assert found is not None
    # (100 * 1/2 + 28 * 1) / 128, and (984 * 1 + 164 * 0) / 1148: an equal score is not right here.
    assert found["sections"]["Chat"] == {"n": 3, "accuracy": pytest.approx(78 / 128)}
    assert found["sections"]["Reasoning"] == {"n": 2, "accuracy": pytest.approx(984 / 1148)}
    assert set(found["sections"]) == {"Chat", "Reasoning"} and found["score"] is None


def test_the_score_is_the_mean_of_the_four_sections() -> None:
    kinds = [next(iter(subsets)) for subsets in SECTIONS.values()]
    found = section_averages(kinds, np.array([1.0, -1.0, 1.0, 1.0]))
    assert found is not None and found["score"] == 0.75


def test_other_kinds_have_no_sections() -> None:
    assert section_averages(["math-prm", "greeting"], np.array([1.0, 1.0])) is None
    assert section_averages([], np.array([])) is None


def test_code_counts_as_much_as_mathematics() -> None:
    reasoning = SECTIONS["Reasoning"]
    assert sum(weight for subset, weight in reasoning.items() if subset != "math-prm") == reasoning["math-prm"]
