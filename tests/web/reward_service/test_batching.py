"""Batches: what is in them, how long they wait, and what happens when there is no room or the model fails."""

import asyncio
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.web.reward_service.batching import Batcher, FullError, Waiting, cut
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.metrics import Metrics
from boresight.web.reward_service.model import Row


def row(length: int, name: int = 0) -> Row:
    return Row((name,) * length, 1)


class Lengths:
    """Scores a row by its length, and keeps what it was given; `fails` are batches, by number, that fail."""

    def __init__(self, fails: Sequence[int] = ()) -> None:
        self.batches: list[list[int]] = []
        self.fails = fails

    def __call__(self, rows: Sequence[Row]) -> list[float]:
        self.batches.append([len(one.ids) for one in rows])
        if len(self.batches) - 1 in self.fails:
            raise RuntimeError("out of memory")
        return [float(len(one.ids)) for one in rows]


def batcher(model: Lengths, **limits: float) -> Batcher:
    return Batcher(model, Limits(**limits), Metrics())  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=60),
    st.integers(1, 80),
    st.integers(1, 9),
)
def test_batches_keep_within_both_budgets_lose_nobody_and_keep_the_responses_to_a_prompt_together(
    rows: list[tuple[int, int]], tokens: int, responses: int
) -> None:
    limits = Limits(batch_tokens=tokens, batch_responses=responses)
    load = [Waiting(row(length, prompt), float(n), None) for n, (length, prompt) in enumerate(rows)]  # type: ignore[arg-type]
    batches = cut(load, limits)
    assert sorted(waiting.since for batch in batches for waiting in batch) == list(range(len(rows)))
    for batch in batches:
        longest = max(len(waiting.row.ids) for waiting in batch)
        assert len(batch) <= responses and (len(batch) * longest <= tokens or len(batch) == 1)
    prompts = [waiting.row.prompt for batch in batches for waiting in batch]
    assert len([prompt for prompt, _ in groupby(prompts)]) == len(set(prompts))


def test_requests_that_come_together_are_scored_together_and_answered_each_in_its_order() -> None:
    model = Lengths()

    async def ask() -> list[list[float]]:
        batching = batcher(model, wait_seconds=0.05)
        return await asyncio.gather(batching.scores([row(5), row(2)]), batching.scores([row(9), row(1), row(3)]))

    assert asyncio.run(ask()) == [[5.0, 2.0], [9.0, 1.0, 3.0]]
    assert model.batches == [[1, 2, 3, 5, 9]]


def test_a_full_batch_does_not_wait() -> None:
    model = Lengths()

    async def ask() -> list[float]:
        batching = batcher(model, wait_seconds=3600.0, batch_responses=2)
        return await asyncio.wait_for(batching.scores([row(3), row(4)]), 20)

    assert asyncio.run(ask()) == [3.0, 4.0]


def test_the_token_budget_ends_the_wait_also_where_a_response_comes_later() -> None:
    model = Lengths()

    async def ask() -> list[list[float]]:
        batching = batcher(model, wait_seconds=3600.0, batch_tokens=10)
        first = asyncio.ensure_future(batching.scores([row(4)]))
        await asyncio.sleep(0)
        return await asyncio.wait_for(asyncio.gather(first, batching.scores([row(6)])), 20)

    assert asyncio.run(ask()) == [[4.0], [6.0]]


def test_a_batch_that_fails_is_told_to_whoever_is_in_it_and_the_next_is_computed() -> None:
    model = Lengths(fails=[0])

    async def ask() -> list[list[float] | BaseException]:
        batching = batcher(model, wait_seconds=0.05, batch_responses=2)
        return await asyncio.gather(
            batching.scores([row(1), row(2)]), batching.scores([row(8)]), return_exceptions=True
        )

    failed, scored = asyncio.run(ask())
    assert isinstance(failed, RuntimeError) and scored == [8.0]


def test_room_is_held_and_given_back_and_the_wait_is_an_estimate() -> None:
    async def ask() -> None:
        batching = batcher(Lengths(), waiting_responses=10)
        batching.admit(8)
        with pytest.raises(FullError) as full:
            batching.admit(3)
        assert 1.0 <= full.value.seconds <= 30.0
        batching.admit(2)
        batching.release(8)
        batching.admit(8)
        assert batching.metrics.held == 10

    asyncio.run(ask())


def test_a_request_that_is_given_up_keeps_nobody_else_from_an_answer() -> None:
    async def ask() -> list[float]:
        batching = batcher(Lengths(), wait_seconds=0.05, batch_responses=4)
        given_up = asyncio.ensure_future(batching.scores([row(1), row(2)]))
        staying = asyncio.ensure_future(batching.scores([row(3)]))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        assert (await batching.scores([row(7)])) == [7.0]
        return await asyncio.wait_for(staying, 20)

    assert asyncio.run(ask()) == [3.0]
