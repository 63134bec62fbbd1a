"""Judges' verdicts and people's labels as others published them, as couples that `judge calibrate` holds together.

LLMBar's results and JudgeBench's outputs hold a judge in both orders beside the right answer. PandaLM's test set holds
three annotators, and its judges' files, in one order, go by the same idx.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.data.alpaca import instruction_prompt
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.evaluation.rater_files import BothOrders, Rated, read_raters
from boresight.evaluation.rater_files import read_verdicts as read_rater_verdicts
from boresight.feedback.human_votes import HumanLabel
from boresight.feedback.judged_couples import JudgedCouple

Row = Mapping[str, Any]
Labelled = list[tuple[JudgedCouple, HumanLabel]]
TEXTS = (("output_1", "output_2"), ("response1", "response2"), ("response_A", "response_B"))
UNREADABLE = "unreadable"
P_A = {"0": 0.5, "1": 1.0, "2": 0.0}
"""Words of a verdict on two responses: how likely it makes the first the better one."""


def is_published(path: Path) -> bool:
    """Whether the file's first row is one of these forms, and not a judged couple of ours."""
    first = next(iter(iterate_rows(path)), (0, {}))[1]
    return "verdicts" not in first and any(pair[0] in first and pair[1] in first for pair in TEXTS)


def read_published(path: Path, verdicts: Path | None = None) -> Labelled:
    """Couples with people's labels. `verdicts`: the judge's, where the file holds none itself.

    Raises DataError for files of another form, and for labels that are no words on two responses.
    """
    rows = [row for _, row in iterate_rows(path)]
    read = read_raters(path)
    if isinstance(read, BothOrders):
        if verdicts is not None:
            raise DataError(f"{path}: holds a judge's verdicts in both orders itself; leave --verdicts out.")
        return list(_both_orders(rows, read))
    if verdicts is None:
        raise DataError(f"{path}: holds labels of people, and no judge. Give the judge's with --verdicts FILE.")
    return list(_one_order(path, rows, read, read_rater_verdicts(verdicts, read.ids)))


def _both_orders(rows: Sequence[Row], read: BothOrders) -> Iterator[tuple[JudgedCouple, HumanLabel]]:
    for number, (row, right, given, swapped) in enumerate(zip(rows, read.right, read.given, read.swapped, strict=True)):
        failure = UNREADABLE if given is None or swapped is None else ""
        p = [None if verdict is None else P_A[str(verdict)] for verdict in (given, swapped)]
        yield _couple(row, str(number), p[0], p[1], failure), HumanLabel(right == 1, right == 2)


def _one_order(
    path: Path, rows: Sequence[Row], read: Rated, verdicts: Sequence[str]
) -> Iterator[tuple[JudgedCouple, HumanLabel]]:
    for row, name, labels, verdict in zip(rows, read.ids, read.labels, verdicts, strict=True):
        votes = [label for label in labels if label is not None]
        if not votes or any(label not in P_A for label in votes):
            raise DataError(
                f"{path} (idx {name}): labels {labels}; expected of each rater 1 or 2, the better response, or 0."
                " Correct the item."
            )
        human = HumanLabel(*(float(votes.count(word)) for word in ("1", "2", "0")))
        given = P_A.get(verdict)
        yield _couple(row, name, given, None, "" if given is not None else UNREADABLE), human


def _couple(row: Row, name: str, given: float | None, swapped: float | None, failure: str) -> JudgedCouple:
    texts = next(([row[name] for name in pair] for pair in TEXTS if pair[0] in row and pair[1] in row), None)
    if texts is None or any(text is None or isinstance(text, (list, dict)) for text in texts):  # a number is a text
        named = ", or ".join(" and ".join(pair) for pair in TEXTS)
        raise DataError(f"row {name}: no two responses as texts; expected {named}. Correct the row.")
    asked = row if "instruction" in row else {"instruction": row.get("input", row.get("question", ""))}
    return JudgedCouple(
        id=name,
        prompt_id=name,
        prompt=instruction_prompt(dict(asked), f"row {name}"),
        a=str(texts[0]),
        b=str(texts[1]),
        given=given,
        swapped=swapped,
        failure=failure,
    )
