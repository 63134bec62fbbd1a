"""Tasks from files: task rows of our own, response records of a `sample` stage, preference pairs of any form that is
read, tables with a column for each response, and exports of Label Studio and Argilla.

What was answered in another program is not taken along; a known answer (`gold`) and an AI's (`suggestion`) are.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.data.annotation_exports import prompt_and_responses
from boresight.data.forms import list_at, mapping_of, text_at
from boresight.data.jsonl import from_record
from boresight.data.pair_rows import holds_pairs, id_cell, prompt_messages, refuse_misspelt, text_cell
from boresight.data.pair_stream import stream_pairs
from boresight.data.sources import RowIds
from boresight.data.tables import Row, iterate_rows
from boresight.errors import DataError
from boresight.feedback.ai_labels import choose_couples
from boresight.records import PreferencePair, Response
from boresight.web.annotation.answers import known_answer
from boresight.web.annotation.projects import MOST_RESPONSES, NewTask
from boresight.web.annotation.refused import RefusedError

RESPONSES = "responses.jsonl"  # in the folder of a `sample` stage
OWN_KEYS = (
    "id", "prompt", "responses", "models", "purpose", "gold", "explanation", "suggestion", "suggested_by", "skills",
    "priority", "urgency", "overlap", "kind", "meta",
)  # fmt: skip
UNDECIDED = "orders_disagree"
"""The reason that `judge label --route` gives for a couple whose verdict turned with the order: as urgent as can be."""


def read_tasks(path: Path, *, pairs_only: bool = False, seed: int = 0) -> list[NewTask]:
    """The tasks of a file, or of the folder of a `sample` stage. Sampled responses to one prompt make one ranking, or,
    with `pairs_only`, a couple drawn by the seed. Raises DataError, naming file and line, for what makes no task."""
    if path.is_dir() and (path / RESPONSES).exists():
        path = path / RESPONSES
    rows = list(iterate_rows(path))
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected at least one task. Give a file with rows.")
    first = rows[0][1]
    if isinstance(first.get("prompt"), dict) and "text" in first:
        return _sampled(path, rows, pairs_only, seed)
    if holds_pairs(first) and "responses" not in first:
        return [_of_pair(item.pair) for _, item in stream_pairs(path, keep_rest=True)]
    if "responses" in first:
        refuse_misspelt(path, first, OWN_KEYS)
    tasks = []
    line_of: dict[str, int] = {}
    ids = RowIds(path)
    for line, row in rows:
        task = _task(row, f"{path}:{line}", ids.next(line))
        if task.key in line_of:
            raise DataError(
                f"{path}:{line}: the id {task.key!r} is that of line {line_of[task.key]} too; ids differ."
                " Give one of the two another id."
            )
        line_of[task.key] = line
        tasks.append(task)
    return tasks


def _task(row: Row, where: str, default_id: str) -> NewTask:
    """A row that holds a whole task, whichever program wrote it."""
    try:
        if "responses" in row and "prompt" in row:
            return _own(row, where, default_id)
        for name in ("data", "fields"):  # Label Studio's and Argilla's
            if isinstance(row.get(name), dict):
                return _by_names(row[name], f'{where}: "{name}"', id_cell(row, "id", where, default_id))
        return _by_names(row, where, id_cell(row, "id", where, default_id))
    except RefusedError as error:
        raise DataError(f"{where}: {error}") from error


def _own(row: Row, where: str, default_id: str) -> NewTask:
    responses = list(_responses(row, where))
    count = len(responses)
    gold = row.get("gold")
    purpose: Any = row.get("purpose") or ("label" if gold is None else "gold")
    if purpose not in ("label", "gold", "training"):
        raise DataError(
            f'{where}: "purpose" is {purpose!r}; expected label, gold or training. Correct the row, or leave it out.'
        )
    suggestion = row.get("suggestion")
    source = {"source": text_at(row, "suggested_by", where)} if row.get("suggested_by") else {}
    urgency = row.get("urgency", 1.0 if row.get("reason") == UNDECIDED else 0.0)
    rest = {key: value for key, value in row.items() if key not in OWN_KEYS and value not in (None, "")}
    kind = {"kind": text_cell(row, "kind", where)} if row.get("kind") else {}
    return NewTask(
        key=id_cell(row, "id", where, default_id),
        prompt=prompt_messages(row["prompt"], f'{where}: "prompt"'),
        responses=responses,
        purpose=purpose,
        gold=None if gold is None else known_answer(gold, count),
        explanation=text_cell(row, "explanation", where),
        suggestion=None if suggestion is None else known_answer(suggestion, count) | source,
        skills=[str(skill) for skill in row.get("skills") or ()],
        priority=_whole(row, "priority", where) or 0,
        urgency=_share(urgency, where),
        overlap=_whole(row, "overlap", where),
        meta={**rest, **kind, **mapping_of(row.get("meta") or {}, f'{where}: "meta"')},
    )


def _responses(row: Row, where: str) -> Iterator[dict[str, str]]:
    """Texts, or objects with `text` and perhaps `model` and `id`; models may stand in a list of their own."""
    items = list_at(row, "responses", where)
    models = row.get("models") or [None] * len(items)
    if len(models) != len(items):
        raise DataError(
            f'{where}: "models" has {len(models)} values, "responses" {len(items)}; expected one for each.'
            " Correct the row, or leave it out."
        )
    for number, (item, model) in enumerate(zip(items, models, strict=True), start=1):
        place = f'{where}: "responses", item {number}'
        given = {"text": item} if isinstance(item, str) else mapping_of(item, place)
        named = {"model": model} if model else {}
        yield {"text": text_at(given, "text", place)} | {
            key: text_at({**named, **given}, key, place) for key in ("model", "id") if {**named, **given}.get(key)
        }


def _by_names(fields: Mapping[str, Any], where: str, key: str) -> NewTask:
    """A prompt and two or more responses in fields that are told by their names."""
    prompt, names = prompt_and_responses(fields, where)
    responses = [{"text": text_at(dict(fields), name, where)} for name in names]
    return NewTask(key=key, prompt=prompt_messages(fields[prompt], f'{where}: "{prompt}"'), responses=responses)


def _of_pair(pair: PreferencePair) -> NewTask:
    """A pair to label again. What an AI said of it becomes a suggestion, and how unsure it was the urgency."""
    sides = (pair.chosen, pair.rejected)
    models = [pair.meta.get("chosen_model"), pair.meta.get("rejected_model")]
    if any(len(side) != 1 for side in sides):
        raise DataError(f"pair {pair.id}: a response of more than one message cannot be labelled. Leave it out.")
    suggested = known_answer("tie" if pair.p_chosen == 0.5 else 1, 2) | {"source": pair.meta.get("judge", "ai")}
    return NewTask(
        key=pair.id,
        prompt=pair.prompt,
        responses=[
            {"text": side[0].content} | ({"model": model} if isinstance(model, str) else {})
            for side, model in zip(sides, models, strict=True)
        ],
        suggestion=suggested if pair.source == "ai" else None,
        urgency=1.0 - abs(2.0 * pair.p_chosen - 1.0),
        meta={**pair.meta, **({"kind": pair.kind} if pair.kind else {})},
    )


def _sampled(path: Path, rows: Sequence[tuple[int, Row]], pairs_only: bool, seed: int) -> list[NewTask]:
    """Response records, those of one prompt together; equal texts are shown once."""
    by_prompt: dict[str, list[Response]] = {}
    for line, row in rows:
        response = from_record(Response, row, f"{path}:{line}")
        by_prompt.setdefault(response.prompt.id, []).append(response)
    tasks = []
    for group in by_prompt.values():
        different: dict[str, Response] = {}
        for response in group:
            if response.text.strip():
                different.setdefault(response.text, response)
        shown = list(different.values())
        couples = choose_couples(shown, 1, seed=seed) if pairs_only else [tuple(shown)]
        tasks += [_of_responses(path, chosen) for chosen in couples if len(chosen) > 1]
    if not tasks:
        raise DataError(f"{path}: no prompt has two different responses to compare. Sample more of each prompt.")
    return tasks


def _of_responses(path: Path, responses: Sequence[Response]) -> NewTask:
    prompt = responses[0].prompt
    if len(responses) > MOST_RESPONSES:
        raise DataError(
            f"{path}: prompt {prompt.id} has {len(responses)} different responses; a person ranks at most "
            f"{MOST_RESPONSES}. Sample fewer, or ask for pairs."
        )
    return NewTask(
        key=prompt.id,
        prompt=prompt.messages,
        responses=[{"text": response.text, "model": response.model, "id": response.id} for response in responses],
        meta={"kind": prompt.kind} if prompt.kind else {},
    )


def _whole(row: Row, key: str, where: str) -> int | None:
    value = row.get(key)
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f'{where}: "{key}" is {value!r}; expected a whole number. Correct the row, or leave it out.')
    return value


def _share(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise DataError(
            f'{where}: "urgency" is {value!r}; expected a number from 0 to 1. Correct the row, or leave it out.'
        )
    return float(value)
