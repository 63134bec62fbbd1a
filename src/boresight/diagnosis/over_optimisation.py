"""The over-optimisation curve: a score against the distance from the reference, and where it turns.

Gao et al. 2022 (arXiv:2210.10760), eq. 2, for reinforcement learning, with d = sqrt(KL) in nats a response:

    R(d) = R(0) + d (alpha - beta log d)          peak at d = exp(alpha / beta - 1), where beta > 0
"""

from typing import NamedTuple

import numpy as np

from boresight.diagnosis.signals import Numbers, Series

FEWEST = 12
"""Steps with both signals below which nothing is fitted."""

DRAWS = 200
BLOCK = 5
"""Neighbouring steps are drawn together (moving blocks, Kunsch 1989), since their errors are alike."""

LEVEL = (0.05, 0.95)
NEAREST = 0.05
"""KL in nats below which a step is too near the start to tell alpha from beta: log d runs off there."""


class Fit(NamedTuple):
    """`peak_kl` in nats a response is None where the curve has no peak (beta at most 0); its interval holds 90 % of the
    resampled curves that have one, and `peaked` is their share. `explained` is R squared."""

    alpha: float
    beta: float
    start: float
    explained: float
    peak_kl: float | None
    peak_low: float | None
    peak_high: float | None
    peaked: float
    last_kl: float

    @property
    def is_past(self) -> bool:
        """The run has gone beyond the peak, and nearly all resampled curves say so."""
        return self.peak_high is not None and self.peaked >= 0.9 and self.last_kl > self.peak_high


def fit_curve(score: Series | None, kl: Series | None) -> Fit | None:
    """The curve of a score over KL in nats a response, by least squares; None where there are too few steps, or where
    the policy hardly leaves the reference."""
    if score is None or kl is None:
        return None
    _, at, of = np.intersect1d(kl.steps, score.steps, return_indices=True)
    far = kl.values[at] > NEAREST
    distance, reward = np.sqrt(kl.values[at][far]), score.values[of][far]
    if len(distance) < FEWEST or float(np.ptp(distance)) < 0.3 * float(distance.max()):
        return None
    found = _solve(distance, reward)
    if found is None:
        return None
    start, alpha, beta = found
    left = reward - _curve(distance, start, alpha, beta)
    total = float(np.square(reward - reward.mean()).sum())
    peaks = _resampled_peaks(distance, reward - left, left)
    low, high = np.quantile(peaks, LEVEL) if len(peaks) else (None, None)
    return Fit(
        alpha=alpha, beta=beta, start=start, explained=1.0 - float(np.square(left).sum()) / max(total, 1e-12),
        peak_kl=_peak(alpha, beta), peak_low=None if low is None else float(low),
        peak_high=None if high is None else float(high), peaked=len(peaks) / DRAWS,
        last_kl=float(np.median(kl.values[at][-max(len(at) // 5, 1) :])),
    )  # fmt: skip


def _curve(distance: Numbers, start: float, alpha: float, beta: float) -> Numbers:
    return np.asarray(start + distance * (alpha - beta * np.log(distance)))


def _solve(distance: Numbers, reward: Numbers) -> tuple[float, float, float] | None:
    matrix = np.stack([np.ones_like(distance), distance, -distance * np.log(distance)], axis=1)
    found, _, rank, _ = np.linalg.lstsq(matrix, reward, rcond=None)
    return (float(found[0]), float(found[1]), float(found[2])) if rank == 3 else None


def _peak(alpha: float, beta: float) -> float | None:
    """KL of the peak; beyond e^20 nats nobody goes, so there it is none."""
    exponent = 2 * (alpha / beta - 1) if beta > 0 else np.inf
    return float(np.exp(exponent)) if exponent < 20 else None


def _resampled_peaks(distance: Numbers, fitted: Numbers, left: Numbers) -> Numbers:
    """Peaks of curves fitted again to the fit with its errors redrawn in blocks; those that have none are left out."""
    draw = np.random.default_rng(0)
    blocks = -(-len(left) // BLOCK)
    peaks = []
    for _ in range(DRAWS):
        starts = draw.integers(0, len(left) - BLOCK + 1, blocks)
        errors = np.concatenate([left[start : start + BLOCK] for start in starts])[: len(left)]
        found = _solve(distance, fitted + errors)
        peak = None if found is None else _peak(found[1], found[2])
        if peak is not None:
            peaks.append(peak)
    return np.array(peaks)


def told(fit: Fit, what: str) -> str:
    """The fit in a sentence."""
    if fit.peak_kl is None or fit.peak_low is None or fit.peak_high is None or fit.peaked < 0.5:
        return f"{what} over the square root of KL shows no peak yet (R² {fit.explained:.2f})."
    if fit.peak_low > fit.last_kl:
        return (
            f"{what} over the square root of KL still rises: its peak would lie beyond a KL of {fit.peak_low:.3g} nats "
            f"a response, and the run ends at {fit.last_kl:.3g} (R² {fit.explained:.2f})."
        )
    doubt = "" if fit.peaked >= 0.9 else f"; {1 - fit.peaked:.0%} of the resampled curves have none"
    return (
        f"{what} over the square root of KL has its peak at a KL of {fit.peak_kl:.3g} nats a response "
        f"({fit.peak_low:.3g} to {fit.peak_high:.3g}{doubt}; R² {fit.explained:.2f}); the run ends at "
        f"{fit.last_kl:.3g}."
    )
