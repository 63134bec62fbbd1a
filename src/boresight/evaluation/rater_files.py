"""Files in which several raters, or one judge in both orders, labelled the same items.

Rater columns are told by their names (annotator1, annotation_2, rater_a) or given. A column of final labels is what
automatic labels (gpt4_label) are held against. LLMBar's and JudgeBench's files hold a judge's verdicts in both orders.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boresight.data.tables import iterate_rows
from boresight.errors import DataError

Row = dict[str, Any]
Numbered = tuple[int, Row]

RATER = re.compile(r"(?:annotator|annotation|rater|labeler|labeller)[ _-]?\w{1,3}", re.IGNORECASE)
FINAL = ("final_label", "gold", "gold_label")
AUTOMATIC = re.compile(r"\w+_label")
TIE_NAMES = {"Tie": "0", "tie": "0"}  # PandaLM's judges write the tie, its annotators 0
GROUP = "type"
UNSAFE = re.compile(r"contrast_")  # XSTest's types of unsafe prompts


@dataclass(frozen=True)
class Rated:
    """Labels (items, raters) as texts, None for missing; `final` and `automatic` are (items,), likewise, where there
    are any."""

    raters: tuple[str, ...]
    labels: Sequence[tuple[str | None, ...]]
    final: Sequence[str | None] = ()
    automatic: dict[str, Sequence[str | None]] = field(default_factory=dict)
    groups: Sequence[str] = ()
    ids: Sequence[str] = ()


@dataclass(frozen=True)
class BothOrders:
    """A judge's verdicts: 1 or 2 as the responses are listed, in both orders, 0 for a tie, None where unparsable."""

    right: Sequence[int]
    given: Sequence[int | None]
    swapped: Sequence[int | None]


def read_raters(path: Path, columns: Sequence[str] = ()) -> Rated | BothOrders:
    """The labels of a file; `columns` names the raters. Raises DataError for a file without at least two raters."""
    rows = list(iterate_rows(path))
    if not rows:
        raise DataError(
            f"{path}: the file holds no rows; expected labels of at least two raters. Give a file with rows."
        )
    first = rows[0][1]
    if not columns and first.keys() >= {"label", "results"}:
        return _both_orders(path, rows)
    if not columns and first.keys() >= {"label", "judgments"}:
        return _judge_bench(path, rows)
    raters = tuple(columns) or tuple(name for name in first if RATER.fullmatch(name))
    if len(raters) < 2:
        raise DataError(
            f"{path}: columns {', '.join(first) or 'none'}; expected at least two of raters (such as annotator1, "
            "annotator2), or a judge's results in both orders (label, results). Name them: --rater A --rater B."
        )
    labels = [tuple(_label(row, name, f"{path}:{line}") for name in raters) for line, row in rows]
    final = next((name for name in FINAL if name in first and name not in raters), None)
    automatic = [name for name in first if final and AUTOMATIC.fullmatch(name) and name not in (*raters, final)]
    return Rated(
        raters,
        labels,
        [_label(row, final, f"{path}:{line}") for line, row in rows] if final else (),
        {name: [_label(row, name, f"{path}:{line}") for line, row in rows] for name in automatic},
        [_group(row) for _, row in rows] if final and GROUP in first else (),
        [str(row.get("idx", row.get("id", line))) for line, row in rows],
    )


def read_verdicts(path: Path, ids: Sequence[str]) -> list[str]:
    """One judge's verdicts on the items of these ids, in their order: PandaLM's files (idx, NAME_result) and alike.
    Raises DataError where there is not one column of verdicts, or an item has none."""
    rows = list(iterate_rows(path))
    names = [name for name in rows[0][1] if name.endswith(("_result", "verdict"))] if rows else []
    if len(names) != 1:
        raise DataError(
            f'{path}: expected one column of verdicts, named "verdict" or ending in "_result".'
            " Rename that of the verdicts."
        )
    verdicts: dict[str, str] = {}
    for line, row in rows:
        value = str(_label(row, names[0], f"{path}:{line}"))
        verdicts[str(row.get("idx", row.get("id", line)))] = TIE_NAMES.get(value, value)
    missing = [item for item in ids if item not in verdicts]
    if missing:
        raise DataError(
            f"{path}: no verdict on {len(missing)} of {len(ids)} items (first: id {missing[0]!r}). Give the verdicts "
            "on these items."
        )
    return [verdicts[item] for item in ids]


def _label(row: Row, name: str, where: str) -> str | None:
    if name not in row:
        raise DataError(f'{where}: no column "{name}" (columns: {", ".join(row)}). Correct the row, or name another.')
    value = row[name]
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list)):
        raise DataError(
            f'{where}: "{name}" holds a list or an object; expected a label. Correct the row, or leave it out.'
        )
    return str(value)


def _group(row: Row) -> str:
    return "unsafe" if UNSAFE.match(str(row[GROUP])) else "safe"


def _both_orders(path: Path, rows: Sequence[Numbered]) -> BothOrders:
    """The last entry of `results` holds the verdicts; those before it are what the judge wrote on its way."""
    right: list[int] = []
    verdicts: dict[str, list[int | None]] = {"swap = False": [], "swap = True": []}
    for line, row in rows:
        last = row["results"][-1] if isinstance(row.get("results"), list) and row["results"] else None
        whole = isinstance(last, dict) and all(isinstance(last.get(order), dict) for order in verdicts)
        if row.get("label") not in (1, 2) or last is None or not whole:
            raise DataError(
                f'{path}:{line}: expected "label" 1 or 2 and "results" that end in {{"swap = False": …, '
                '"swap = True": …}}. Correct the row.'
            )
        right.append(row["label"])
        for order, seen in verdicts.items():
            winner = last[order].get("winner")
            seen.append(int(winner) if winner in ("1", "2") else None)
    return BothOrders(right, verdicts["swap = False"], verdicts["swap = True"])


DECISIONS = {"A>B": 1, "B>A": 2, "A=B": 0}


def _judge_bench(path: Path, rows: Sequence[Numbered]) -> BothOrders:
    """Two judgments a row, the second with A and B exchanged, so that its decision is turned back here."""
    right: list[int] = []
    given: list[int | None] = []
    swapped: list[int | None] = []
    for line, row in rows:
        judgments = row.get("judgments")
        whole = isinstance(judgments, list) and len(judgments) == 2
        whole = whole and all(one is None or isinstance(one, dict) for one in judgments or ())
        if row.get("label") not in ("A>B", "B>A") or judgments is None or not whole:
            raise DataError(
                f'{path}:{line}: expected "label" A>B or B>A and two "judgments", one for each order. Correct the row, '
                "or judge in both orders."
            )
        first, second = (DECISIONS.get(str((one or {}).get("decision"))) for one in judgments)
        right.append(DECISIONS[row["label"]])
        given.append(first)
        swapped.append(3 - second if second else second)
    return BothOrders(right, given, swapped)
