"""How far a judge is from people, on couples that both labelled: agreement, what it prefers, and where it errs.

A judge that prefers longer responses may be right to. Held against people, the preference is what is left where people
prefer the longer response as often as the shorter one:

    effect = P(judge: longer | people: longer) + P(judge: longer | people: shorter) - 1

which is the share of verdicts given for length alone, whatever the judge does with the rest (its errors cancel).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.feedback.human_votes import HumanLabel
from boresight.feedback.judge_bias import is_kin
from boresight.feedback.judged_couples import JudgedCouple
from boresight.stats.agreement import cohen_kappa, order_agreement
from boresight.stats.intervals import wilson_clustered

Labelled = Sequence[tuple[JudgedCouple, HumanLabel]]
Array = NDArray[np.float64]
NO_VERDICT = -1
EQUAL = 0.1
"""Lengths that differ by less than this share of the longer one are taken for equal, in the table of slices."""
REPLICATES = 1000
CHUNK_NUMBERS = 4_000_000  # drawn counts held in memory at once


class Held(NamedTuple):
    """Of one couple: how far the judge prefers the response that has a property, and whether people do; its prompt."""

    judge: float
    people: float
    prompt: str


def agreement_figures(labelled: Labelled, *, seed: int = 0) -> dict[str, Any]:
    """{n, prompts, accuracy, ci95, cohen_kappa, kappa_ci95, labels, label_error, label_error_ci95, no_label}.

    The judge's word is 1, 2, or 0 for a tie and for orders that disagree; a verdict that cannot be read is wrong.
    `label_error`: of the couples that get a label, the share of people who disagree with it, ties as halves.
    Intervals are over prompts.
    """
    prompts = [couple.prompt_id for couple, _ in labelled]
    said = [NO_VERDICT if couple.label is None else couple.label for couple, _ in labelled]
    right = [human.label for _, human in labelled]
    accuracy = wilson_clustered([float(s == r) for s, r in zip(said, right, strict=True)], prompts)
    low, high = kappa_interval(said, right, prompts, seed=seed)
    errors = [(label_error(couple, human), couple.prompt_id) for couple, human in labelled if couple.label]
    error = wilson_clustered([value for value, _ in errors], [name for _, name in errors]) if errors else None
    return {
        "n": len(labelled),
        "prompts": len(set(prompts)),
        "accuracy": accuracy.value,
        "ci95": [accuracy.low, accuracy.high],
        "cohen_kappa": _defined(cohen_kappa(said, right)),
        "kappa_ci95": [low, high],
        "labels": len(errors),
        "label_error": error.value if error else None,
        "label_error_ci95": [error.low, error.high] if error else None,
        "no_label": sum(not word or word == NO_VERDICT for word in said) / len(said),
    }


def order_figures(labelled: Labelled) -> dict[str, Any] | None:
    """The judge in both orders (`stats.agreement.order_agreement`); None where it was asked in one only."""
    if all(couple.swapped is None for couple, _ in labelled):
        return None
    right = [human.label for _, human in labelled]
    given, swapped = ([_word(value) for value in each] for each in zip(*_verdicts(labelled), strict=True))
    return {key: _defined(value) for key, value in order_agreement(right, given, swapped)._asdict().items()}


def effect_figures(labelled: Labelled, judge: str) -> dict[str, Any]:
    """{position, length, self_preference}: each {rate, ci95, effect, effect_ci95, n}, or None where nothing tells.

    The place is shown in both orders and needs no people; length and the judge's own family are held against them.
    """
    read = [(couple, human) for couple, human in labelled if couple.p_a is not None]
    placed = [
        ((couple.given + 1.0 - couple.swapped) / 2, couple.prompt_id)
        for couple, _ in read
        if couple.given is not None and couple.swapped is not None
    ]
    length = _held(read, lambda couple: len(couple.a) - len(couple.b))
    own = _held(read, lambda couple: is_kin(couple.model_a, judge) - is_kin(couple.model_b, judge))
    position = wilson_clustered([v for v, _ in placed], [name for _, name in placed]) if placed else None
    return {
        "position": position and _effect(position.value, position.low, position.high, len(placed)),
        "length": balanced_preference(length),
        "self_preference": balanced_preference(own),
    }


def balanced_preference(rows: Sequence[Held]) -> dict[str, Any] | None:
    """The preference for a property as the docstring of this file has it; None where people always or never share it.

    Wilson's intervals of the two shares over prompts, joined by the distances of their ends from the means (MOVER, Zou
    & Donner 2008, with the correlation of the two over prompts), so that a share of few couples, or of couples that are
    all alike, is not taken for certain:

        low = rate - sqrt(d1^2 + d2^2 + 2 r d1 d2) / 2,   d_i = mean_i - low_i,   and likewise upwards
    """
    shares = [[row for row in rows if row.people == liked] for liked in (1.0, 0.0)]
    if not all(shares):
        return None
    found = [wilson_clustered([row.judge for row in share], [row.prompt for row in share]) for share in shares]
    together = _correlation(shares, [one.value for one in found])
    rate = (found[0].value + found[1].value) / 2
    down, up = (
        math.sqrt(first**2 + second**2 + 2 * together * first * second) / 2
        for first, second in (
            [one.value - one.low for one in found],
            [one.high - one.value for one in found],
        )
    )
    return _effect(rate, max(rate - down, 0.0), min(rate + up, 1.0), len(rows))


def _correlation(shares: Sequence[Sequence[Held]], means: Sequence[float]) -> float:
    """Of the two means, from what each prompt adds to both; 0 where one of them does not vary, and never below: of few
    prompts it is no reason to be surer."""
    parts: list[dict[str, float]] = [defaultdict(float), defaultdict(float)]
    for part, share, mean in zip(parts, shares, means, strict=True):
        for row in share:
            part[row.prompt] += row.judge - mean
    sizes = [sum(value**2 for value in part.values()) for part in parts]
    both = sum(value * parts[1].get(prompt, 0.0) for prompt, value in parts[0].items())
    return max(both / math.sqrt(sizes[0] * sizes[1]), 0.0) if min(sizes) > 0 else 0.0


def slice_figures(labelled: Labelled) -> dict[str, dict[str, Any]]:
    """Accuracy, and the share that gets a label, by kind of prompt, by length, and by the models that wrote the two."""
    found: dict[str, dict[str, Any]] = {}
    for name, slice_of in (("kind", _kind), ("length", _length_gap), ("source", _source)):
        groups: dict[str, list[tuple[JudgedCouple, HumanLabel]]] = defaultdict(list)
        for couple, human in labelled:
            groups[slice_of(couple, human)].append((couple, human))
        if groups.keys() != {""}:
            found[name] = {value: _slice(group) for value, group in sorted(groups.items())}
    return found


def label_error(couple: JudgedCouple, human: HumanLabel) -> float:
    """The share of people who disagree with the judge's label, ties as halves."""
    return 1.0 - human.p_a if couple.label == 1 else human.p_a


