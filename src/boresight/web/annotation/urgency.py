"""How urgent a task is by an ensemble of reward models: what they can tell least goes to people first.

Each member gives every response a score in nats, and sigmoid of the difference of two scores is its probability that
the first is preferred (Bradley and Terry). The mean over members is near a half where the margins are small, and also
where members are sure of opposite things: both are what a person should decide.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from boresight.data.forms import list_at
from boresight.data.pair_rows import id_cell
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.records import Messages
from boresight.web.annotation.projects import NewTask

Scorer = Callable[[Sequence[Messages], Sequence[str]], Sequence[float]]
"""Prompts and responses, one of each a row, to scores."""
Scores = Mapping[str, Sequence[float]]
"""The scores of each task's responses as they are listed, by the task's id: one member of an ensemble."""


def ensemble_urgency(members: Sequence[Sequence[float]]) -> float:
    """From 0 (all members are sure, and of the same) to 1 (they cannot tell), the mean over pairs of responses.

    `members`: of each the scores of all responses. Raises ValueError where they score different numbers of them.
    """
    count = len(members[0])
    if count < 2 or any(len(scores) != count for scores in members):
        raise ValueError(f"ensemble_urgency: members with {[len(scores) for scores in members]} scores")
    return fmean(
        1.0 - abs(2.0 * fmean(_sigmoid(scores[i] - scores[j]) for scores in members) - 1.0)
        for i, j in combinations(range(count), 2)
    )


def with_urgency(tasks: Iterable[NewTask], ensemble: Sequence[Scores]) -> list[NewTask]:
    """The tasks with what the ensemble says; where a judge was less sure, its urgency stays. Tasks that a member does
    not know are left as they are."""
    found = []
    for task in tasks:
        members = [scores[task.key] for scores in ensemble if task.key in scores]
        if ensemble and len(members) == len(ensemble):
            task = replace(task, urgency=max(task.urgency, ensemble_urgency(members)))
        found.append(task)
    return found


def read_scores(path: Path, tasks: Sequence[NewTask]) -> Scores:
    """A file with `id` and `scores` (one for each response as listed) a row.

    Raises DataError, with the line, for a row that does not fit its task, and where no task is scored at all.
    """
    counts = {task.key: len(task.responses) for task in tasks}
    found: dict[str, list[float]] = {}
    for line, row in iterate_rows(path):
        where = f"{path}:{line}"
        key = id_cell(row, "id", where, "")
        scores = [_number(value, where) for value in list_at(row, "scores", where)]
        if key in counts and len(scores) != counts[key]:
            raise DataError(
                f'{where} (id {key}): "scores" has {len(scores)} values, the task {counts[key]} responses; expected '
                "one for each, in their order."
            )
        if key in found:
            raise DataError(f"{where}: the id {key!r} was there before; expected each task once in a file.")
        found[key] = scores
    if not counts.keys() & found.keys():
        raise DataError(f"{path}: scores none of the tasks; expected their ids, such as {next(iter(counts), 't1')!r}.")
    return found


def scores_by(scorer: Scorer, tasks: Sequence[NewTask]) -> Scores:
    """What a reward model gives the responses of all tasks, in one call."""
    prompts = [tuple(task.prompt) for task in tasks for _ in task.responses]
    scores = iter(scorer(prompts, [response["text"] for task in tasks for response in task.responses]))
    return {task.key: [float(next(scores)) for _ in task.responses] for task in tasks}


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f'{where}: "scores" holds {value!r}; expected finite numbers.')
    return float(value)


def _sigmoid(margin: float) -> float:
    """Without overflow for margins of any size."""
    return 1.0 / (1.0 + math.exp(-margin)) if margin >= 0 else math.exp(margin) / (1.0 + math.exp(margin))
