import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import add_tasks, make_project
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.schema import assignments, events, tasks
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store
from tests.web.annotation.made import task

WRITER = Path(__file__).with_name("writer.py")
KILLS, WRITERS, READ_BEFORE = 2, 2, 8


@pytest.mark.slow
def test_every_acknowledged_answer_survives_the_kill_of_the_writers(
    place: str, open_at: Callable[[str], Store]
) -> None:
    store = open_at(place)
    project = make_project(store, "p", Settings(overlap=2))
    people = [add_person(store, f"person {n}").id for n in range(WRITERS)]
    add_tasks(store, project.id, [task(f"t{n}") for n in range(2000)])  # more than they can do before the kill
    store.close()
    acknowledged: list[tuple[int, int, int]] = []
    for _ in range(KILLS):
        writers = [
            subprocess.Popen([sys.executable, WRITER, place, str(project.id), str(person)], stdout=subprocess.PIPE)
            for person in people
        ]
        lines = []
        for writer in writers:
            assert writer.stdout is not None
            lines.append([writer.stdout.readline() for _ in range(READ_BEFORE)])  # it is at work now
        for writer in writers:
            writer.kill()
        for person, writer, first in zip(people, writers, lines, strict=True):
            assert writer.stdout is not None
            rest = writer.stdout.read().splitlines()
            writer.stdout.close()
            assert writer.wait() == -9, "the writer was still at work when it was killed"
            told = [line.split() for line in (*first, *rest)]
            acknowledged += [(int(task_id), int(event), person) for task_id, event in told]
    store = open_at(place)
    with store.read() as connection:
        kept = {
            (e.task_id, e.id, e.person_id) for e in connection.execute(select(events).where(events.c.kind == "answer"))
        }
        counted = {
            row.event_id for row in connection.execute(select(assignments).where(assignments.c.state == "answered"))
        }
        states = connection.execute(select(assignments.c.task_id, assignments.c.state)).all()
        rows = connection.execute(select(tasks)).mappings().all()
    assert len(acknowledged) >= KILLS * WRITERS * READ_BEFORE
    assert set(acknowledged) <= kept and {event for _, event, _ in kept} == counted
    taken = Counter(task_id for task_id, state in states if state in ("leased", "answered"))
    assert all(row["taken"] == taken[row["id"]] <= 2 for row in rows)
    held = claim(store, project.id, people[0])
    assert held is not None
    submit(store, held.task_id, people[0], {"preference": -1}, key="after")
