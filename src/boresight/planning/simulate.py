"""A pipeline of workers as a queueing network, event by event: who waits for whom, and what that costs.

Policy workers sample responses one rollout after the other; each is scored by a replica of the reward model (first
come, first served); scored responses fill a batch, from which trainers update the policy while workers go on with the
weights they have. With `synchronous`, workers wait until the new weights have reached them.

Written out here, since the model is a page long; simpy would hide the one thing that is to be seen, the order of
events.
"""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

Law = Literal["fixed", "exponential"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Times in seconds. A worker holds at most `ahead` responses that are not scored yet; then it waits."""

    workers: int
    rollout_seconds: float
    """Of a worker for one response (or one batch of them: then all of it is about batches)."""
    replicas: int
    scoring_seconds: float
    batch: int
    """Scored responses of one update."""
    trainers: int = 1
    training_seconds: float = 0.0
    """Of one update by one trainer; several share it."""
    sync_seconds: float = 0.0
    """Until new weights have reached a worker."""
    synchronous: bool = False
    ahead: int = 2
    rollout_law: Law = "exponential"
    scoring_law: Law = "fixed"


@dataclass(slots=True)
class Tally:
    """What happened after the warm-up. Shares are of the time that there was, over all of a kind."""

    responses: int = 0
    updates: int = 0
    seconds: float = 0.0
    worker_busy: float = 0.0
    reward_busy: float = 0.0
    trainer_busy: float = 0.0
    waits: list[float] = field(default_factory=list)
    """Of each response in the queue of the reward model."""

    @property
    def mean_wait(self) -> float:
        return sum(self.waits) / len(self.waits) if self.waits else 0.0

    @property
    def responses_per_second(self) -> float:
        return self.responses / self.seconds if self.seconds else 0.0


class Clock:
    """Events in the order of their times; equal times in the order of their making."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._number), event))

    def step(self) -> None:
        self.now, _, event = heapq.heappop(self._events)
        event()


def simulate(pipeline: Pipeline, *, responses: int, warm_up: int = 0, seed: int = 0) -> Tally:
    """Run until so many responses have been scored, the first `warm_up` of them aside."""
    if pipeline.workers < 1 or pipeline.replicas < 1 or pipeline.trainers < 1 or pipeline.batch < 1:
        raise ValueError("a pipeline needs at least one worker, one replica, one trainer and one response in a batch")
    network = _Network(pipeline, random.Random(seed))
    while network.scored < warm_up:
        network.clock.step()
    network.start_counting()
    while network.scored < warm_up + responses:
        network.clock.step()
    return network.result()


def simulate_queue(*, arrivals: float, scoring_seconds: float, responses: int, seed: int = 0) -> Tally:
    """One replica with random arrivals (a Poisson stream) and a fixed time of service: M/D/1, for comparison."""
    generator, clock, tally = random.Random(seed), Clock(), Tally()
    station = _Station(clock, 1, lambda: scoring_seconds, tally)

    def arrive() -> None:
        station.enter(lambda: None)
        clock.after(generator.expovariate(arrivals), arrive)

    arrive()
    while len(tally.waits) < responses:
        clock.step()
    tally.responses, tally.seconds = responses, clock.now
    return tally


class _Station:
    """Replicas with one queue."""

    def __init__(self, clock: Clock, replicas: int, service: Callable[[], float], tally: Tally) -> None:
        self._clock, self._free, self._service, self.tally = clock, replicas, service, tally
        self._queue: deque[tuple[float, Callable[[], None]]] = deque()

    def enter(self, done: Callable[[], None]) -> None:
        self._queue.append((self._clock.now, done))
        self._begin()

    def _begin(self) -> None:
        while self._free and self._queue:
            entered, done = self._queue.popleft()
            self._free -= 1
            seconds = self._service()
            self.tally.waits.append(self._clock.now - entered)
            self.tally.reward_busy += seconds
            self._clock.after(seconds, lambda done=done: self._finish(done))  # type: ignore[misc]

    def _finish(self, done: Callable[[], None]) -> None:
        self._free += 1
        self._begin()
        done()


class _Network:
    """Workers, reward replicas and trainers over one clock."""

    def __init__(self, pipeline: Pipeline, generator: random.Random) -> None:
        self.pipeline, self._generator = pipeline, generator
        self.clock, self.tally = Clock(), Tally()
        self.scored = 0
        self._began = 0.0
        self._station = _Station(self.clock, pipeline.replicas, self._scoring_seconds, self.tally)
        self._unscored = [0] * pipeline.workers
        self._idle: set[int] = set()
        self._waiting = 0  # scored responses that no update has taken
        self._training = False
        self._version = 0
        self._versions = [0] * pipeline.workers
        for worker in range(pipeline.workers):
            self._begin_rollout(worker)

    def start_counting(self) -> None:
        self.tally = Tally()
        self._station.tally = self.tally
        self._began = self.clock.now

    def result(self) -> Tally:
        self.tally.seconds = self.clock.now - self._began
        span = max(self.tally.seconds, 1e-12)
        self.tally.worker_busy /= span * self.pipeline.workers
        self.tally.reward_busy /= span * self.pipeline.replicas
        self.tally.trainer_busy /= span
        return self.tally

    def _rollout_seconds(self) -> float:
        return self._draw(self.pipeline.rollout_seconds, self.pipeline.rollout_law)

    def _scoring_seconds(self) -> float:
        return self._draw(self.pipeline.scoring_seconds, self.pipeline.scoring_law)

    def _draw(self, mean: float, law: Law) -> float:
        return mean if law == "fixed" or mean == 0 else self._generator.expovariate(1 / mean)

    def _begin_rollout(self, worker: int) -> None:
        behind = self.pipeline.synchronous and self._must_wait_for_weights()
        if behind or self._unscored[worker] >= self.pipeline.ahead:
            self._idle.add(worker)
            return
        fetch = self.pipeline.sync_seconds if self._versions[worker] != self._version else 0.0
        self._versions[worker] = self._version
        self._idle.discard(worker)
        self._unscored[worker] += 1
        seconds = self._rollout_seconds()
        self.tally.worker_busy += seconds
        self.clock.after(fetch + seconds, lambda: self._sampled(worker))

    def _must_wait_for_weights(self) -> bool:
        """On-policy: no response is begun beyond those that the next update takes."""
        begun = sum(self._unscored) + self._waiting
        return self._training or begun >= self.pipeline.batch

    def _sampled(self, worker: int) -> None:
        self._station.enter(lambda: self._score(worker))
        self._begin_rollout(worker)

    def _score(self, worker: int) -> None:
        self.scored += 1
        self.tally.responses += 1
        self._unscored[worker] -= 1
        self._waiting += 1
        self._train()
        if worker in self._idle:
            self._begin_rollout(worker)

    def _train(self) -> None:
        if self._training or self._waiting < self.pipeline.batch:
            return
        self._waiting -= self.pipeline.batch
        self._training = True
        seconds = self.pipeline.training_seconds / self.pipeline.trainers
        self.tally.trainer_busy += seconds
        self.clock.after(seconds, self._trained)

    def _trained(self) -> None:
        self._training = False
        self._version += 1
        self.tally.updates += 1
        self._train()
        for worker in sorted(self._idle):
            self._begin_rollout(worker)
