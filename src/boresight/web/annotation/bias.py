"""What moves an annotator besides the responses: the side they are shown on, their length, haste; told while it can
still be put right. Gold answers are held against what is known."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from boresight.feedback.human_labels import LabelledTask, Vote
from boresight.stats.intervals import Interval, wilson
from boresight.web.annotation.projects import progress
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import annotator_id, voted_tasks

WARN_OFF = 0.1  # a share is told of when its interval lies wholly more than this from a half
FASTEST_READER = 80.0  # characters a second: some 960 words a minute, which is skimming, not reading
HASTY_SHARE = 0.2  # of answers faster than that
LOW_GOLD = 0.7


@dataclass(frozen=True, slots=True)
class Bias:
    """Shares of decided pairs, with 95 % intervals (Wilson), in which the response shown first, or the longer one, was
    preferred; None where there are no such pairs. `hasty`: share of answers given faster than anybody reads."""

    annotator: str
    votes: int
    first: Interval | None
    longer: Interval | None
    median_seconds: float
    hasty: float


def biases(store: Store, project_id: int, *, names: bool = False) -> dict[str, Any]:
    """Everybody's figures, those of all together, and warnings as sentences."""
    voted = voted_tasks(store, project_id, names=names)
    by_annotator: dict[str, list[tuple[LabelledTask, Vote]]] = {}
    for task in voted:
        for vote in task.labelled.votes:
            by_annotator.setdefault(vote.annotator, []).append((task.labelled, vote))
    each = [bias_of(name, cast) for name, cast in by_annotator.items()]
    everybody = bias_of("all annotators", [one for cast in by_annotator.values() for one in cast]) if each else None
    people = {
        person["name"] if names else annotator_id(person["person_id"]): person
        for person in progress(store, project_id)["people"]
    }
    told = [warning for bias in ([everybody] if everybody else []) + each for warning in warnings_of(bias)]
    return {"annotators": each, "all": everybody, "warnings": told + gold_warnings(people)}


def bias_of(annotator: str, cast: Sequence[tuple[LabelledTask, Vote]]) -> Bias:
    """What one annotator's votes say of them; a ranking counts as all its pairs."""
    first, longer = [], []
    for task, vote in cast:
        if not vote.judged:
            continue
        lengths = [len(text) for text in task.responses]
        for i, j in combinations(range(len(lengths)), 2):
            if vote.ranks[i] == vote.ranks[j]:
                continue
            better, worse = (i, j) if vote.ranks[i] < vote.ranks[j] else (j, i)
            first.append(vote.shown.index(better) < vote.shown.index(worse))
            if lengths[i] != lengths[j]:
                longer.append(lengths[better] > lengths[worse])
    seconds = [vote.seconds for _, vote in cast]
    hasty = [_characters(task) > FASTEST_READER * vote.seconds for task, vote in cast]
    return Bias(
        annotator, len(cast), _share(first), _share(longer), statistics.median(seconds), sum(hasty) / len(hasty)
    )


def warnings_of(bias: Bias) -> list[str]:
    """What stands out of a person's figures, in sentences."""
    found = []
    for share, one, other in (
        (bias.first, "the response shown first", "the response shown last"),
        (bias.longer, "the longer response", "the shorter response"),
    ):
        if share is not None and (share.low > 0.5 + WARN_OFF or share.high < 0.5 - WARN_OFF):
            what, rate = (one, share.value) if share.value > 0.5 else (other, 1.0 - share.value)
            found.append(f"{bias.annotator}: prefers {what} in {rate:.0%} of {share.n} decided pairs")
    if bias.votes >= 5 and bias.hasty >= HASTY_SHARE:
        found.append(f"{bias.annotator}: {bias.hasty:.0%} of {bias.votes} answers came faster than anybody reads")
    return found


def gold_warnings(people: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """People whose answers to questions of a known answer are too often wrong for chance to be the reason."""
    found = []
    for name, person in people.items():
        right, of = person["gold"]["right"], person["gold"]["of"]
        if of and wilson(right, of).high < LOW_GOLD:
            found.append(f"{name}: {right} of {of} questions with a known answer were right")
    return found


def _share(outcomes: Sequence[bool]) -> Interval | None:
    return wilson(sum(outcomes), len(outcomes)) if outcomes else None


def _characters(task: LabelledTask) -> int:
    return sum(len(message.content) for message in task.prompt) + sum(map(len, task.responses))
