"""One optimizer step: accumulate, check, clip, update. The only place where losses are reduced."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from boresight.config.sections import OptimizedStage
from boresight.errors import TrainingError
from boresight.models.sharding import whole
from boresight.training.gradient_noise import GradientNoise
from boresight.training.processes import ALONE, Processes
from boresight.training.sparse_embeddings import densify, spare_embeddings

ROUNDING = 1e-5
"""Rewards that differ by no more are equal: so much is the rounding of float32 over a few hundred tokens."""


def rate_factor(update: int, total: int, settings: OptimizedStage) -> float:
    """Learning rate of an update (counted from 0) as a fraction of the peak: linear warm-up, then the schedule."""
    warmup = round(settings.warmup_fraction * total)
    if update < warmup:
        return (update + 1) / warmup
    if settings.schedule == "constant":
        return 1.0
    progress = (update - warmup) / max(1, total - warmup)
    remaining = 1.0 - progress if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))
    return settings.final_rate_fraction + (1.0 - settings.final_rate_fraction) * remaining


class Updater:
    """AdamW over the parameters of some modules, with schedule, gradient clipping and a check of every number.

    Losses come in unreduced pieces: `accumulate` divides their sum by the count of the whole global batch, so that
    micro-batches of any cut give the gradient of one large batch.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        settings: OptimizedStage,
        *,
        total: int,
        learning_rate: float | None = None,
        noise: GradientNoise | None = None,
    ) -> None:
        self._settings = settings
        self._total = total
        self._updates = 0
        self._noise = noise
        self._peak = settings.learning_rate if learning_rate is None else learning_rate
        self._parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        if noise is None:  # which adds up gradients itself, and dense ones
            spare_embeddings(modules)
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(modules, settings.weight_decay),
            lr=self._peak,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=settings.adam_epsilon,
            fused=True,
        )

    @property
    def learning_rate(self) -> float:
        """Rate of the coming update."""
        return self._peak * rate_factor(self._updates, self._total, self._settings)

    def accumulate(self, losses: Mapping[str, Tensor], *, count: float, step: int, ids: Iterable[str]) -> None:
        """Add the gradient of the sum of all given unreduced losses, divided by `count`.

        Raises TrainingError before any gradient is made where a loss is not finite, naming step, loss and records.
        """
        total = torch.stack([values.sum() for values in losses.values()]).sum() / count
        if not bool(torch.isfinite(total)):
            bad = [name for name, values in losses.items() if not bool(torch.isfinite(values).all())]
            raise TrainingError(
                f"step {step}: {', '.join(bad) or 'the loss'} is not finite (records {_some(ids)}). The weights were "
                "not changed; the last checkpoint is sound. Lower learning_rate, or look at these records."
            )
        total.backward()  # type: ignore[no-untyped-call]
        if self._noise is not None:  # losses have one value an example then
            examples = next(iter(losses.values())).numel()
            self._noise.set_aside(self._parameters, examples=examples, count=count)

    def apply(self, *, step: int, ids: Iterable[str]) -> float:
        """Clip, update, clear; returns the gradient norm before clipping.

        Raises TrainingError before the update where the gradient is not finite.
        """
        if self._noise is not None:
            self._noise.give_back(self._parameters)
        densify(self._parameters)
        norm = whole(torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.max_grad_norm))
        if not bool(torch.isfinite(norm)):
            raise TrainingError(
                f"step {step}: the gradient is not finite (records {_some(ids)}). The weights were not changed; the "
                "last checkpoint is sound. Lower learning_rate, or use dtype float32."
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._updates += 1
        return float(norm)

    def skip(self) -> None:
        """Drop what was accumulated; for the schedule the update has been made."""
        self._optimizer.zero_grad(set_to_none=True)
        self._updates += 1

    def noise_metrics(self) -> dict[str, float]:
        """The gradient noise scale, where it is asked for and can be told already."""
        scale = None if self._noise is None else self._noise.scale
        return {} if scale is None else {"optim/gradient_noise_scale": scale}

    def state_dict(self) -> dict[str, Any]:
        noise = {} if self._noise is None else {"noise": self._noise.state_dict()}
        return {"optimizer": self._optimizer.state_dict(), "updates": self._updates} | noise

    def blank_state_dict(self) -> dict[str, Any]:
        """The state after some updates, zeros for numbers: what a saved one is read into."""
        blank = self.state_dict()
        for number, parameter in enumerate(p for group in self._optimizer.param_groups for p in group["params"]):
            moments = {name: torch.zeros_like(parameter).detach() for name in ("exp_avg", "exp_avg_sq")}
            blank["optimizer"]["state"][number] = {"step": torch.zeros((), device=parameter.device), **moments}
        return blank

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        self._updates = state["updates"]
        if self._noise is not None:
            self._noise.load_state_dict(state["noise"])


class MetricSums:
    """Sums and counts of a step's metrics, of all processes, divided once at the end: ragged pieces average rightly."""

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    def add(self, name: str, values: Tensor, count: float | None = None) -> None:
        """Add the sum of a tensor of any shape over `count` items (by default its number of elements)."""
        self._sums[name] = self._sums.get(name, 0.0) + float(values.detach().double().sum())
        self._counts[name] = self._counts.get(name, 0.0) + (values.numel() if count is None else count)

    def means(self) -> dict[str, float]:
        """The mean of each metric over all processes; one that counted nothing is left out."""
        names = self._processes.agreed(list(self._sums))  # a process without a piece of the batch has none
        sums = self._processes.sums([self._sums.get(name, 0.0) for name in names])
        counts = self._processes.sums([self._counts.get(name, 0.0) for name in names])
        return {name: total / count for name, total, count in zip(names, sums, counts, strict=True) if count > 0}


def share_right(difference: Tensor, p_chosen: Tensor) -> Tensor:
    """(pairs with a preference,) 1 where the preferred response has the higher reward, 0 where the other has, 0.5 where
    they are equal. `difference`: (pairs,) the chosen one's reward less the rejected one's. A label of 0.5 prefers none.
    """
    preferred = (p_chosen.to(difference.device) - 0.5).sign()
    apart = difference.where(difference.abs() > ROUNDING, 0.0).sign()
    return (0.5 * (1.0 + apart * preferred))[preferred != 0]


def _parameter_groups(modules: Sequence[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; norms, biases and embeddings do not. A tied weight counts as the embedding it is."""
    embeddings = {
        id(p) for module in modules for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    }
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    decays = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    others = [p for p in parameters if p.ndim < 2 or id(p) in embeddings]
    groups = [{"params": decays, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _some(ids: Iterable[str]) -> str:
    known = list(ids)
    return ", ".join(known[:5]) + (f" and {len(known) - 5} more" if len(known) > 5 else "")
