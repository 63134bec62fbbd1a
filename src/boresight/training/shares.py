"""Questions to a model whose rows several processes divide among themselves, and whose answers all of them get.

What a policy stage learns from, the whole batch, is small beside its models. So every process has all of it and makes
the same statistics, advantages and minibatches of it that one process would; what is divided is the work of the models.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from boresight.models.generate import Generation, draws
from boresight.models.response_logps import ResponseLogps, left_edge_mask
from boresight.models.roles import FrozenPolicy, RewardModel
from boresight.records import Messages
from boresight.training.processes import Processes
from boresight.training.reward_sources import AnySource, scores_of
from boresight.training.rollout import Rollout

T = TypeVar("T")


class Shares:
    """A question is put by all processes at the same time, with the same rows. Each answers for its part of them, with
    the weights of `models` gathered; or the first for all rows, where only it can ask."""

    def __init__(self, processes: Processes, *models: nn.Module, first_alone: bool = False) -> None:
        self._processes = processes
        self._models = models
        self._first_alone = first_alone

    def logps(
        self, ask: Callable[..., ResponseLogps], input_ids: Tensor, response_mask: Tensor, **options: bool | float
    ) -> ResponseLogps:
        """As `ask(input_ids, response_mask, **options)` of (rows, tokens), without gradient and without states."""
        if self._processes.count == 1:
            return ask(input_ids, response_mask, **options)

        def grids(part: slice) -> tuple[Tensor, Tensor | None]:
            found = ask(*_trimmed(input_ids[part], response_mask[part]), **options)
            return found.logp.cpu(), None if found.entropy is None else found.entropy.cpu()

        found = self._each(len(input_ids), grids)
        mask = left_edge_mask(response_mask)
        entropies = [entropy for _, entropy in found if entropy is not None]
        entropy = _joined(entropies, mask) if entropies else None
        return ResponseLogps(_joined([logp for logp, _ in found], mask), mask, entropy)

    def values(self, ask: Callable[[Tensor, Tensor], Tensor], input_ids: Tensor, response_mask: Tensor) -> Tensor:
        """As `ask(input_ids, response_mask)`, (rows, response tokens), without gradient."""
        if self._processes.count == 1:
            return ask(input_ids, response_mask)
        found = self._each(len(input_ids), lambda part: ask(*_trimmed(input_ids[part], response_mask[part])).cpu())
        return _joined(found, left_edge_mask(response_mask))

    def generations(
        self,
        ask: Callable[..., list[Generation]],
        prompts: Sequence[Sequence[int]],
        *,
        generator: torch.Generator,
        temperatures: Sequence[float],
        **options: Any,
    ) -> list[Generation]:
        """As `ask(prompts, ...)`; see `boresight.models.generate`. Random numbers belong to rows, so that each response
        draws what it would draw in one process."""
        if self._processes.count == 1:
            return ask(prompts, generator=generator, temperatures=temperatures, **options)
        uniforms = draws([options["max_new_tokens"]] * len(prompts), generator)

        def written(part: slice) -> list[Generation]:
            return ask(prompts[part], generator=uniforms[part], temperatures=temperatures[part], **options)

        return [generation for found in self._each(len(prompts), written) for generation in found]

    def begun(
        self, begin: Callable[..., Callable[[], list[Generation]]], prompts: Sequence[Sequence[int]], **options: Any
    ) -> Callable[[], list[Generation]]:
        """As `begin(prompts, ...)`, where only the first can begin. All have to wait for it at the same time."""
        waiting: list[Callable[[], list[Generation]]] = []
        with self._processes.gathered(*self._models):
            self._processes.told(lambda: waiting.append(begin(prompts, **options)))
        return lambda: self._processes.told(lambda: waiting[0]())

    def scores(self, ask: Callable[[slice], Tensor], count: int) -> Tensor:
        """(count,) scores on the CPU, of which `ask` gives those of a part of the rows."""
        return torch.cat(self._each(count, lambda part: ask(part).cpu()))

    def fingerprint(self, ask: Callable[[], str]) -> str:
        """Of weights that all processes have parts of; or those that only the first can ask for."""
        return self._processes.told(ask) if self._first_alone else ask()

    def _each(self, count: int, work: Callable[[slice], T]) -> list[T]:
        """What the processes make of their parts, where they have some, in the order of the rows."""
        part = self._processes.part(count)
        if self._first_alone:
            part = slice(0, count if self._processes.first else 0)
        with self._processes.gathered(*self._models):
            found = self._processes.together(lambda: [work(part)] if part.start < part.stop else [])
        return [made for own in found for made in own]


class SharedPolicy(FrozenPolicy):
    """A frozen policy that all processes ask together."""

    def __init__(self, policy: FrozenPolicy, shares: Shares) -> None:
        self._policy = policy
        self._shares = shares
        self.tokenizer = policy.tokenizer
        self.chat = policy.chat

    @property
    def device(self) -> torch.device:
        return self._policy.device

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        return self._shares.logps(self._policy.logps, input_ids, response_mask, **options)

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        return self._shares.generations(self._policy.generate, prompts, **options)

    def fingerprint(self) -> str:
        return self._shares.fingerprint(self._policy.fingerprint)


class SharedRewardModel(RewardModel):
    """A reward model that all processes ask together."""

    def __init__(self, reward: RewardModel, shares: Shares) -> None:
        self._reward = reward
        self._shares = shares
        self.tokenizer = reward.tokenizer
        self.chat = reward.chat

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        def of_part(part: slice) -> Tensor:
            return self._reward.score(prompts[part], responses[part], batch_size)

        return self._shares.scores(of_part, len(responses))

    def fingerprint(self) -> str:
        return self._shares.fingerprint(self._reward.fingerprint)


class ToldSource:
    """A reward source that the first process alone asks, since it keeps accounts or files; the others have none."""

    def __init__(self, source: AnySource | None, processes: Processes) -> None:
        self._source = source
        self._processes = processes

    def score_rollout(self, rollout: Rollout) -> Tensor:
        def asked() -> Tensor:
            assert self._source is not None
            return scores_of(self._source, rollout).cpu()

        return self._processes.told(asked)


def _trimmed(input_ids: Tensor, response_mask: Tensor) -> tuple[Tensor, Tensor]:
    """Rows cut to the longest of them."""
    used = int(response_mask.any(0).nonzero().max()) + 1
    return input_ids[:, :used], response_mask[:, :used]


def _joined(grids: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Left-aligned grids one below the other, as wide as `mask`, where that is."""
    width = mask.shape[1]
    return torch.cat([pad(grid, (0, width - grid.shape[1])) for grid in grids]).to(mask.device)