def kappa_interval(
    said: Sequence[int], right: Sequence[int], clusters: Sequence[Hashable], *, seed: int = 0
) -> tuple[float | None, float | None]:
    """95 % percentile interval of Cohen's kappa, from a bootstrap that draws whole clusters."""
    values = sorted({*said, *right})
    place = {value: i for i, value in enumerate(values)}
    number = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    counts = np.zeros((len(number), len(values), len(values)))
    for s, r, name in zip(said, right, clusters, strict=True):
        counts[number[name], place[s], place[r]] += 1
    random, chunk = np.random.default_rng(seed), max(1, CHUNK_NUMBERS // len(number))
    even = np.full(len(number), 1 / len(number))
    tables = np.concatenate(
        [
            np.tensordot(random.multinomial(len(number), even, size=min(chunk, REPLICATES - start)), counts, axes=1)
            for start in range(0, REPLICATES, chunk)
        ]
    )  # (replicates, labels, labels)
    tables /= tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(tables, axis1=1, axis2=2)
    expected = (tables.sum(axis=2) * tables.sum(axis=1)).sum(axis=1)
    able = expected < 1 - 1e-12
    if not able.any():
        return None, None
    low, high = np.quantile((observed[able] - expected[able]) / (1 - expected[able]), [0.025, 0.975])
    return float(low), float(high)


def _held(read: Labelled, gap: Callable[[JudgedCouple], float]) -> list[Held]:
    """The couples of which one response has more of a property, and on which people are not undecided."""
    rows = []
    for couple, human in read:
        p, more = couple.p_a, gap(couple)
        if p is not None and more and human.label:
            liked = float((human.label == 1) == (more > 0))
            rows.append(Held(p if more > 0 else 1.0 - p, liked, couple.prompt_id))
    return rows


def _slice(group: Labelled) -> dict[str, Any]:
    accuracy = wilson_clustered(
        [float(couple.label == human.label) for couple, human in group], [couple.prompt_id for couple, _ in group]
    )
    return {
        "n": len(group),
        "accuracy": accuracy.value,
        "ci95": [accuracy.low, accuracy.high],
        "no_label": sum(not couple.label for couple, _ in group) / len(group),
    }


def _kind(couple: JudgedCouple, human: HumanLabel) -> str:
    return couple.kind


def _length_gap(couple: JudgedCouple, human: HumanLabel) -> str:
    a, b = len(couple.a), len(couple.b)
    if abs(a - b) < EQUAL * max(a, b, 1) or not human.label:
        return "about equal, or a tie"
    return "people prefer the longer" if (human.label == 1) == (a > b) else "people prefer the shorter"


def _source(couple: JudgedCouple, human: HumanLabel) -> str:
    models = sorted({couple.model_a, couple.model_b} - {""})
    return " and ".join(models)


def _verdicts(labelled: Labelled) -> list[tuple[float | None, float | None]]:
    return [(couple.given, couple.swapped) for couple, _ in labelled]


def _word(value: float | None) -> int | None:
    return None if value is None else 0 if value == 0.5 else 1 if value > 0.5 else 2


def _effect(rate: float, low: float, high: float, n: int) -> dict[str, Any]:
    bounds = [low, high]
    return {
        "rate": rate,
        "ci95": bounds,
        "effect": 2 * rate - 1,
        "effect_ci95": [2 * bound - 1 for bound in bounds],
        "n": n,
    }


def _defined(value: float) -> float | None:
    return None if value != value else value
