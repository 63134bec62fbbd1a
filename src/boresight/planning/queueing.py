"""A reward model as a queue: how busy it is, how long an answer waits, and how many replicas keep it from starving
the policy workers.
"""

import math
from dataclasses import dataclass

AIM = 0.8
"""How busy a station may be planned to be: at 1 the queue has no end, and lengths vary."""


@dataclass(frozen=True, slots=True)
class Station:
    """Replicas that take the same time for each item. Rates are a second."""

    arrivals: float
    service: float
    """Of one replica."""
    replicas: int = 1

    @property
    def busy(self) -> float:
        """Above 1 the station, and not what feeds it, sets the pace."""
        return self.arrivals / (self.service * self.replicas)

    @property
    def needed(self) -> int:
        """Replicas for which it is busy for at most `AIM` of the time."""
        return max(1, math.ceil(self.arrivals / (AIM * self.service)))


def md1_wait(arrivals: float, service: float) -> float:
    """Mean seconds in the queue of one server with random arrivals and a fixed service time (M/D/1: the
    Pollaczek-Khinchine formula without variance of service); infinite where it cannot keep up."""
    busy = arrivals / service
    return busy / (2 * service * (1 - busy)) if busy < 1 else math.inf
