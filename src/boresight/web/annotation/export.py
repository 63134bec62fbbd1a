"""What a project yields: preference pairs, demonstrations from edited answers, every vote, and labels by rater."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boresight.data.tables import Row, container_of
from boresight.data.written_forms import DEMONSTRATION_TARGETS, PAIR_TARGETS, Target
from boresight.data.written_rows import write_rows
from boresight.errors import DataError
from boresight.feedback.human_labels import demonstrations_of_votes, pairs_of_votes
from boresight.records import Demonstration, PreferencePair
from boresight.web.annotation.events import record
from boresight.web.annotation.quality import LABELS, pair_ratings
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import VotedTask, voted_tasks


def preference_pairs(voted: Iterable[VotedTask], *, only_complete: bool = False) -> Iterator[PreferencePair]:
    """The pairs of all tasks that somebody could judge, ties among them with p_chosen 0.5."""
    for task in voted:
        if task.complete or not only_complete:
            yield from pairs_of_votes(task.labelled)


def demonstrations(voted: Iterable[VotedTask]) -> Iterator[Demonstration]:
    for task in voted:
        yield from demonstrations_of_votes(task.labelled)


def export_pairs(
    store: Store,
    project_id: int,
    out: Path,
    *,
    to: str = "boresight",
    only_complete: bool = False,
    names: bool = False,
    by: int | None = None,
) -> int:
    """Write the pairs in a form of `data.written_forms`, in the container that the file's name tells; how many.

    Raises DataError where there are none, or the form does not go with the file.
    """
    pairs = list(preference_pairs(voted_tasks(store, project_id, names=names), only_complete=only_complete))
    return _write(store, project_id, out, pairs, _target(PAIR_TARGETS, to, out), "pairs", by)


def export_demonstrations(
    store: Store, project_id: int, out: Path, *, to: str = "boresight", names: bool = False, by: int | None = None
) -> int:
    """Write edited answers as demonstrations, in a form of `data.written_forms`; how many."""
    found = list(demonstrations(voted_tasks(store, project_id, names=names)))
    return _write(store, project_id, out, found, _target(DEMONSTRATION_TARGETS, to, out), "demonstrations", by)


def export_votes(store: Store, project_id: int, out: Path, *, names: bool = False, by: int | None = None) -> int:
    """Every vote that counts, one a row, by the responses as they are listed in the task; how many."""
    rows = [
        {"task": task.labelled.id, "responses": len(task.labelled.responses), **_flat(asdict(vote))}
        for task in voted_tasks(store, project_id, names=names)
        for vote in task.labelled.votes
    ]
    return _write(store, project_id, out, rows, Target(lambda row: [row], lambda read: read[0]), "votes", by)


def export_ratings(store: Store, project_id: int, out: Path, *, by: int | None = None) -> int:
    """Labels as `label agreement` and other programs read them: a row for each pair of responses that was rated, a
    column for each rater (`rater_3`), with "1", "2", "tie" or nothing; how many rows."""
    voted = voted_tasks(store, project_id)
    rated = pair_ratings(voted)
    columns = [f"rater_{name.removeprefix('person-')}" for name in rated.annotators]
    rows: list[Row] = []
    for number, labels in enumerate(rated.labels):
        texts = ["" if label != label else LABELS[int(label)] for label in labels]
        identity = {"id": str(number), "task": voted[int(rated.task[number])].labelled.id}
        rows.append(identity | dict(zip(columns, texts, strict=True)))
    return _write(store, project_id, out, rows, Target(lambda row: [row], lambda read: read[0]), "ratings", by)


def _write(
    store: Store, project_id: int, out: Path, items: list[Any], target: Target[Any], what: str, by: int | None
) -> int:
    if not items:
        raise DataError(f"{out}: there are no {what} to write: nobody has labelled anything that would make one yet.")
    write_rows(out, (row for item in items for row in target.write(item)))
    record(store, "exported", person_id=by, project_id=project_id, body={"what": what, "count": len(items)})
    return len(items)


def _target(targets: Any, to: str, out: Path) -> Target[Any]:
    if to not in targets:
        raise DataError(
            f"{to!r} is no form that these are written in; expected one of {', '.join(targets)}. Choose one of these."
        )
    target: Target[Any] = targets[to]
    if (container_of(out) in ("csv", "tsv")) != target.tabular:
        endings = ".csv or .tsv" if target.tabular else ".jsonl, .json or .parquet"
        raise DataError(f"{out}: the form {to!r} is written to a file that ends in {endings} (and .gz). Rename it.")
    return target


def _flat(vote: dict[str, Any]) -> dict[str, Any]:
    """A vote as JSON keeps it: objects have texts for keys."""
    edited = vote.pop("edited")
    flags = {str(number): list(marks) for number, marks in vote.pop("flags").items()}
    return {**vote, "flags": flags, "edited": edited and {"response": edited[0], "text": edited[1]}}
