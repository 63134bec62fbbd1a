"""Preference pairs from sampled responses: every two are shown to the judge in both orders, and only agreement counts.

Lee et al. 2023 (arXiv:2309.00267) average the two orders; here a verdict that turns with the order is no label.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from boresight.feedback.judge import Answer, Comparison, Judge, Verdict
from boresight.records import Message, PreferencePair, Response


@dataclass(frozen=True, slots=True)
class Labels:
    pairs: list[PreferencePair]
    prompts: int
    ties: int  # comparisons that the judge called a tie in both orders
    verdict_flips: int  # comparisons whose verdict turned with the order


def label_responses(responses: Sequence[Response], judge: Judge, *, pairs_per_prompt: int) -> Labels:
    """At most `pairs_per_prompt` pairs of different texts from each prompt, the widest score difference first."""
    by_prompt: dict[str, list[Response]] = {}
    for response in responses:
        known = by_prompt.setdefault(response.prompt.id, [])
        if all(response.text != other.text for other in known):
            known.append(response)
    couples = [couple for group in by_prompt.values() for couple in combinations(group, 2)]
    comparisons = [Comparison(a.prompt, Answer(a.text, a.stopped), Answer(b.text, b.stopped)) for a, b in couples]
    given = judge.compare(comparisons)
    swapped = judge.compare([c.swapped() for c in comparisons])

    labelled: dict[str, list[tuple[float, PreferencePair]]] = {}
    ties = flips = 0
    for (a, b), verdict, other in zip(couples, given, swapped, strict=True):
        if verdict.value != 1.0 - other.value:
            flips += 1
        elif verdict.value == 0.5:
            ties += 1
        else:
            chosen, rejected = (a, b) if verdict.value == 1.0 else (b, a)
            labelled.setdefault(a.prompt.id, []).append((_gap(verdict), _pair(chosen, rejected)))
    pairs = [
        pair
        for found in labelled.values()
        for _, pair in sorted(found, key=lambda item: (-item[0], item[1].id))[:pairs_per_prompt]
    ]
    return Labels(pairs, len(by_prompt), ties, flips)


def _gap(verdict: Verdict) -> float:
    if verdict.first_score is None or verdict.second_score is None:
        return 0.0
    return abs(verdict.first_score - verdict.second_score)


def _pair(chosen: Response, rejected: Response) -> PreferencePair:
    return PreferencePair(
        id=f"{chosen.id}>{rejected.id}",
        prompt=chosen.prompt.messages,
        chosen=(Message("assistant", chosen.text),),
        rejected=(Message("assistant", rejected.text),),
        kind=chosen.prompt.kind,
        source="ai",
        meta={"chosen_model": chosen.model, "rejected_model": rejected.model},
    )
