from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from boresight.errors import DataError
from boresight.evaluation import length_control
from boresight.evaluation.length_control import LengthVerdicts, length_controlled
from boresight.stats.calibration import sigmoid


def _study(
    lengths: list[float], strengths: list[float], *, preference: float, n: int = 400, seed: int = 0
) -> list[LengthVerdicts]:
    """Models whose answers are longer than the baseline's by about `lengths` characters, under one judge."""
    random = np.random.default_rng(seed)
    difficulty = random.standard_normal(n)
    models = []
    for length, strength in zip(lengths, strengths, strict=True):
        differences = np.round(length + 100 * random.standard_normal(n))
        x = np.tanh(differences / differences.std())
        share = sigmoid(strength + preference * x + difficulty)
        models.append(LengthVerdicts([f"i{i}" for i in range(n)], (random.random(n) < share) * 1.0, differences))
    return models


def test_models_of_equal_strength_come_together_where_the_judge_likes_length() -> None:
    models = _study([-150, 0, 150], [0.0, 0.0, 0.0], preference=1.5)
    raw = [float(model.values.mean()) for model in models]
    controlled = [one.win_rate for one in length_controlled(models)]
    assert max(raw) - min(raw) > 0.35
    # Shrinkage leaves a part of the effect in: what is taken out is the most of it, never too much.
    assert 0 <= max(controlled) - min(controlled) < 0.4 * (max(raw) - min(raw))
    assert controlled == pytest.approx([0.5] * 3, abs=0.1)


def test_a_judge_without_length_preference_leaves_rates_about_as_they_are() -> None:
    models = _study([-150, 0, 150], [-1.0, 0.0, 1.0], preference=0.0)
    raw = [float(model.values.mean()) for model in models]
    controlled = length_controlled(models)
    assert [one.win_rate for one in controlled] == pytest.approx(raw, abs=0.06)
    assert [one.length_coefficient for one in controlled] == pytest.approx([0.0] * 3, abs=0.4)


def test_one_model_alone_is_shrunk_towards_its_raw_rate() -> None:
    (alone,) = length_controlled(_study([0], [0.5], preference=1.5))
    assert 0 < alone.length_coefficient <= 1.7
    (indifferent,) = length_controlled(_study([0], [0.5], preference=0.0))
    assert indifferent.length_coefficient == pytest.approx(0.0, abs=0.05)


def test_equal_lengths_leave_nothing_to_control() -> None:
    values = np.array([1.0, 0.0, 1.0, 1.0] * 25)
    same = LengthVerdicts([f"i{i}" for i in range(100)], values, np.zeros(100))
    assert length_controlled([same])[0].win_rate == pytest.approx(0.75, abs=1e-3)
    for one in length_controlled([same, same]):
        assert (one.win_rate, one.length_coefficient) == pytest.approx((0.75, 0.0), abs=1e-3)


def test_newtons_fit_is_the_optimum_that_a_general_optimiser_finds() -> None:
    models = _study([-150, 0, 150], [-1.0, 0.0, 1.0], preference=1.0, n=40)
    cells = length_control._cells(models)
    tau, penalty, weight, count = 0.3, 0.5, 2.0, 3

    def loss(p: Any) -> float:
        strength, length, centre, difficulty = p[:count], p[count : 2 * count], p[2 * count], p[2 * count + 1 :]
        logits = strength[cells.model] + length[cells.model] * cells.x + difficulty[cells.instruction]
        fit = np.sum(np.logaddexp(0, logits) - cells.value * logits)
        shrink = (
            0.01 * strength @ strength + np.sum((length - centre) ** 2) / tau**2 + penalty * difficulty @ difficulty
        )
        return float(fit + shrink / 2 + weight * centre**2 / 2)

    best = minimize(loss, np.zeros(2 * count + 1 + 40), method="BFGS", options={"gtol": 1e-4}).x
    fit = length_control._fit(cells, tau, penalty, weight)
    assert fit.strength == pytest.approx(best[:count], abs=1e-3)
    assert fit.length == pytest.approx(best[count : 2 * count], abs=1e-3)
    assert fit.difficulty == pytest.approx(best[2 * count + 1 :], abs=1e-3)


def test_too_few_verdicts_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than 2 verdicts"):
        length_controlled([LengthVerdicts(["i"], np.array([1.0]), np.array([3.0]))])
