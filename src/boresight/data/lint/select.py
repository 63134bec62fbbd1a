"""The rows that findings point at, to be left out or looked at alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches

from boresight.data.lint.catalogue import CATALOGUE
from boresight.data.lint.run import Lint, lint
from boresight.errors import DataError
from boresight.records import PreferencePair, Prompt

OF_THE_SET = frozenset(
    {"near_duplicates_not_searched", "uncovered_prompts", "prompt_kinds", "no_small_talk", "no_multi_turn"}
)
"""Findings about the data as a whole, which no single row is to blame for."""


def rows_of_findings(
    pairs: Iterable[PreferencePair], finding_ids: Collection[str], evaluation: Sequence[Prompt] = ()
) -> Mapping[int, str]:
    """Position -> the first of these findings that points at it. Raises DataError for an id that the lint does not
    have, and for one that is about the whole set."""
    return _pointed_at(_lint(pairs, finding_ids, evaluation), finding_ids)


def rows_outside_findings(
    pairs: Iterable[PreferencePair], finding_ids: Collection[str], evaluation: Sequence[Prompt] = ()
) -> list[int]:
    """Positions that none of these findings points at. Raises DataError as `rows_of_findings` does."""
    done = _lint(pairs, finding_ids, evaluation)
    inside = _pointed_at(done, finding_ids)
    return [position for position in range(len(done.ids)) if position not in inside]


def _lint(pairs: Iterable[PreferencePair], finding_ids: Collection[str], evaluation: Sequence[Prompt]) -> Lint:
    for finding_id in finding_ids:
        _check_id(finding_id, bool(evaluation))
    return lint({"data": pairs}, evaluation=evaluation)


def _pointed_at(done: Lint, finding_ids: Collection[str]) -> dict[int, str]:
    rows: dict[int, str] = {}
    for finding_id in finding_ids:
        if finding := done.finding(finding_id):
            for position in finding.rows:
                rows.setdefault(position, finding_id)
    return rows


def _check_id(finding_id: str, evaluated: bool) -> None:
    if finding_id not in CATALOGUE:
        near = get_close_matches(finding_id, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known ids: {', '.join(CATALOGUE)}."
        raise DataError(f"the lint has no finding {finding_id!r}; {hint}")
    if finding_id in OF_THE_SET:
        raise DataError(f"the finding {finding_id!r} is about the data as a whole; expected one that points at rows.")
    if finding_id == "contamination" and not evaluated:
        raise DataError("the finding 'contamination' needs the evaluation prompts; name their file with --eval.")
