"""The simulator against queueing theory, bounds that hold for any order of events, and two real processes."""

import multiprocessing
import statistics
import time
from dataclasses import replace
from multiprocessing.synchronize import Semaphore
from typing import Any

import pytest

from boresight.planning.queueing import md1_wait
from boresight.planning.simulate import Pipeline, simulate, simulate_queue

BASE = Pipeline(
    workers=10, rollout_seconds=1.0, replicas=1, scoring_seconds=0.5, batch=16, trainers=1, training_seconds=0.5
)


@pytest.mark.parametrize("busy", [0.5, 0.8, 0.9])
def test_waiting_time_is_that_of_an_m_d_1_queue(busy: float) -> None:
    wait = simulate_queue(arrivals=busy, scoring_seconds=1.0, responses=200_000, seed=3).mean_wait
    assert wait == pytest.approx(md1_wait(busy, 1.0), rel=0.05)


def test_one_replica_for_ten_workers_starves_them_and_more_cure_it() -> None:
    """Ten rollouts a second would come, two are scored: five replicas are the least that can do."""
    busy = {r: simulate(replace(BASE, replicas=r), responses=2000, warm_up=300) for r in (1, 3, 5, 7)}
    assert busy[1].worker_busy == pytest.approx(0.2, abs=0.02) and busy[1].reward_busy > 0.98
    assert busy[3].worker_busy == pytest.approx(0.6, abs=0.04)
    assert busy[7].worker_busy > 0.9 and busy[7].reward_busy < 0.8
    rates = [tally.responses_per_second for tally in busy.values()]
    assert rates == sorted(rates)


@pytest.mark.parametrize("replicas", [1, 4, 8])
@pytest.mark.parametrize("synchronous", [False, True])
def test_no_station_gives_more_than_it_can(replicas: int, synchronous: bool) -> None:
    pipeline = replace(BASE, replicas=replicas, synchronous=synchronous, training_seconds=2.0, sync_seconds=0.1)
    tally = simulate(pipeline, responses=3000, warm_up=200)
    most = min(10 / 1.0, replicas / 0.5, 16 / 2.0 if synchronous else 1e9)
    assert 0 < tally.responses_per_second <= most * 1.05
    assert 0 < tally.worker_busy <= 1.05 and 0 < tally.reward_busy <= 1.01
    assert abs(tally.updates - tally.responses / 16) < 40 or tally.trainer_busy > 0.95


def test_waiting_for_weights_costs_workers_their_time() -> None:
    apart = simulate(replace(BASE, replicas=8, training_seconds=2.0), responses=2000)
    waiting = simulate(replace(BASE, replicas=8, training_seconds=2.0, synchronous=True), responses=2000)
    assert waiting.worker_busy < 0.8 * apart.worker_busy


def test_equal_seeds_give_equal_courses_and_a_thousand_workers_take_a_moment() -> None:
    large = replace(BASE, workers=1000, replicas=600, batch=1600)
    started = time.perf_counter()
    first, second = (simulate(large, responses=5000, seed=4) for _ in range(2))
    assert (first.seconds, first.worker_busy) == (second.seconds, second.worker_busy)
    assert time.perf_counter() - started < 30


def test_a_pipeline_without_anybody_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        simulate(replace(BASE, replicas=0), responses=1)


def work_for(seconds: float) -> None:
    """Computes until the time is over: a service of known length."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def score(queue: Any, room: Semaphore, results: Any, seconds: float) -> None:
    took = []
    while queue.get() is not None:
        started = time.perf_counter()
        work_for(seconds)
        took.append(time.perf_counter() - started)
        room.release()
    results.put((time.perf_counter(), took))


def kept_pace(rollout: float, scoring: float, count: int = 30) -> tuple[float, float]:
    """Rollouts a second of two processes, and of the simulator that is told what they really took."""
    context = multiprocessing.get_context("fork")
    queue, results, room = context.Queue(), context.Queue(), context.Semaphore(2)
    scorer = context.Process(target=score, args=(queue, room, results, scoring))
    scorer.start()
    took: list[float] = []
    started = time.perf_counter()
    for number in range(count):
        room.acquire()
        began = time.perf_counter()
        work_for(rollout)
        took.append(time.perf_counter() - began)
        queue.put(number)
    queue.put(None)
    ended, scored = results.get(timeout=60)
    scorer.join(timeout=60)
    network = Pipeline(
        workers=1, rollout_seconds=statistics.fmean(took), rollout_law="fixed", replicas=1,
        scoring_seconds=statistics.fmean(scored), batch=1,
    )  # fmt: skip
    return count / (ended - started), simulate(network, responses=1000, warm_up=20).responses_per_second


@pytest.mark.slow
@pytest.mark.parametrize(("rollout", "scoring"), [(0.02, 0.05), (0.05, 0.02)])
def test_two_real_processes_keep_the_pace_that_is_simulated(rollout: float, scoring: float) -> None:
    """This process samples, another scores. A machine that is busy elsewhere delays the hand-over, so three tries."""
    tries = []
    for _ in range(3):
        real, simulated = kept_pace(rollout, scoring)
        tries.append(simulated / real - 1)
        if abs(tries[-1]) <= 0.25:
            return
    pytest.fail(f"simulated over real, less one: {tries}")
