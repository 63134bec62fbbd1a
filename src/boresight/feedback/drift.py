"""Does the judge still judge as it did when it was calibrated? A fixed sample is asked again, past every cache.

Couple by couple, what it says now is held against what it said then: how far it goes with people, how far with the
response shown first, how far with the longer one. A mean that moved is tested by flipping signs (stats.significance),
the three tests corrected together (Holm); one below LEVEL is drift, and the calibration no longer holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from boresight.data.jsonl import messages_from
from boresight.errors import DataError
from boresight.feedback.judge import Answer, Comparison, Judge, Verdict
from boresight.feedback.judged_couples import side
from boresight.records import Prompt
from boresight.stats.significance import holm, sign_flip_test

LEVEL = 0.01
"""A false alarm in a hundred checks."""
TOO_FEW = 10


class Asked(NamedTuple):
    """A couple of the audit sample: verdicts for `a` in both orders then and now, people's share for `a`, and which is
    longer (1 `a`, -1 `b`, 0 neither)."""

    then: tuple[float, float]
    now: tuple[float, float]
    people: float
    longer: int


def ask_again(audit: Sequence[Mapping[str, Any]], judge: Judge) -> tuple[list[Asked], int]:
    """The sample judged anew in both orders, and how many got no verdict. `judge` must not answer from a cache.

    Raises DataError where the calibration carries no sample.
    """
    if len(audit) < TOO_FEW:
        raise DataError(
            f"drift check: the calibration carries {len(audit)} couples; expected at least {TOO_FEW}. Calibrate with "
            "--audit 40, or leave the check out."
        )
    given = [_comparison(one, number) for number, one in enumerate(audit)]
    verdicts = judge.compare([order for one in given for order in (one, one.swapped())])
    asked = []
    for one, first, second in zip(audit, verdicts[::2], verdicts[1::2], strict=True):
        if not (first.failure or second.failure):
            asked.append(_asked(one, first, second))
    return asked, len(audit) - len(asked)


def drift_figures(asked: Sequence[Asked], failed: int, *, seed: int = 0) -> dict[str, Any]:
    """{n, failed, changed, with_people, first_position, longer, drifted}; of the three: then, now, and the p-value.

    `changed`: share of verdicts whose side is another. `drifted` names what moved; empty where nothing did.
    """
    measures = {
        "with_people": [(_agreement(one.then, one.people), _agreement(one.now, one.people)) for one in asked],
        "first_position": [(_first(one.then), _first(one.now)) for one in asked],
        "longer": [(_longer(one.then, one.longer), _longer(one.now, one.longer)) for one in asked],
    }
    names = list(measures)
    moved = [[now - then for then, now in measures[name]] for name in names]
    p_values = holm([sign_flip_test(own, range(len(own)), seed=seed) if own else 1.0 for own in moved])
    pairs = [(then, now) for one in asked for then, now in zip(one.then, one.now, strict=True)]
    return {
        "n": len(asked),
        "failed": failed,
        "changed": sum(side(then) != side(now) for then, now in pairs) / len(pairs) if pairs else None,
        **{
            name: {"then": _mean([t for t, _ in measures[name]]), "now": _mean([n for _, n in measures[name]]), "p": p}
            for name, p in zip(names, p_values, strict=True)
        },
        "drifted": [name for name, p in zip(names, p_values, strict=True) if p < LEVEL]
        + (["failures"] if failed > len(asked) else []),
    }


def drift_warning(figures: Mapping[str, Any]) -> str | None:
    """The warning `judge_drift`, or None where the judge answers as it did."""
    if not figures["drifted"]:
        return None
    words = {"with_people": "agreement with people", "first_position": "preference for the first place",
             "longer": "preference for length"}  # fmt: skip
    parts = [
        f"{figures['failed']} of {figures['failed'] + figures['n']} got no verdict"
        if name == "failures"
        else f"{words[name]} {figures[name]['then']:.2f} -> {figures[name]['now']:.2f}"
        for name in figures["drifted"]
    ]
    return (
        f"judge_drift: on the {figures['n']} couples of the calibration the judge no longer answers as it did "
        f"({'; '.join(parts)}): the calibration does not hold. Have people label a fresh sample and calibrate again."
    )


def _comparison(one: Mapping[str, Any], number: int) -> Comparison:
    prompt = Prompt(id=str(one["id"]), messages=messages_from(one["prompt"], f"audit couple {number}"))
    a, b = (Answer(text, stopped) for text, stopped in zip(one["responses"], one["stopped"], strict=True))
    return Comparison(prompt, a, b)


def _asked(one: Mapping[str, Any], first: Verdict, second: Verdict) -> Asked:
    a, b = one["responses"]
    then = (float(one["verdicts"][0]), float(one["verdicts"][1]))
    return Asked(then, (first.value, 1.0 - second.value), float(one["people"]), (len(a) > len(b)) - (len(a) < len(b)))


def _agreement(verdicts: tuple[float, float], people: float) -> float:
    """The chance that a verdict, in an order drawn evenly, and one of the people prefer the same response."""
    p = sum(verdicts) / 2
    return p * people + (1 - p) * (1 - people)


def _first(verdicts: tuple[float, float]) -> float:
    return (verdicts[0] + 1.0 - verdicts[1]) / 2


def _longer(verdicts: tuple[float, float], longer: int) -> float:
    p = sum(verdicts) / 2
    return 0.5 if not longer else p if longer > 0 else 1 - p


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
