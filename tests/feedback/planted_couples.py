"""Couples judged by a judge whose faults are planted, with people's labels beside them; everything drawn by a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import JudgedCouple
from boresight.records import Message, PreferencePair

OWN, OTHER = "qwen-3-8b", "llama-3-8b"
JUDGE = {"judge": "qwen-judge", "rubric": "helpful", "rubric_hash": "abc"}


@dataclass(frozen=True)
class Planted:
    """Shares of the verdicts that are given for a reason other than quality; of the rest `noise` is turned round.
    `longer_is_better`: how often the longer response is the better one, which confounds a preference for length."""

    position: float = 0.0
    length: float = 0.0
    own: float = 0.0
    noise: float = 0.0
    longer_is_better: float = 0.5
    failures: float = 0.0


def planted_couples(count: int, faults: Planted, seed: int = 0, per_prompt: int = 2) -> list[tuple[JudgedCouple, int]]:
    """Couples and which of the two is better (1 `a`, 2 `b`)."""
    draw = random.Random(seed)
    couples = []
    for number in range(count):
        better = draw.choice((1, 2))
        longer = better if draw.random() < faults.longer_is_better else 3 - better
        own = draw.choice((1, 2))
        texts = {
            side: f"response {side} of {number}" + (" and many more words" if side == longer else "") for side in (1, 2)
        }
        failed = draw.random() < faults.failures
        given, swapped = (_verdict(draw, faults, better, longer, own, first) for first in (1, 2))
        couple = JudgedCouple(
            id=f"c{number}",
            prompt_id=f"p{number // per_prompt}",
            prompt=(Message("user", f"question {number // per_prompt}"),),
            a=texts[1],
            b=texts[2],
            given=None if failed else given,
            swapped=None if failed else swapped,
            kind=("plain", "greeting", "premise")[number // per_prompt % 3],
            model_a=OWN if own == 1 else OTHER,
            model_b=OWN if own == 2 else OTHER,
            failure="unreadable" if failed else "",
        )
        couples.append((couple, better))
    return couples


def people_on(couples: Sequence[tuple[JudgedCouple, int]], noise: float = 0.0, seed: int = 0) -> list[PreferencePair]:
    """One vote on each couple."""
    draw = random.Random(f"people {seed}")
    return [vote(couple, better if draw.random() >= noise else 3 - better) for couple, better in couples]


def vote(couple: JudgedCouple, preferred: int, p: float = 1.0, votes: int | None = None) -> PreferencePair:
    chosen, rejected = (couple.a, couple.b) if preferred == 1 else (couple.b, couple.a)
    return PreferencePair(
        id=couple.id, prompt=couple.prompt, chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),), p_chosen=p, n_votes=votes, source="human",
    )  # fmt: skip


def labelled(couples: Sequence[tuple[JudgedCouple, int]], people: HumanVotes | None = None) -> list:  # type: ignore[type-arg]
    votes = people or HumanVotes(people_on(couples))
    return [(couple, votes.of(couple)) for couple, _ in couples]


def _verdict(draw: random.Random, faults: Planted, better: int, longer: int, own: int, first: int) -> float:
    """How likely `a` (1) is the better one, 0 or 1, with the response `first` shown first."""
    reason, turned = draw.random(), draw.random() < faults.noise
    for share, preferred in ((faults.position, first), (faults.length, longer), (faults.own, own)):
        if reason < share:
            return float(preferred == 1)
        reason -= share
    return float((3 - better if turned else better) == 1)
