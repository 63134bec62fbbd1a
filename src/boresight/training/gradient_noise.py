"""Gradient noise scale: how large a batch is worth taking, from the gradients of a step's micro-batches.

McCandlish et al. 2018 (arXiv:1812.06162), section 2.2 and appendix A.1. The gradient of b examples is the true one G
plus noise of variance tr(S) / b, so the squared norms of small and of large batches tell the two apart:

    E |g_b|^2 = |G|^2 + tr(S) / b                         B_simple = tr(S) / |G|^2

Batches far below B_simple are mostly noise; at B_simple a run takes twice the fewest possible steps, and twice the
fewest possible examples; beyond it more examples buy few steps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

DECAY = 0.95  # of the running means: one step's estimates are far too noisy to divide


class GradientNoise:
    """Takes each micro-batch's gradient aside, so that its norm is known, and puts their sum back for the update.

    Costs the memory of one more gradient. Micro-batches of K unequal sizes b_k, together B, weigh b_k / B:

        A = sum_k b_k / B |g_k|^2,   E A = |G|^2 + K tr(S) / B
        tr(S) = B (A - |g|^2) / (K - 1),   |G|^2 = (K |g|^2 - A) / (K - 1)

    which for equal sizes are the paper's estimators. Examples of one micro-batch are of like length (see `BatchOrder`),
    so that what goes with length counts as noise between micro-batches a little more than it should.
    """

    def __init__(self) -> None:
        self._gradients: list[Tensor | None] = []
        self._squares = 0.0
        self._sizes: list[int] = []
        self._noise = 0.0  # running mean of tr(S), and of |G|^2 below; both from 0, which their ratio does not feel
        self._signal = 0.0

    @property
    def scale(self) -> float | None:
        """B_simple in examples; None as long as no gradient stands out from the noise."""
        return self._noise / self._signal if self._noise > 0.0 and self._signal > 0.0 else None

    def set_aside(self, parameters: Sequence[Parameter], *, examples: int, count: float) -> None:
        """Move a micro-batch's gradient, that of its summed losses divided by `count`, out of the parameters."""
        gradients = [parameter.grad for parameter in parameters]
        self._squares += count / examples * _squared_norm(gradients)
        self._sizes.append(examples)
        if self._gradients:
            gradients = [_sum(a, b) for a, b in zip(self._gradients, gradients, strict=True)]
        self._gradients = gradients
        for parameter in parameters:
            parameter.grad = None

    def give_back(self, parameters: Sequence[Parameter]) -> None:
        """Put the sum over the micro-batches into the parameters, and learn from it where there are at least two."""
        for parameter, gradient in zip(parameters, self._gradients, strict=True):
            parameter.grad = gradient
        pieces, examples, square = len(self._sizes), sum(self._sizes), _squared_norm(self._gradients)
        if pieces > 1:
            noise = examples * (self._squares - square) / (pieces - 1)
            signal = (pieces * square - self._squares) / (pieces - 1)
            self._noise = DECAY * self._noise + (1.0 - DECAY) * noise
            self._signal = DECAY * self._signal + (1.0 - DECAY) * signal
        self._gradients, self._squares, self._sizes = [], 0.0, []

    def state_dict(self) -> dict[str, Any]:
        return {"noise": self._noise, "signal": self._signal}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._noise, self._signal = state["noise"], state["signal"]


def _squared_norm(gradients: Sequence[Tensor | None]) -> float:
    norms = [torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients if gradient is not None]
    return float(torch.stack(norms).square().sum()) if norms else 0.0


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first.add_(second)
