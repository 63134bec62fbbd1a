"""The curve of Gao et al.: known coefficients come back, and a peak is told only where there is one."""

import numpy as np
import pytest

from boresight.diagnosis.over_optimisation import fit_curve, told
from boresight.diagnosis.signals import Series


def curve(alpha: float, beta: float, last_kl: float, noise: float = 0.0, steps: int = 60) -> tuple[Series, Series]:
    distance = np.linspace(0.0, last_kl**0.5, steps)
    inside = np.where(distance > 0, distance, 1.0)
    reward = 0.5 + distance * (alpha - beta * np.log(inside))
    reward += np.random.default_rng(0).normal(0, noise, steps)
    at = np.arange(steps, dtype=float)
    return Series("reward/canary_score", at, reward, "canary"), Series("policy/kl_to_reference", at, distance**2, "kl")


def test_coefficients_and_peak_of_an_exact_curve_come_back() -> None:
    fit = fit_curve(*curve(alpha=1.0, beta=0.6, last_kl=20.0))
    assert fit is not None
    assert (fit.alpha, fit.beta, fit.start) == pytest.approx((1.0, 0.6, 0.5), abs=1e-6)
    assert fit.peak_kl == pytest.approx(
        np.exp(2 * (1.0 / 0.6 - 1))
    )  # where the derivative alpha - beta - beta log d is 0
    assert fit.is_past and fit.explained == pytest.approx(1.0)


@pytest.mark.parametrize("seedless_noise", [0.05, 0.1])
def test_interval_holds_the_peak_of_a_noisy_curve(seedless_noise: float) -> None:
    fit = fit_curve(*curve(alpha=1.0, beta=0.6, last_kl=20.0, noise=seedless_noise))
    assert fit is not None and fit.peak_low is not None and fit.peak_high is not None
    assert fit.peak_low < np.exp(2 * (1.0 / 0.6 - 1)) < fit.peak_high and fit.peaked > 0.9
    assert "has its peak at a KL of" in told(fit, "The canary")


def test_reward_that_only_rises_has_no_peak() -> None:
    fit = fit_curve(*curve(alpha=1.0, beta=0.0, last_kl=4.0, noise=0.05))
    assert fit is not None and not fit.is_past
    assert fit.peak_kl is None or fit.peak_kl > 4.0


def test_peak_beyond_what_the_run_reached_is_told_as_a_bound() -> None:
    fit = fit_curve(*curve(alpha=1.0, beta=0.4, last_kl=4.0, noise=0.01))
    assert fit is not None and fit.peak_low is not None and fit.peak_low > 4.0
    assert "still rises" in told(fit, "The reward") and "beyond a KL of" in told(fit, "The reward")


@pytest.mark.parametrize(("last_kl", "steps"), [(0.02, 60), (4.0, 8)])
def test_too_few_steps_or_no_distance_are_not_fitted(last_kl: float, steps: int) -> None:
    assert fit_curve(*curve(1.0, 0.3, last_kl, steps=steps)) is None


def test_signals_of_different_steps_are_joined_by_step() -> None:
    score, kl = curve(1.0, 0.6, 20.0)
    every_third = Series(score.name, score.steps[::3], score.values[::3], "canary")
    fit = fit_curve(every_third, kl)
    assert fit is not None and fit.alpha == pytest.approx(1.0, abs=1e-6)
