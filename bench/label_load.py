"""Many annotators at once on one store: how long a claim and a submit take, and whether anything is lost or doubled.

python bench/label_load.py                                          # SQLite in a temporary folder
python bench/label_load.py --store postgresql://user@127.0.0.1/new  # a new database on a server

50 annotators label 10,000 tasks (every fourth a ranking of four) with an overlap of 2: 20,000 answers, by threads of
one process, without the web app (with it: `label_http.py`). Each waits before it asks again, as people do, unless
--pause 0, and stops after --seconds, if that is given. Afterwards the store is read: every acknowledged answer is there
once, no task is over its overlap, nobody answered one twice. The last line is one JSON object.
"""

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import select

from boresight.records import Message
from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import NewTask, add_tasks, make_project
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.schema import assignments, events, tasks
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store, open_store

WORDS = 120  # of a response: what a chat model writes


def made_tasks(count: int, seed: int) -> list[NewTask]:
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(f"w{rng.randrange(5000)}" for _ in range(WORDS))

    return [
        NewTask(
            key=f"t{number}",
            prompt=(Message("user", text()),),
            responses=[{"text": text(), "model": f"m{place}"} for place in range(4 if number % 4 == 0 else 2)],
        )
        for number in range(count)
    ]


class Annotator(threading.Thread):
    """Claims and submits until there is nothing left; keeps the seconds of each, and what was acknowledged."""

    def __init__(self, store: Store, project_id: int, person_id: int, pause: float, until: float) -> None:
        super().__init__()
        self.store, self.project_id, self.person_id = store, project_id, person_id
        self.pause, self.until = pause, until
        self.claims: list[float] = []
        self.submits: list[float] = []
        self.acknowledged: list[tuple[int, int]] = []

    def run(self) -> None:
        rng = random.Random(self.person_id)
        while time.perf_counter() < self.until:
            time.sleep(rng.uniform(0.0, 2.0 * self.pause))
            start = time.perf_counter()
            held = claim(self.store, self.project_id, self.person_id)
            self.claims.append(time.perf_counter() - start)
            if held is None:
                return
            count = len(held.responses)
            ranks = rng.sample(range(1, count + 1), count)
            answer = {"preference": rng.randint(-3, 3)} if count == 2 else {"ranks": ranks}
            time.sleep(rng.uniform(0.0, 2.0 * self.pause))
            start = time.perf_counter()
            receipt = submit(self.store, held.task_id, self.person_id, answer, key=f"k{held.task_id}")
            self.submits.append(time.perf_counter() - start)
            self.acknowledged.append((receipt.event_id, held.task_id))


def faults(store: Store, overlap: int, workers: list[Annotator]) -> dict[str, int]:
    """What went wrong, counted in the store."""
    with store.read() as connection:
        kept = Counter(
            (row.id, row.task_id) for row in connection.execute(select(events).where(events.c.kind == "answer"))
        )
        given = Counter(connection.execute(select(assignments.c.task_id, assignments.c.person_id)))
        rows = connection.execute(select(tasks.c.answered, tasks.c.taken)).all()
    told = [one for worker in workers for one in worker.acknowledged]
    return {
        "lost_votes": sum(one not in kept for one in told),
        "votes_nobody_sent": len(kept.keys() - set(told)),
        "double_assignments": sum(count > 1 for count in given.values()),
        "tasks_over_overlap": sum(max(row.answered, row.taken) > overlap for row in rows),
        "tasks_under_overlap": sum(row.answered < overlap for row in rows),
    }


def milliseconds(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "p50_ms": round(1e3 * cuts[49], 2),
        "p95_ms": round(1e3 * cuts[94], 2),
        "max_ms": round(1e3 * max(seconds), 1),
    }


def measure(place: str, *, people: int, count: int, overlap: int, pause: float, seconds: float) -> dict[str, object]:
    store = open_store(place)
    project = make_project(store, "load", Settings(seed=1, overlap=overlap))
    ids = [add_person(store, f"annotator {number}").id for number in range(people)]
    start = time.perf_counter()
    add_tasks(store, project.id, made_tasks(count, seed=1))
    print(f"{count:,} tasks added in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    start = time.perf_counter()
    workers = [Annotator(store, project.id, person, pause, start + seconds) for person in ids]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    wall = time.perf_counter() - start
    submits = [one for worker in workers for one in worker.submits]
    result = {
        "store": store.dialect,
        "people": people,
        "tasks": count,
        "overlap": overlap,
        "pause_s": pause,
        "answers": len(submits),
        "answers_per_s": round(len(submits) / wall, 1),
        "claim": milliseconds([one for worker in workers for one in worker.claims]),
        "submit": milliseconds(submits),
        **faults(store, overlap, workers),
    }
    store.close()
    return result


def load_options(purpose: str | None) -> argparse.ArgumentParser:
    """The options that both loads have."""
    parser = argparse.ArgumentParser(description=purpose, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", metavar="PLACE", help="a new file or an empty database; by default temporary")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--overlap", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop then, although tasks are left")
    parser.add_argument("--pause", type=float, default=0.5, help="mean seconds before each claim and each submit")
    return parser


def main() -> None:
    given = load_options(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or str(Path(folder) / "labels.db")
        load = {"people": given.people, "count": given.tasks, "overlap": given.overlap}
        result = measure(place, **load, pause=given.pause, seconds=given.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
