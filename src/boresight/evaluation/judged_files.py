"""Files of verdicts on two answers, made by us or by others, read as units: one value a prompt.

Read are AlpacaEval's annotations, our own comparisons.jsonl (with the answers in the responses.jsonl beside it), and
battles with named models: MT-bench's pairwise judgments, Arena-Hard's games, arena battles. A unit is what is
independent: all verdicts on one prompt, in both orders and over all turns, make one value.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from boresight.data.judged_rows import ALPACA_EVAL
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.evaluation.battles import BATTLES, Battle
from boresight.evaluation.win_rate import judged_prompts

Row = dict[str, Any]
Numbered = tuple[int, Row]


class Unit(NamedTuple):
    """One prompt. `value`: mean verdict for the candidate, 1 it won; `outcome`: 1, 0 or 0.5 where neither did."""

    key: str
    kind: str
    value: float
    outcome: float
    response: str | None = None
    baseline_response: str | None = None


class Contest(NamedTuple):
    """Who met whom on which prompt: 1 the first won, 0 the second, 0.5 a tie."""

    first: str
    second: str
    verdict: float
    prompt: str


@dataclass(frozen=True)
class Judged:
    """A candidate against a baseline. `responses` are all its answers, those without a readable verdict too.

    `contests` are for ratings; where everyone meets everyone each stands with one of its two models. `prompts` are
    the texts of the units' prompts by key, as far as the file tells them.
    """

    candidate: str
    baseline: str
    units: Sequence[Unit]
    responses: Sequence[str]
    unreadable: int
    judge: str = ""
    contests: Sequence[Contest] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)


def read_judged(path: Path, *, baseline: str | None = None) -> list[Judged]:
    """The candidates of a file, in the order of their first appearance; `baseline` names whom battles are held against.

    Raises DataError for a file that cannot be read, holds no verdicts, or has a form that is not known.
    """
    rows = list(iterate_rows(path))
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected verdicts on two answers. Give a file with rows.")
    found = rows[0][1].keys()
    if found >= {"instruction", "output_1", "output_2", "preference"}:
        judged = [_alpaca_eval(path, rows)]
    elif found >= {"prompt_id", "candidate", "order", "verdict"}:
        judged = _comparisons(path, rows)
    else:
        judged = _battles(path, rows, baseline)
    for one in judged:
        if len(one.units) < 2:
            raise DataError(
                f"{path}: {one.candidate!r} has {len(one.units)} judged prompts and {one.unreadable} verdicts that "
                "are empty or cannot be read; expected at least 2 judged prompts. Judge more."
            )
    return judged


def _alpaca_eval(path: Path, rows: Iterable[Numbered]) -> Judged:
    """`preference` is 1 plus the probability that output_2, the candidate's, is better; 0 is a tie, null no verdict."""
    units, responses, unreadable = [], [], 0
    candidates: dict[tuple[str, str], int] = {}
    for line, row in rows:
        where = f"{path}:{line}"
        texts = [row.get(key) for key in ("instruction", "output_1", "output_2")]
        if not all(isinstance(text, str) for text in texts) or "preference" not in row:
            raise DataError(
                f'{where}: "instruction", "output_1" and "output_2" must be texts, and "preference" be there, if only '
                "as null. Correct the row."
            )
        instruction, theirs, own = map(str, texts)
        names = str(row.get("generator_2") or path.name.split(".")[0]), str(row.get("generator_1") or "baseline")
        candidates.setdefault(names, line)
        responses.append(own)
        if row["preference"] is None:
            unreadable += 1
            continue
        vote = ALPACA_EVAL.vote(row["preference"])
        if vote is None:
            raise DataError(
                f'{where}: "preference" is {row["preference"]!r}; expected a number from 1 (output_1 is better) to 2 '
                "(output_2 is), 0 for a tie, or null. Correct the row."
            )
        number = float(row["preference"])
        value = number - 1 if number else 0.5  # not 1 - vote, which would round twice
        units.append(Unit(instruction, str(row.get("dataset") or ""), value, _outcome(value), own, theirs))
    if len(candidates) > 1:
        (first, _), (second, line) = list(candidates.items())[:2]
        raise DataError(
            f"{path}:{line}: {second[0]!r} against {second[1]!r}, but the rows before compare {first[0]!r} with "
            f"{first[1]!r}; expected one comparison in a file of annotations. Give each a file of its own."
        )
    (candidate, baseline), _ = candidates.popitem()
    _refuse_repeats(path, units)
    judge = str(row.get("annotator") or "")
    contests, prompts = _contests(candidate, baseline, units), {unit.key: unit.key for unit in units}
    return Judged(candidate, baseline, units, responses, unreadable, judge, contests, prompts)


def _refuse_repeats(path: Path, units: Sequence[Unit]) -> None:
    keys = [unit.key for unit in units]
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise DataError(
            f"{path}: the instruction {twice[:60]!r} was judged twice; expected one row for each. Remove one of them."
        )


