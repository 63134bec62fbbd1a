"""Exports of annotation programs: Label Studio's pairwise tasks; Argilla's records with rankings, ratings or labels.

Each annotator's answer is a vote; a pair's p_chosen is the share of the votes, and its annotators are named.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from boresight.data.forms import Form, Row, items_of, list_at, mapping_of, text_at
from boresight.data.pair_rows import PairRow, id_cell, prompt_messages
from boresight.data.rankings import number_of
from boresight.data.votes import ranked_pairs, voted_pair, votes_of_scores
from boresight.errors import DataError

ANSWERS = ".responses"
PROMPT_NAMES = ("prompt", "instruction", "question", "context", "input", "query", "source")
RESPONSE_NAME = re.compile(
    r"(?:response|reply|completion|answer|generation|output|text|txt|option|candidate|summary|model)s?(\d+|[ab])"
)
SIDES = {"left": 1.0, "right": 0.0}
TIES = {"tie", "both", "equal", "neither", "none", "same"}


def _plain(name: str) -> str:
    """One spelling for names that programs write as response_1, response-1 or Response 1."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def prompt_and_responses(data: Mapping[str, Any], where: str, named: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """The names of the prompt's field and of those of the responses: in the order `named`, if those are fields or have
    their numbers (a tag txt-2 shows the field text2), otherwise in the order of their numbers.

    Raises DataError where `named` and the fields do not go together, or there is no prompt or only one response.
    """
    texts = [name for name, value in data.items() if isinstance(value, str)]
    responses = sorted((name for name in texts if RESPONSE_NAME.fullmatch(_plain(name))), key=_number)
    if named and set(named) <= set(texts):
        responses = list(named)
    elif named:
        by_number = {_number(name): name for name in responses}
        if {_number(name) for name in named} != by_number.keys():
            raise DataError(
                f"{where}: it was chosen among {', '.join(named)}, but the fields are {', '.join(data)}; expected the "
                "same names or numbers, to tell left from right. Rename the fields in the export."
            )
        responses = [by_number[_number(name)] for name in named]
    prompt = next((name for usual in PROMPT_NAMES for name in data if _plain(name) == usual), None)
    if len(responses) < 2 or prompt is None:
        raise DataError(
            f"{where}: found the fields {', '.join(data) or '(none)'}; expected a prompt ({', '.join(PROMPT_NAMES)}) "
            "and two or more responses (response_1, response_2, …). Rename the fields in the export."
        )
    return prompt, responses


def _number(name: str) -> tuple[int, str]:
    match = RESPONSE_NAME.fullmatch(_plain(name))
    number = match[1] if match else ""
    return (int(number), "") if number.isdigit() else (0, number)


def _label_studio(row: Row, where: str, default_id: str) -> list[PairRow]:
    """A task with its annotations; those that were cancelled are no votes."""
    data = mapping_of(row.get("data"), f'{where}: "data"')
    votes: list[float] = []
    judges: list[str] = []
    named: tuple[str, ...] = ()
    questions: dict[str, None] = {}
    for number, item in enumerate(list_at(row, "annotations", where), start=1):
        annotation = mapping_of(item, f'{where}: "annotations", item {number}')
        if annotation.get("was_cancelled"):
            continue
        for result in items_of(annotation.get("result"), f'{where}: "result"'):
            side = _side(result.get("value")) if isinstance(result, dict) and result.get("type") == "pairwise" else None
            if side is not None:
                votes.append(side)
                questions.setdefault(str(result.get("from_name")))
                judges.append(_annotator(annotation.get("completed_by"), number))
                named = tuple(name.strip() for name in str(result.get("to_name") or "").split(",") if name.strip())
    if len(questions) > 1:
        raise DataError(
            f"{where}: {' and '.join(map(repr, questions))} both compare the responses; expected one question, since "
            "two cannot be made one preference. Export the question that decides."
        )
    return _pairwise(data, where, id_cell(row, "id", where, default_id), votes, judges, named)


def _label_studio_min(row: Row, where: str, default_id: str) -> list[PairRow]:
    """One annotation of a task, its answer in a column of its own."""
    votes = [side for value in row.values() if (side := _side(value)) is not None]
    judges = [_annotator(row.get("annotator"), 1)]
    return _pairwise(row, where, id_cell(row, "annotation_id", where, default_id), votes[:1], judges, ())


def _pairwise(
    data: Mapping[str, Any], where: str, record_id: str, votes: list[float], judges: list[str], named: tuple[str, ...]
) -> list[PairRow]:
    if not votes:
        return []
    prompt, responses = prompt_and_responses(data, where, named)
    if len(responses) != 2:
        raise DataError(
            f"{where}: found the responses {', '.join(responses)}; a comparison of left and right has two."
            " Export two, or a ranking."
        )
    first, second = (str(data[name]) for name in responses)
    question = prompt_messages(data[prompt], f'{where}: "{prompt}"')
    made = voted_pair(record_id, question, first, second, votes, source="human")
    return [PairRow(replace(made.pair, annotators=tuple(judges)))]


def _side(value: Any) -> float | None:
    """The vote in "left", {"selected": "left"} or a list of one of these."""
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if isinstance(value, dict):
        value = value.get("selected")
    return SIDES.get(value) if isinstance(value, str) else None


def _annotator(value: Any, number: int) -> str:
    if isinstance(value, dict):
        value = value.get("email") or value.get("id")
    return str(value) if value not in (None, "") else f"annotator {number}"


def _argilla(row: Row, where: str, default_id: str) -> list[PairRow]:
    """A record with the answers to its questions; discarded ones and drafts are no votes."""
    fields = mapping_of(row.get("fields"), f'{where}: "fields"')
    prompt, names = prompt_and_responses(fields, where)
    numbers = {_plain(name): number for number, name in enumerate(names)}
    by_user: dict[str, dict[int, float]] = {}
    for question, user, value in _answers(row.get("responses"), where):
        scores = by_user.setdefault(user, {})
        found = _scores(question, value, numbers, where)
        if found.keys() & scores.keys():
            raise DataError(
                f'{where}: "{question}" and another question both compare the responses; expected one, since two '
                "cannot be made one preference. Export the question that decides."
            )
        scores.update(found)
    judged = {user: scores for user, scores in by_user.items() if len(scores) > 1}
    made = ranked_pairs(
        id_cell(row, "id", where, default_id),
        prompt_messages(fields[prompt], f'{where}: "{prompt}"'),
        [text_at(fields, name, where) for name in names],
        votes_of_scores(list(judged.values())),
        source="human",
    )
    return [PairRow(replace(item.pair, annotators=tuple(judged))) for item in made]


def _unflattened(row: Row) -> Row:
    """A record of Argilla's data sets (`to_datasets`), whose answers stand in columns named after their questions."""
    questions = [key.removesuffix(ANSWERS) for key in row if key.endswith(ANSWERS)]
    responses = {}
    for question in questions:
        columns = [row.get(f"{question}{ANSWERS}{more}") or [] for more in ("", ".users", ".status")]
        given = [items_of(column, f'"{question}{ANSWERS}"') for column in columns]
        responses[question] = [
            {"value": value, "user_id": user, "status": status}
            for value, user, status in zip_longest(given[0], given[1], given[2])
        ]
    own = {"id", "status", "_server_id"}
    fields = {key: value for key, value in row.items() if key not in own and "." not in key and isinstance(value, str)}
    return {"id": row.get("id"), "fields": fields, "responses": responses}


