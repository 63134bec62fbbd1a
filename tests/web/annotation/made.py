"""Small projects to test with."""

from typing import Any

from boresight.records import Message
from boresight.web.annotation.answers import known_answer
from boresight.web.annotation.people import Person, add_person
from boresight.web.annotation.projects import NewTask, Project, make_project
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store


def task(
    key: str, count: int = 2, *, gold: Any = None, purpose: Any = "label", suggestion: Any = None, **more: Any
) -> NewTask:
    return NewTask(
        key=key,
        prompt=(Message("user", f"Question {key}?"),),
        responses=[{"text": f"{key} answer {n}" + "!" * n, "model": f"m{n}"} for n in range(count)],
        purpose=purpose,
        gold=None if gold is None else known_answer(gold, count),
        suggestion=None if suggestion is None else known_answer(suggestion, count),
        **more,
    )


def project_with(store: Store, people: int = 2, **settings: Any) -> tuple[Project, list[Person]]:
    """A project without tasks, and annotators."""
    project = make_project(store, "p", Settings(**settings))
    return project, [add_person(store, f"annotator {n}") for n in range(people)]