def _comparisons(path: Path, rows: Sequence[Numbered]) -> list[Judged]:
    """Rows of an evaluate stage, two orders a prompt."""
    by_candidate: dict[str, list[Row]] = defaultdict(list)
    for line, row in rows:
        missing = [key for key in ("prompt_id", "candidate", "order", "verdict") if key not in row]
        if missing:
            raise DataError(f"{path}:{line}: no {', '.join(missing)} in this comparison. Correct the row.")
        by_candidate[str(row["candidate"])].append({"kind": "", **row})
    beside = path.with_name("responses.jsonl")
    answers, prompts = _answers(beside) if beside.is_file() else ({}, {})
    judged = []
    for candidate, own in by_candidate.items():
        others = {name for given in answers.values() for name in given} - set(by_candidate)
        baseline = others.pop() if len(others) == 1 else "baseline"
        units = []
        for prompt in judged_prompts(own):
            both = (prompt.candidate_first, prompt.baseline_first)
            texts = [answers.get(prompt.prompt_id, {}).get(name, {}).get("text") for name in (candidate, baseline)]
            outcome = both[0] if both[0] == both[1] else 0.5  # orders that disagree are a tie (arXiv:2306.05685)
            units.append(Unit(prompt.prompt_id, prompt.kind, sum(both) / 2, outcome, *texts))
        responses = [unit.response for unit in units if unit.response is not None]
        contests = _contests(candidate, baseline, units)
        judged.append(Judged(candidate, baseline, units, responses, 0, contests=contests, prompts=prompts))
    return judged


def _answers(path: Path) -> tuple[dict[str, dict[str, Row]], dict[str, str]]:
    """Of each prompt what each model answered, and its last message, from the responses.jsonl of an evaluate stage."""
    answers, prompts = {}, {}
    for line, row in iterate_rows(path):
        given = row.get("responses")
        if (
            "prompt_id" not in row
            or not isinstance(given, dict)
            or not all(isinstance(a, dict) for a in given.values())
        ):
            raise DataError(
                f'{path}:{line}: expected "prompt_id", and "responses" with an object for each model. Correct the row, '
                "or move this file away; win rates then come without lengths."
            )
        answers[row["prompt_id"]] = given
        if isinstance(row.get("prompt"), list) and row["prompt"]:
            prompts[row["prompt_id"]] = str(row["prompt"][-1].get("content", ""))
    return answers, prompts


def _contests(candidate: str, baseline: str, units: Iterable[Unit]) -> list[Contest]:
    return [Contest(candidate, baseline, unit.outcome, unit.key) for unit in units]


def _battles(path: Path, rows: Sequence[Numbered], baseline: str | None) -> list[Judged]:
    needed, read = _battle_reader(path, rows[0][1])
    battles, unreadable = [], 0
    for line, row in rows:
        missing = [key for key in needed if key not in row]
        if missing:
            raise DataError(f"{path}:{line}: no {', '.join(missing)} in this row. Correct it.")
        given = read(row, f"{path}:{line}")
        battles += [battle for battle in given if battle.value is not None]
        unreadable += sum(battle.value is None for battle in given)
    seconds = {battle.second for battle in battles}
    if baseline is None and len(seconds) == 1 and seconds.isdisjoint(battle.first for battle in battles):
        baseline = seconds.pop()
    names = dict.fromkeys(name for battle in battles for name in (battle.first, battle.second))
    if baseline is not None and baseline not in names:
        raise DataError(
            f"{path}: no battle of {baseline!r}; models of this file: {', '.join(names)}. Name one of these."
        )
    return [_of_battles(name, battles, baseline, unreadable) for name in names if name != baseline]


def _of_battles(name: str, battles: Sequence[Battle], baseline: str | None, unreadable: int) -> Judged:
    """One model's battles against the baseline, or against all others; a prompt and turn makes one unit."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    responses: list[str] = []
    contests: list[Contest] = []
    for battle in battles:
        if name not in battle.sides or (baseline is not None and baseline not in battle.sides):
            continue
        assert battle.value is not None
        first = battle.first == name
        values[battle.prompt, battle.kind].append(battle.value if first else 1 - battle.value)
        text = battle.first_text if first else battle.second_text
        responses += [text] if text is not None else []
        if first or baseline is not None:
            contests.append(Contest(*battle.sides, battle.value, battle.prompt))
    means = {key: sum(seen) / len(seen) for key, seen in values.items()}
    units = [Unit(prompt, kind, mean, _outcome(mean)) for (prompt, kind), mean in means.items()]
    return Judged(name, baseline or "all others", units, responses, unreadable, contests=contests)


def _battle_reader(path: Path, row: Row) -> tuple[frozenset[str], Callable[[Row, str], list[Battle]]]:
    for needed, read in BATTLES:
        if needed <= row.keys():
            return needed, read
    raise DataError(
        f"{path}: columns {', '.join(row) or 'none'}; expected AlpacaEval annotations (instruction, output_1, "
        "output_2, preference), our comparisons.jsonl (prompt_id, candidate, order, verdict), MT-bench judgments "
        "(question_id, model_1, model_2, g1_winner, g2_winner), Arena-Hard judgments (model, games) or battles "
        "(model_a, model_b, winner)."
        " Rename the columns, or give such a file."
    )


def _outcome(value: float) -> float:
    return 1.0 if value > 0.5 else 0.0 if value < 0.5 else 0.5
