"""Whatever people do in whatever order, and however long they take, the promises of the queue hold."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select

from boresight.web.annotation.adjudication import adjudicate
from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import add_tasks
from boresight.web.annotation.queue import Claim, claim, save_draft, skip, submit, undo
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, events, tasks
from boresight.web.annotation.store import open_store
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.conftest import Clock
from tests.web.annotation.made import project_with, task

LEASE = 100.0
PEOPLE = st.integers(0, 3)


class QueueMachine(RuleBasedStateMachine):
    """Four people, six tasks of overlap 1 to 3. `shadow` is what must count: (task, person) -> the step sent last."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.store = open_store(Path(self.folder.name) / "labels.db", clock=self.clock)
        self.held: dict[int, Claim] = {}
        self.shadow: dict[tuple[int, int], int] = {}
        self.sent: list[tuple[int, int, dict[str, Any], str, int]] = []
        self.done: dict[int, list[tuple[str, int]]] = {}
        self.skipped: set[tuple[int, int]] = set()

    @initialize(overlaps=st.lists(st.integers(1, 3), min_size=6, max_size=6))
    def begin(self, overlaps: list[int]) -> None:
        self.project, people = project_with(self.store, 4, lease_seconds=LEASE)
        self.people = [person.id for person in people]
        self.reviewer = add_person(self.store, "reviewer", "reviewer").id
        add_tasks(self.store, self.project.id, [task(f"t{n}", overlap=count) for n, count in enumerate(overlaps)])

    @rule(who=PEOPLE)
    def claims(self, who: int) -> None:
        person = self.people[who]
        given = claim(self.store, self.project.id, person)
        if given is None:
            self.held.pop(person, None)
            return
        assert (given.task_id, person) not in self.shadow, "nobody is asked what they have answered"
        assert (given.task_id, person) not in self.skipped, "nobody is asked what they have skipped"
        self.held[person] = given

    @rule(who=PEOPLE, step=st.integers(-3, 3))
    def submits(self, who: int, step: int) -> None:
        person = self.people[who]
        if person not in self.held:
            return
        given, key = self.held.pop(person), f"k{len(self.sent)}"
        answer = {"preference": step}
        try:
            receipt = submit(self.store, given.task_id, person, answer, key=key)
        except RefusedError as error:
            assert error.reason == "lease_lost"
            return
        self.shadow[given.task_id, person] = step if given.responses[0].endswith("answer 0") else -step
        self.sent.append((given.task_id, person, answer, key, receipt.event_id))
        self.done.setdefault(person, []).append(("answer", given.task_id))

    @rule(data=st.data())
    def sends_again(self, data: st.DataObject) -> None:
        if self.sent:
            task_id, person, answer, key, event_id = data.draw(st.sampled_from(self.sent))
            receipt = submit(self.store, task_id, person, answer, key=key)
            assert receipt.repeated and receipt.event_id == event_id

    @rule(who=PEOPLE)
    def saves_a_draft(self, who: int) -> None:
        person = self.people[who]
        if person in self.held:
            try:
                until = save_draft(self.store, self.held[person].task_id, person, {"preference": 1})
                assert until == self.clock.now + LEASE
            except RefusedError as error:
                assert error.reason == "lease_lost"

    @rule(who=PEOPLE)
    def skips(self, who: int) -> None:
        person = self.people[who]
        if person in self.held:
            given = self.held.pop(person)
            try:
                skip(self.store, given.task_id, person)
            except RefusedError as error:
                assert error.reason == "lease_lost"
                return
            self.skipped.add((given.task_id, person))
            self.done.setdefault(person, []).append(("skip", given.task_id))

    @rule(who=PEOPLE)
    def undoes(self, who: int) -> None:
        person = self.people[who]
        try:
            back = undo(self.store, self.project.id, person)
        except RefusedError as error:
            assert error.reason == "nothing_to_undo"
            return
        kind, task_id = self.done[person].pop()
        assert back.task_id == task_id, "the last thing done is what is taken back"
        if kind == "answer":
            del self.shadow[task_id, person]
        else:
            self.skipped.remove((task_id, person))
        self.held[person] = back

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, LEASE + 1]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(which=st.integers(0, 5), step=st.integers(-3, 3))
    def decides(self, which: int, step: int) -> None:
        with self.store.read() as connection:
            ids = connection.execute(select(tasks.c.id).order_by(tasks.c.id)).scalars().all()
            number = len(connection.execute(select(events.c.id)).all())
        adjudicate(self.store, ids[which], self.reviewer, {"preference": step}, key=f"d{number}")

    @invariant()
    def counts_are_those_of_the_assignments_and_within_the_overlap(self) -> None:
        with self.store.read() as connection:
            rows = connection.execute(select(tasks)).mappings().all()
            states = connection.execute(
                select(assignments.c.task_id, assignments.c.state, assignments.c.person_id)
            ).all()
        for row in rows:
            own = [state for task_id, state, _ in states if task_id == row["id"]]
            assert row["answered"] == own.count("answered")
            assert row["taken"] == row["answered"] + own.count("leased") <= row["overlap"]
            assert row["open"] == (row["taken"] < row["overlap"])
        leased = [person for _, state, person in states if state == "leased"]
        assert len(leased) == len(set(leased)), "nobody holds two tasks"

    @invariant()
    def what_counts_is_what_was_acknowledged(self) -> None:
        if not hasattr(self, "project"):
            return
        counted = {
            (voted.task_id, int(vote.annotator.removeprefix("person-"))): vote
            for voted in voted_tasks(self.store, self.project.id)
            for vote in voted.labelled.votes
        }
        assert counted.keys() == self.shadow.keys()
        for place, vote in counted.items():
            step = self.shadow[place]
            ranks = (1, 1) if step == 0 else (1, 2) if step < 0 else (2, 1)
            assert (vote.ranks, vote.strength) == (ranks, abs(step) or None)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestQueue = pytest.mark.slow(QueueMachine.TestCase)
TestQueue.settings = settings(
    max_examples=10, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
