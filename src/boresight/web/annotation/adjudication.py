"""Disagreements, put to a reviewer whose decision then counts; the votes stay as they are."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from boresight.feedback.human_labels import Vote, disagreement
from boresight.web.annotation.answers import Answer, comment_of, vote_of
from boresight.web.annotation.events import append
from boresight.web.annotation.people import lock_person
from boresight.web.annotation.projects import project_in
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import events, tasks
from boresight.web.annotation.store import Store, one_row
from boresight.web.annotation.votes import VotedTask, voted_tasks


@dataclass(frozen=True, slots=True)
class Dispute:
    """A task whose votes disagree; `share` of them is not with the majority. Responses and votes are as listed."""

    task_id: int
    key: str
    prompt: list[dict[str, str]]
    responses: tuple[str, ...]
    votes: tuple[Vote, ...]
    share: float


def disputes(store: Store, project_id: int, *, names: bool = False, only_complete: bool = True) -> list[Dispute]:
    """Tasks that wait for a decision, the most disputed first: their answers are all there and disagree, or nobody
    could judge."""
    voted = voted_tasks(store, project_id, names=names)
    waiting = [one for one in voted if one.labelled.final is None and (one.complete or not only_complete)]
    found = [dispute for task in waiting if task.labelled.votes and (dispute := _dispute(task)).share > 0]
    return sorted(found, key=lambda dispute: -dispute.share)


def votes_on(store: Store, project_id: int, task_id: int) -> Dispute:
    """One task with its votes, whether they disagree or not. Raises RefusedError where there is none."""
    found = voted_tasks(store, project_id, task_id=task_id)
    if not found:
        raise RefusedError("not_found", f"project {project_id} has no task {task_id} to decide on.")
    return _dispute(found[0])


def _dispute(task: VotedTask) -> Dispute:
    one = task.labelled
    share = disagreement(one.votes) if one.deciding else 1.0
    prompt = [{"role": message.role, "content": message.content} for message in one.prompt]
    return Dispute(task.task_id, one.id, prompt, one.responses, one.votes, share)


def adjudicate(store: Store, task_id: int, person_id: int, answer: Answer, *, key: str) -> int:
    """Decide a task; the id of the event. The answer is given with the responses in the order listed. A later decision
    takes the place of an earlier one, which stays in the log. The same key again returns the same id.

    Raises RefusedError for anybody but a reviewer or an admin, and for an answer that does not fit.
    """
    with store.write() as connection:
        person = lock_person(connection, person_id)
        if not person.may("reviewer"):
            raise RefusedError("not_allowed", f"{person.name} is {person.role}; decisions are a reviewer's.")
        known = one_row(connection, select(events).where(events.c.person_id == person_id, events.c.key == key))
        if known is not None:
            if known["kind"] != "adjudication" or known["task_id"] != task_id:
                raise RefusedError("key_used", "this answer key was sent before, with another answer. Draw a new key.")
            return int(known["id"])
        task = one_row(connection, select(tasks).where(tasks.c.id == task_id).with_for_update())
        if task is None:
            raise RefusedError("not_found", f"there is no task {task_id}.")
        shown = list(range(len(task["responses"])))
        vote = vote_of(answer, shown, project_in(connection, task["project_id"]).settings, elapsed=0.0)
        comment = comment_of(answer)
        body: dict[str, Any] = {"shown": shown, "vote": vote}
        event_id = append(
            connection,
            "adjudication",
            at=store.clock(),
            person_id=person_id,
            project_id=task["project_id"],
            task_id=task_id,
            key=key,
            body=body,
            private={"comment": comment} if comment else None,
        )
        connection.execute(update(tasks).where(tasks.c.id == task_id).values(adjudication_id=event_id))
        return event_id
