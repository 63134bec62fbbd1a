"""A task as its page shows it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from boresight.web.annotation.pages.safe_text import markdown
from boresight.web.annotation.projects import Project
from boresight.web.annotation.queue import Claim
from boresight.web.annotation.schema import assignments, tasks
from boresight.web.annotation.store import Store

STEPS = (
    (-3, "much better"), (-2, "clearly better"), (-1, "slightly better"), (0, "about the same"),
    (1, "slightly better"), (2, "clearly better"), (3, "much better"),
)  # fmt: skip
SUGGESTED_STEP = 2  # an AI that said which is better did not say by how much: the middle step, for a person to confirm


@dataclass(frozen=True, slots=True)
class Text:
    """`html` is safe; None where the text is shown as it is alone."""

    label: str
    raw: str
    html: str | None


@dataclass(frozen=True, slots=True)
class TaskView:
    task_id: int
    prompt: tuple[Text, ...]
    responses: tuple[Text, ...]
    training: bool
    draft: str
    suggestion: str
    lease_seconds: float

    @property
    def is_pair(self) -> bool:
        return len(self.responses) == 2


def view_of_claim(held: Claim, project: Project) -> TaskView:
    """A task as its annotator sees it, with what was begun."""
    draft = held.draft
    if draft is None and held.suggestion is not None:
        draft = suggested_draft(held.suggestion)
    return view_of(
        held.task_id,
        held.prompt,
        held.responses,
        training=held.training,
        draft=draft,
        suggestion=told_answer(held.suggestion) if held.suggestion else "",
        lease_seconds=project.settings.lease_seconds,
    )


def view_of(
    task_id: int,
    prompt: Sequence[Mapping[str, str]],
    responses: Sequence[str],
    *,
    training: bool = False,
    draft: Mapping[str, Any] | None = None,
    suggestion: str = "",
    lease_seconds: float = 0.0,
) -> TaskView:
    """A task as a page shows it, in the order that is shown to this person."""
    return TaskView(
        task_id,
        tuple(_text(message["role"], message["content"]) for message in prompt),
        tuple(_text(place_name(place, len(responses)), text) for place, text in enumerate(responses)),
        training,
        json.dumps(draft) if draft else "",
        suggestion,
        lease_seconds,
    )


def place_name(place: int, count: int) -> str:
    """Two are A and B; of more each has the number that ranks it."""
    return "AB"[place] if count == 2 else str(place + 1)


def suggested_draft(suggestion: Mapping[str, Any]) -> dict[str, Any]:
    """What an AI answered, as an answer that a person may send as it is."""
    ranks = suggestion["ranks"]
    if suggestion["verdict"] == "both_bad":
        return {"verdict": "both_bad"}
    if len(ranks) > 2:
        return {"ranks": list(ranks)}
    return {"preference": 0 if ranks[0] == ranks[1] else -SUGGESTED_STEP if ranks[0] < ranks[1] else SUGGESTED_STEP}


def told_answer(known: Mapping[str, Any]) -> str:
    """A known answer by places, in words."""
    ranks = known["ranks"]
    if known["verdict"] == "both_bad":
        return "all bad" if len(ranks) > 2 else "both bad"
    if len(set(ranks)) == 1:
        return "all the same" if len(ranks) > 2 else "about the same"
    groups = [
        " = ".join(place_name(place, len(ranks)) for place, one in enumerate(ranks) if one == rank)
        for rank in sorted(set(ranks))
    ]
    return f"{groups[0]} is better" if len(ranks) == 2 else " > ".join(groups)


def own_progress(store: Store, project_id: int, person_id: int) -> dict[str, int]:
    """Answers of this person, and answers there are and are wanted in the project."""
    mine = assignments.c.person_id == person_id, assignments.c.project_id == project_id
    labels = tasks.c.project_id == project_id, tasks.c.purpose == "label"
    sums = (func.coalesce(func.sum(column), 0) for column in (tasks.c.answered, tasks.c.overlap))
    with store.read() as connection:
        own = connection.execute(select(func.count()).where(*mine, assignments.c.state == "answered")).scalar_one()
        answered, wanted = connection.execute(select(*sums).where(*labels)).one()
    return {"own": own, "answered": int(answered), "wanted": int(wanted)}


def _text(label: str, raw: str) -> Text:
    return Text(label, raw, markdown(raw))