def _argilla_columns(row: Row, where: str, default_id: str) -> list[PairRow]:
    return _argilla(_unflattened(row), where, default_id)


def _answers(responses: Any, where: str) -> list[tuple[str, str, Any]]:
    """Question, user and value of every submitted answer, as Argilla 2 and Argilla 1 write them."""
    answers = []
    place = f'{where}: "responses"'
    if isinstance(responses, dict):
        for question, given in responses.items():
            for number, item in enumerate(items_of(given, f'{place}, "{question}"'), start=1):
                answer = mapping_of(item, f'{place}, "{question}"')
                if answer.get("status", "submitted") in ("submitted", None):
                    answers.append((question, _annotator(answer.get("user_id"), number), answer.get("value")))
        return answers
    for number, item in enumerate(items_of(responses, place), start=1):
        response = mapping_of(item, f"{place}, item {number}")
        if response.get("status", "submitted") == "submitted":
            for question, answer in mapping_of(response.get("values") or {}, f"{place}, item {number}").items():
                value = answer.get("value") if isinstance(answer, dict) else answer
                answers.append((question, _annotator(response.get("user_id"), number), value))
    return answers


def _scores(question: str, value: Any, numbers: Mapping[str, int], where: str) -> dict[int, float]:
    """What an answer says of the responses, by their numbers; nothing where it is about something else (a comment)."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "rank" in item for item in value):
        ranks = {numbers.get(_plain(str(item.get("value")))): item["rank"] for item in value}
        if None in ranks:
            raise DataError(
                f'{where}: "{question}" ranks {value}, which are not names of the responses\' fields.'
                " Export the ranking by the names of these fields."
            )
        return {
            number: -number_of(rank, f'{where}: "{question}"') for number, rank in ranks.items() if number is not None
        }
    if isinstance(value, str) and _plain(value) in numbers:
        if len(numbers) > 2:
            raise DataError(
                f'{where}: "{question}" names the best of {len(numbers)} responses, which does not tell how the others '
                "compare. Expected a ranking, ratings, or a label for two responses."
                " Export one of these."
            )
        return {number: float(number == numbers[_plain(value)]) for number in numbers.values()}
    if isinstance(value, str) and _plain(value) in TIES:
        return dict.fromkeys(numbers.values(), 0.0)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        given = number_of(value, f'{where}: "{question}"')
        return {number: given for name, number in numbers.items() if _about(question, name)}
    return {}


def _about(question: str, response: str) -> bool:
    """Whether a question's name holds that of a response: response1rating is not about response10."""
    return re.search(rf"{response}(?!\d)", _plain(question)) is not None


def _is_task(row: Row) -> bool:
    return isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list)


def _is_answer(row: Row) -> bool:
    return "annotation_id" in row and any(_side(value) is not None for value in row.values())


def _is_argilla(row: Row) -> bool:
    return isinstance(row.get("fields"), dict) and "responses" in row


def _is_read(name: str) -> bool:
    """Whether a column of a flat export holds the prompt, a response or answers."""
    answers = name.endswith((ANSWERS, f"{ANSWERS}.users", f"{ANSWERS}.status"))
    return answers or _plain(name) in PROMPT_NAMES or RESPONSE_NAME.fullmatch(_plain(name)) is not None


def _is_argilla_columns(row: Row) -> bool:
    return any(key.endswith(ANSWERS) and f"{key}.users" in row for key in row)


FORMS = (
    Form("label_studio", "pairs", frozenset({"id", "data", "annotations"}), _is_task, _label_studio),
    Form(
        "label_studio_min", "pairs", frozenset({"annotation_id", "annotator"}), _is_answer, _label_studio_min, _is_read
    ),
    Form("argilla", "pairs", frozenset({"id", "fields", "responses"}), _is_argilla, _argilla),
    Form("argilla_columns", "pairs", frozenset({"id", "status"}), _is_argilla_columns, _argilla_columns, _is_read),
)  # fmt: skip
