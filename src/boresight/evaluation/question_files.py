"""Questions that verdicts name by id alone: MT-bench's and Arena-Hard's question files, for categories and texts."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from boresight.data.tables import iterate_rows
from boresight.errors import DataError

IDS = ("question_id", "uid", "prompt_id", "id")


class Question(NamedTuple):
    """A question of a benchmark: its category, and its turns where they are told."""

    category: str
    text: str


def read_questions(path: Path) -> Mapping[str, Question]:
    """By id; the text is the first turn. Arena-Hard's category names its version, so that its cluster is taken.

    Raises DataError for rows without an id or without a text.
    """
    questions = {}
    for line, row in iterate_rows(path):
        name = next((str(row[column]) for column in IDS if column in row), None)
        turns = row.get("turns")
        text = turns[0] if isinstance(turns, list) and turns else row.get("prompt", row.get("question"))
        if name is None or not isinstance(text, str):
            raise DataError(
                f"{path}:{line}: columns {', '.join(row)}; expected an id ({', '.join(IDS)}) and turns, prompt or "
                "question. Correct the row."
            )
        questions[name] = Question(str(row.get("cluster", row.get("category", ""))), text)
    return questions
