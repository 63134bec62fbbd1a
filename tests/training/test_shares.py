"""Rows that several processes divide: all get what one would have got, however many of them there are."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import pytest
import torch
from transformers import PreTrainedModel

from boresight.models.generate import Generation, generate
from boresight.training.processes import ALONE, Processes
from boresight.training.rollout import sample
from boresight.training.shares import Shares, ToldSource

from . import tiny_world as tiny

T = TypeVar("T")
DEADLINE = 60.0  # seconds


class Threads(Processes):
    """Processes that are threads: they meet, and each sees what all have brought."""

    def __init__(self, rank: int, brought: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.count = rank, len(brought)
        self._brought, self._barrier = brought, barrier

    def together(self, work: Callable[[], T]) -> list[T]:
        self._brought[self.rank] = work()
        self._barrier.wait(DEADLINE)
        found = list(self._brought)
        self._barrier.wait(DEADLINE)
        return found


def by(count: int, work: Callable[[Processes], T]) -> list[T]:
    """What each of so many makes of a work that they do together."""
    brought: list[Any] = [None] * count
    results: dict[int, T] = {}
    barrier = threading.Barrier(count)

    def run(rank: int) -> None:
        results[rank] = work(Threads(rank, brought, barrier))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    return [results[rank] for rank in range(count)]


@torch.no_grad()
def experience(model: PreTrainedModel, processes: Processes) -> list[torch.Tensor]:
    """Four responses, and what models say of them."""
    policy, value = tiny.policy_of(model), tiny.value_of(model)
    torch.nn.init.normal_(value.model.head.weight, generator=torch.Generator().manual_seed(0))
    shares = Shares(processes)
    policy.sampler = partial(shares.generations, partial(generate, policy.model))
    generator = torch.Generator().manual_seed(1)
    rollout = sample(
        policy, tiny.PROMPTS[:2], responses_per_prompt=2, temperature=1.0, max_new_tokens=6, generator=generator
    )
    asked = rollout.input_ids, rollout.response_mask
    logps = shares.logps(policy.logps, *asked, with_entropy=True)
    assert logps.entropy is not None
    lengths = shares.scores(lambda part: rollout.lengths[part].float(), 4)
    left = torch.rand(1, generator=generator)  # the generator has been left where one process leaves it
    return [
        rollout.input_ids,
        logps.logp,
        logps.mask,
        logps.entropy,
        shares.values(value.predict, *asked),
        lengths,
        left,
    ]


@pytest.mark.parametrize("count", [2, 3, 5])  # one of five has nothing to do
def test_responses_and_what_models_say_of_them_are_those_of_one_process(count: int) -> None:
    model = tiny.fresh_model()  # which draws from the one generator of all threads
    alone = experience(model, ALONE)
    assert alone[4].any()
    for found in by(count, partial(experience, model)):
        for one, other in zip(alone, found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_first_alone_is_asked_where_only_it_can_ask() -> None:
    rollout = tiny.rollout_of("aab", "b", "c")

    def scores(processes: Processes) -> torch.Tensor:
        source = ToldSource(tiny.LetterShare() if processes.first else None, processes)
        asked = Shares(processes, first_alone=True).scores(lambda part: torch.ones(3)[part], 3)
        return source.score_rollout(rollout) + asked

    def begun(processes: Processes) -> list[Generation]:
        asked: list[Any] = []

        def begin(prompts: Any, **options: Any) -> Callable[[], list[Generation]]:
            asked.append(prompts)
            return lambda: [Generation([7], [0.0], True, version=options["version"])]

        written = Shares(processes).begun(begin, [[1]], version=3)()
        assert len(asked) == processes.first
        return written

    assert by(2, begun) == [[Generation([7], [0.0], True, version=3)]] * 2
    for found in by(2, scores):
        torch.testing.assert_close(found, torch.tensor([2 / 3, 0.0, 0.0]) + 1)
