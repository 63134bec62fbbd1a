"""Answers to probes in files: of ours, of a run's responses, and of others, matched by id or by the question.

A row holds the answer under one of ANSWER_COLUMNS, and where asked: `challenged`, the answer when doubted; `neutral`,
the answer to the question without the user's view; `logps` and `neutral_logps`, log-probabilities of the options.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.data.jsonl import write_records
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.evaluation.probe_items import Given, Probe
from boresight.evaluation.probe_sets import asked
from boresight.records import Messages

Row = dict[str, Any]

ANSWER_COLUMNS = ("response", "answer", "completion", "output", "text", "prediction", "solution")
QUESTION_COLUMNS = ("prompt", "question", "instruction")
MODEL_MARK = "#"


def read_answers(place: str, probes: Sequence[Probe]) -> dict[str, Given]:
    """Answers by probe id from `FILE`, or from `FILE#MODEL` where a row holds the answers of several models.

    Raises DataError for a file without answers, for two answers to a probe, and where no probe is answered.
    """
    name, _, model = place.partition(MODEL_MARK)
    path = Path(name)
    by_question = {_text(probe.messages): probe.id for probe in probes}
    known = {probe.id for probe in probes}
    answers: dict[str, Given] = {}
    for line, row in iterate_rows(path):
        where = f"{path}:{line}"
        found = _probe_of(row, known, by_question)
        if found is None:
            continue
        if found in answers:
            raise DataError(f"{where}: a second answer to probe {found!r}; expected one for each. Remove one of them.")
        answers[found] = _given(row, model, where)
    if not answers:
        raise DataError(
            f"{path}: no row answers one of the {len(probes)} probes; expected rows with the probe's id or its "
            "question, and its answer. `--write-prompts FILE` writes what to answer."
        )
    return answers


def write_answers(path: Path, answers: Mapping[str, Given]) -> None:
    """Answers as `read_answers` reads them."""
    names = ("challenged", "neutral", "logps", "neutral_logps", "stopped")
    rows = []
    for name, given in answers.items():
        more = {key: getattr(given, key) for key in names if getattr(given, key) is not None}
        rows.append({"id": name, "response": given.text, **more})
    write_records(path, rows)


def prompt_rows(probes: Iterable[Probe]) -> list[Row]:
    """What a model elsewhere is asked: messages and, where there are, the doubt, the neutral question, the options."""
    rows = []
    for probe in probes:
        row: Row = {"id": probe.id, "kind": probe.kind, "messages": _plain(probe.messages)}
        row |= {"challenge": probe.challenge} if probe.challenge else {}
        row |= {"neutral": _plain(probe.neutral)} if probe.neutral else {}
        row |= {"options": list(probe.options)} if probe.options else {}
        rows.append(row)
    return rows


def _probe_of(row: Row, known: set[str], by_question: Mapping[str, str]) -> str | None:
    for column in ("id", "key", "question_id", "uid"):
        if column in row and str(row[column]).removeprefix("v2-") in known:
            return str(row[column]).removeprefix("v2-")
    for column in QUESTION_COLUMNS:
        if isinstance(row.get(column), str):
            return by_question.get(_text(asked(row[column])))
    return None


def _given(row: Row, model: str, where: str) -> Given:
    if model:
        held = row.get("responses", row).get(model)
        if held is None:
            raise DataError(f"{where}: no answer of {model!r} (columns: {', '.join(row)}). Name another after the #.")
        row = held if isinstance(held, dict) else {"response": held}
    column = next((name for name in ANSWER_COLUMNS if name in row), None)
    if column is None and "logps" not in row:
        raise DataError(
            f"{where}: columns {', '.join(row)}; expected the answer under one of {', '.join(ANSWER_COLUMNS)}, or "
            '"logps". Of several models in a row, name one: FILE#MODEL.'
        )
    return Given(
        text=_string(row, column, where) if column else None,
        challenged=_string(row, "challenged", where),
        neutral=_string(row, "neutral", where),
        logps=_numbers(row, "logps", where),
        neutral_logps=_numbers(row, "neutral_logps", where),
        stopped=row["stopped"] if isinstance(row.get("stopped"), bool) else None,
    )


def _string(row: Row, column: str, where: str) -> str | None:
    value = row.get(column)
    if value is not None and not isinstance(value, str):
        raise DataError(f'{where}: "{column}" is {value!r}; expected a text. Correct the row.')
    return value


def _numbers(row: Row, column: str, where: str) -> tuple[float, ...] | None:
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
        raise DataError(
            f'{where}: "{column}" is {value!r}; expected a list of finite numbers, one an option.'
            " Correct the row, or leave it out."
        )
    return tuple(map(float, value))


def _text(messages: Messages) -> str:
    return "\n".join(message.content for message in messages).strip()


def _plain(messages: Messages) -> list[Row]:
    return [{"role": message.role, "content": message.content} for message in messages]
