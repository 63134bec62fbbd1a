"""Buckets by hand: burst 3, one token in 10 seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.web.rate_limit import RateLimit
from tests.web.tiny_face import Clock


def limit(clock: Clock, **options: int) -> RateLimit:
    return RateLimit(burst=3, per_second=0.1, clock=clock, **options)


def test_the_burst_is_free_and_then_one_waits(clock: Clock) -> None:
    bucket = limit(clock)
    assert [bucket.take("a") for _ in range(3)] == [0, 0, 0]
    assert bucket.take("a") == pytest.approx(10)
    clock.now += 4
    assert bucket.take("a") == pytest.approx(6)
    clock.now += 6
    assert bucket.take("a") == 0 and bucket.take("a") > 0


def test_keys_do_not_share(clock: Clock) -> None:
    bucket = limit(clock)
    assert [bucket.take("a") for _ in range(3)] == [0, 0, 0]
    assert bucket.take("b") == 0


def test_what_is_given_back_can_be_used_again_but_never_more_than_the_burst(clock: Clock) -> None:
    bucket = limit(clock)
    bucket.give_back("a")
    assert [bucket.take("a") > 0 for _ in range(4)] == [False, False, False, True]
    bucket.give_back("a")
    assert bucket.take("a") == 0


def test_many_keys_do_not_grow_without_bound_and_do_not_free_who_is_limited(clock: Clock) -> None:
    bucket = limit(clock, most_keys=10)
    for _ in range(3):
        bucket.take("busy")
    clock.now += 1
    for number in range(9):
        bucket.take(f"{number}")
    clock.now += 10  # the others are full again, "busy" is not
    bucket.take("new")
    assert bucket.take("busy") == 0 and bucket.take("busy") > 0


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    clock = Clock()
    start, bucket = clock.now, limit(clock)
    taken = 0
    for pause in pauses:
        clock.now += pause
        taken += bucket.take("a") == 0
        assert taken <= 3 + 0.1 * (clock.now - start) + 1e-6
