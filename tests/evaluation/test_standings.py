import math

import numpy as np
import pytest

from boresight.evaluation.standings import canaries, clustered_error


def test_standard_error_of_single_values_and_of_copies_within_a_prompt() -> None:
    values = np.array([1.0, 0.0, 0.5, 1.0, 0.25])
    alone = clustered_error(values, list("abcde"))
    assert alone == pytest.approx(values.std(ddof=1) / math.sqrt(5))
    assert clustered_error(np.repeat(values, 2), list("aabbccddee")) == pytest.approx(alone)


@pytest.mark.parametrize(("low", "says"), [(0.7, "the judge is fooled"), (0.01, "the judge rejects it, as it should")])
def test_a_constant_answer_is_told_with_what_the_judge_made_of_it(low: float, says: str) -> None:
    (found,) = canaries(["same"] * 100, low, low)
    assert found["id"] == "constant_answer" and says in found["message"]


def test_empty_answers_are_told_and_usual_ones_are_not() -> None:
    texts = [f"answer {i}" for i in range(90)]
    assert canaries(texts, 0.5, 0.4) == []
    (found,) = canaries([*texts, *[" "] * 10], 0.5, 0.4)
    assert found["id"] == "empty_answers" and "10 of 100" in found["message"]
    assert canaries(["yes"] * 5, 1.0, 0.5) == []  # five equal answers prove nothing
