"""A model that answers prompts beside the people: bounded, in order, without blocking, and once."""

import threading
from collections.abc import Callable, Sequence

import pytest

from boresight.errors import DataError, ModelError
from boresight.records import Message, Messages, Prompt
from boresight.web.annotation.live import LiveTasks, LiveWorker, Sampler
from boresight.web.annotation.projects import progress
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.store import Store
from tests.web.annotation.made import project_with

PROMPTS = [Prompt(id=f"p{n}", messages=(Message("user", f"Question {n}?"),)) for n in range(5)]


class Counting:
    """Says something new each time; "Question 3?" does not fit, and the fourth prompt has one answer alone."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, prompt: Messages, count: int) -> Sequence[str]:
        text = prompt[-1].content
        self.asked.append(text)
        if "3" in text:
            raise DataError("longer than the context")
        return ["always this"] * count if "4" in text else [f"{len(self.asked)}.{n} {text}" for n in range(count)]


def worker(store: Store, load: Callable[[], Sampler], *, ahead: int = 20) -> LiveWorker:
    return LiveWorker(store, 1, LiveTasks(prompts=PROMPTS, count=2, model="m", ahead=ahead), load)


def test_each_prompt_becomes_a_task_once_and_others_are_counted(store: Store) -> None:
    project_with(store, people=0)
    said = Counting()
    for _ in range(2):
        live = worker(store, lambda: said)
        live.start()
        live.wait(20)
        assert live.left_out == 2 and progress(store, 1)["tasks"] == 3
    assert [text for text in said.asked if text in ("Question 0?", "Question 1?", "Question 2?")] == [
        "Question 0?", "Question 1?", "Question 2?",
    ]  # fmt: skip


def test_it_rests_while_enough_tasks_wait_and_goes_on_as_they_are_answered(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boresight.web.annotation.live.LOOK_SECONDS", 0.01)
    _, (person,) = project_with(sqlite_store, people=1)
    live = worker(sqlite_store, Counting, ahead=1)
    live.start()
    for number in range(3):
        deadline = threading.Event()
        held = None
        while held is None and not deadline.wait(0.01):
            held = claim(sqlite_store, 1, person.id)
        assert held is not None and progress(sqlite_store, 1)["tasks"] <= number + 2
        submit(sqlite_store, held.task_id, person.id, {"preference": 1}, key=str(number))
    live.wait(20)
    assert progress(sqlite_store, 1)["answers"] == 3


def test_nothing_waits_for_a_model_that_is_slow(sqlite_store: Store) -> None:
    _, (person,) = project_with(sqlite_store, people=1)
    go, at_work = threading.Event(), threading.Event()

    def slow(prompt: Messages, count: int) -> Sequence[str]:
        at_work.set()
        go.wait(20)
        return [f"{n} of {count}" for n in range(count)]

    live = worker(sqlite_store, lambda: slow)
    live.start()
    assert at_work.wait(20)
    assert claim(sqlite_store, 1, person.id) is None, "the queue answers while the model is at work"
    go.set()
    live.stop()


def test_a_model_that_cannot_be_loaded_is_told_and_the_queue_goes_on(
    sqlite_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    _, (person,) = project_with(sqlite_store, people=1)

    def broken() -> Sampler:
        raise ModelError("no weights")

    live = worker(sqlite_store, broken)
    live.start()
    live.wait(20)
    assert "no weights" in caplog.text and claim(sqlite_store, 1, person.id) is None
