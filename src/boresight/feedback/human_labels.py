"""What people said of the responses to a prompt, as preference pairs and demonstrations.

A vote puts the responses into an order; every two of them make a pair whose p_chosen is the share of the votes. Votes
that a reviewer decided on stay beside the decision in `meta`, so that agreement can always be computed again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from boresight.data.votes import ranked_pairs, votes_of_scores
from boresight.records import Demonstration, Message, Messages, PreferencePair, Source

Verdict = Literal["ranked", "tie", "both_bad", "cannot_judge"]
TIE = "tie"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's answer about the responses as they are listed, whatever the order in which they were shown.

    `ranks` (responses,): 1 is the best, equal ranks are a tie; empty where the person cannot judge. `strength` of a
    pair is how much better the preferred one is: 1 slightly, 2 clearly, 3 much. `criteria` hold -3 (the first listed is
    much better by it) to 3. `flags` and `edited` (response, text) count responses from 0. `shown`: place -> response.
    """

    annotator: str
    verdict: Verdict
    ranks: tuple[int, ...] = ()
    strength: int | None = None
    criteria: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    comment: str = ""
    edited: tuple[int, str] | None = None
    shown: tuple[int, ...] = ()
    seconds: float = 0.0

    @property
    def judged(self) -> bool:
        return self.verdict != "cannot_judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTask:
    """A prompt with its responses and all votes on them; `final` is a reviewer's decision, where there was one."""

    id: str
    prompt: Messages
    responses: tuple[str, ...]
    votes: tuple[Vote, ...]
    models: tuple[str, ...] = ()
    final: Vote | None = None
    source: Source = "human"
    kind: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deciding(self) -> tuple[Vote, ...]:
        """The votes that a label is made of: the decision alone, or everybody's who could judge."""
        return tuple(vote for vote in ((self.final,) if self.final else self.votes) if vote.judged)


def preference_label(vote: Vote, first: int, second: int) -> str | None:
    """Which of two responses a vote prefers: "1", "2" or "tie", as raters' labels; None where it does not say."""
    if not vote.judged:
        return None
    one, other = vote.ranks[first], vote.ranks[second]
    return TIE if one == other else "1" if one < other else "2"


def disagreement(votes: Sequence[Vote]) -> float:
    """The share of votes that are not with the majority, averaged over the pairs of responses; 0 where all agree."""
    judged = [vote for vote in votes if vote.judged]
    if len(judged) < 2:
        return 0.0
    shares = []
    for i, j in combinations(range(len(judged[0].ranks)), 2):
        counts = Counter(preference_label(vote, i, j) for vote in judged)
        shares.append(1.0 - max(counts.values()) / len(judged))
    return sum(shares) / len(shares)


def pairs_of_votes(task: LabelledTask) -> list[PreferencePair]:
    """Every two responses as a pair, none where nobody could judge. A tie has p_chosen 0.5.

    Two responses make a pair of the task's own id; of K, each pair's id ends in `#i-j` and all share the ranking id.
    """
    votes = task.deciding
    if not votes:
        return []
    scores = [dict(enumerate(-float(rank) for rank in vote.ranks)) for vote in votes]
    rows = ranked_pairs(task.id, task.prompt, task.responses, votes_of_scores(scores), source=task.source)
    made = []
    for (i, j), row in zip(combinations(range(len(task.responses)), 2), rows, strict=True):
        chosen, rejected = (i, j) if row.pair.chosen[-1].content == task.responses[i] else (j, i)
        pair = _described(row.pair, task, chosen, rejected)
        made.append(replace(pair, id=task.id, ranking_id=None) if len(task.responses) == 2 else pair)
    return made


def demonstrations_of_votes(task: LabelledTask) -> list[Demonstration]:
    """The better answers that people wrote, each once: what follows the prompt is the edited text."""
    written: dict[str, list[Vote]] = {}
    for vote in (*task.votes, *((task.final,) if task.final else ())):
        if vote.edited is not None:
            written.setdefault(vote.edited[1], []).append(vote)
    return [
        Demonstration(
            id=f"{task.id}~{number}",
            messages=(*task.prompt, Message("assistant", text)),
            meta={"source": "human_edit", "annotators": sorted({vote.annotator for vote in votes})},
        )
        for number, (text, votes) in enumerate(written.items(), start=1)
    ]


def _described(pair: PreferencePair, task: LabelledTask, chosen: int, rejected: int) -> PreferencePair:
    """The pair with who voted how, and how strongly."""
    votes = task.deciding
    sign = 1 if chosen < rejected else -1  # criteria point from the first listed to the second
    signed = [
        -vote.strength if preference_label(vote, chosen, rejected) == "2" else vote.strength
        for vote in votes
        if vote.strength is not None
    ]
    names = sorted({name for vote in votes for name in vote.criteria})
    meta = {
        **task.meta,
        "votes": [_told(vote, chosen, rejected) for vote in task.votes],
        **({"decided_by": task.final.annotator} if task.final else {}),
        **({"both_bad": bad} if (bad := sum(vote.verdict == "both_bad" for vote in votes)) else {}),
    }
    if task.models and all(task.models):
        meta |= {"chosen_model": task.models[chosen], "rejected_model": task.models[rejected]}
    return replace(
        pair,
        kind=task.kind,
        annotators=tuple(vote.annotator for vote in votes),
        n_votes=len(votes),
        strength=sum(signed) / len(signed) if signed else None,
        criteria={name: -sign * _mean([v.criteria[name] for v in votes if name in v.criteria]) for name in names},
        meta=meta,
    )


def _told(vote: Vote, chosen: int, rejected: int) -> dict[str, Any]:
    """A vote in words of the pair: which side it was for, and which of the two it was shown first."""
    side = {"1": "chosen", "2": "rejected", TIE: TIE, None: "cannot_judge"}[preference_label(vote, chosen, rejected)]
    first = "chosen" if vote.shown.index(chosen) < vote.shown.index(rejected) else "rejected"
    told: dict[str, Any] = {"annotator": vote.annotator, "preferred": side, "shown_first": first}
    if vote.verdict == "both_bad":
        told["both_bad"] = True
    if vote.strength is not None:
        told["strength"] = vote.strength
    if flags := {
        name: list(vote.flags[n]) for name, n in (("chosen", chosen), ("rejected", rejected)) if n in vote.flags
    }:
        told["flags"] = flags
    if vote.comment:
        told["comment"] = vote.comment
    return told | {"seconds": round(vote.seconds, 3)}


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
