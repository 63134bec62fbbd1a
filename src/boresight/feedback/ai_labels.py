"""Preference pairs from sampled responses: every two are shown to the judge in both orders, and only agreement counts.

Lee et al. 2023 (arXiv:2309.00267) average the two orders; here a verdict that turns with the order is no label, as
Zheng et al. 2023 (arXiv:2306.05685, section 3.4) have it, and of verdicts that agree the mean is the soft label.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

from boresight.feedback.judge import Answer, Comparison, Judge, Verdict
from boresight.records import Message, PreferencePair, Response

Couple = tuple[Response, Response]


@dataclass(frozen=True, slots=True)
class Compared:
    """Two responses and what the judge said: `given` with `a` shown first, `swapped` with `b` shown first."""

    a: Response
    b: Response
    given: Verdict
    swapped: Verdict

    @property
    def failure(self) -> str:
        """Why there is no verdict in one of the orders; empty where there are both."""
        return self.given.failure or self.swapped.failure

    @property
    def p_a(self) -> float:
        """The mean of both orders: how likely `a` is the better one."""
        return (self.given.value + 1.0 - self.swapped.value) / 2

    @property
    def agrees(self) -> bool:
        """Whether both orders prefer the same response, or neither."""
        return _side(self.given.value) == -_side(self.swapped.value)


@dataclass(frozen=True, slots=True)
class Labels:
    """Pairs that a judge labelled, what it labelled nothing of, and why."""

    pairs: list[PreferencePair]
    prompts: int
    ties: int  # comparisons that the judge called a tie in both orders
    verdict_flips: int  # comparisons whose verdict turned with the order
    failed: Counter[str] = field(default_factory=Counter)  # comparisons without a verdict in both orders, by the reason
    compared: Sequence[Compared] = ()
    cycles: int = 0  # triples of responses to one prompt of which each is preferred to the next, in a circle


def choose_couples(responses: Sequence[Response], most_per_prompt: int | None = None, *, seed: int = 0) -> list[Couple]:
    """Couples of different texts to one prompt: all, or as many of each prompt as are to be paid for.

    Which ones is drawn by a hash of the seed and the responses' ids, so that more responses change no other prompt.
    """
    by_prompt: dict[str, list[Response]] = {}
    for response in responses:
        known = by_prompt.setdefault(response.prompt.id, [])
        if all(response.text != other.text for other in known):
            known.append(response)
    chosen: list[Couple] = []
    for group in by_prompt.values():
        couples = list(combinations(group, 2))
        if most_per_prompt is not None and len(couples) > most_per_prompt:
            couples = sorted(couples, key=lambda couple: _drawn(seed, couple))[:most_per_prompt]
        chosen += couples
    return chosen


def comparisons_of(couples: Sequence[Couple]) -> list[Comparison]:
    """Each couple in both orders, one after the other, so that whatever is cut short has whole couples."""
    given = [Comparison(a.prompt, Answer(a.text, a.stopped), Answer(b.text, b.stopped)) for a, b in couples]
    return [order for one in given for order in (one, one.swapped())]


def label_responses(
    responses: Sequence[Response],
    judge: Judge,
    *,
    pairs_per_prompt: int | None,
    couples: Sequence[Couple] | None = None,
    clip: float = 0.0,
    meta: Mapping[str, Any] | None = None,
    probability: Callable[[Compared], float] | None = None,
) -> Labels:
    """At most `pairs_per_prompt` pairs of different texts from each prompt, the widest difference first; without a
    limit all of them, and the pairs of one prompt share a `ranking_id`, so that they travel together.

    `couples` are those to compare, by default all. `p_chosen` is the mean of both orders, or what `probability`
    (a calibration) makes of it: how likely `a` is the better one; at most 1 - `clip`. `meta` goes into each pair.
    """
    chosen = choose_couples(responses) if couples is None else couples
    verdicts = judge.compare(comparisons_of(chosen))
    compared = [
        Compared(a, b, given, swapped)
        for (a, b), given, swapped in zip(chosen, verdicts[::2], verdicts[1::2], strict=True)
    ]
    labelled: dict[str, list[tuple[float, PreferencePair]]] = {}
    ties = flips = 0
    failed: Counter[str] = Counter()
    for one in compared:
        if one.failure:
            failed[one.failure] += 1
        elif not one.agrees:
            flips += 1
        elif one.p_a == 0.5 or (p := one.p_a if probability is None else probability(one)) == 0.5:
            ties += 1
        else:
            labelled.setdefault(one.a.prompt.id, []).append((_gap(one), _pair(one, p, clip, meta or {})))
    pairs = [
        pair if pairs_per_prompt is not None else replace(pair, ranking_id=prompt)
        for prompt, found in labelled.items()
        for _, pair in sorted(found, key=lambda item: (-item[0], item[1].id))[:pairs_per_prompt]
    ]
    return Labels(pairs, len({r.prompt.id for r in responses}), ties, flips, failed, compared, _cycles(compared))


def _cycles(compared: Sequence[Compared]) -> int:
    """Triples that no order of the three responses explains: a before b, b before c, c before a."""
    better: dict[str, set[str]] = {}
    for one in compared:
        if not one.failure and one.agrees and one.p_a != 0.5:
            winner, loser = (one.a.id, one.b.id) if one.p_a > 0.5 else (one.b.id, one.a.id)
            better.setdefault(winner, set()).add(loser)
    found = sum(first in better.get(c, ()) for first in better for b in better[first] for c in better.get(b, ()))
    return found // 3  # each is met from every one of its three


def _side(value: float) -> int:
    return (value > 0.5) - (value < 0.5)


def _gap(one: Compared) -> float:
    """How far apart the responses are: by their scores, or else by the soft label."""
    if one.given.first_score is None or one.given.second_score is None:
        return abs(one.p_a - 0.5)
    return abs(one.given.first_score - one.given.second_score)


def _pair(one: Compared, p_a: float, clip: float, meta: Mapping[str, Any]) -> PreferencePair:
    chosen, rejected = (one.a, one.b) if p_a > 0.5 else (one.b, one.a)
    return PreferencePair(
        id=f"{chosen.id}>{rejected.id}",
        prompt=chosen.prompt.messages,
        chosen=(Message("assistant", chosen.text),),
        rejected=(Message("assistant", rejected.text),),
        p_chosen=min(max(p_a, 1.0 - p_a), 1.0 - clip),
        kind=chosen.prompt.kind,
        source="ai",
        meta={"chosen_model": chosen.model, "rejected_model": rejected.model, **meta},
    )


def _drawn(seed: int, couple: Couple) -> bytes:
    return hashlib.sha256("\0".join((str(seed), couple[0].id, couple[1].id)).encode()).digest()
