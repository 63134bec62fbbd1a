"""What several judges of the same couples say together: the majority, the mean, or Dawid and Skene's weighing.

    mean         the mean of their probabilities, over orders and judges
    majority     the share of judges whose label is that response; a judge whose orders disagree abstains
    dawid_skene  the posterior of the better response, each judge weighed by the reliability that EM finds in how they
                 agree with each other (Dawid & Skene 1979); no answer key is needed. Judges that err together, as those
                 of one family do, are taken for surer than they are: calibrate the jury against people.

A reward model is a judge like any other. Verdicts of one judge alone are a jury of one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from boresight.errors import DataError
from boresight.feedback.calibration import Calibration
from boresight.feedback.judged_couples import JudgedCouple, JudgedFile, side
from boresight.stats.dawid_skene import dawid_skene

Method = Literal["mean", "majority", "dawid_skene"]


@dataclass(frozen=True)
class Jury:
    """`couples` carry the jury's word in both orders; `by_judge` each judge's own couples, in the same order."""

    judge: Mapping[str, Any]
    couples: Sequence[JudgedCouple]
    by_judge: Sequence[Sequence[JudgedCouple]]


class Verdicts:
    """What is known of each couple before people are asked: the calibrated probability, the label, the disagreement."""

    def __init__(self, jury: Jury, calibration: Calibration | None = None) -> None:
        self.judge, self.couples = jury.judge, jury.couples
        self._calibration = calibration
        self._by_id = {one.id: [own[i] for own in jury.by_judge] for i, one in enumerate(jury.couples)}

    def p(self, couple: JudgedCouple) -> float | None:
        """How likely people prefer `a`; None without a verdict."""
        p = couple.p_a
        return p if p is None or self._calibration is None else self._calibration.p(p, couple.a, couple.b)

    def label(self, couple: JudgedCouple) -> int:
        """1 or 2 where both orders prefer that response, and calibration leaves it so; 0 for no label."""
        p = self.p(couple)
        if p is None or not couple.label or p == 0.5:
            return 0
        return 1 if p > 0.5 else 2

    def spread(self, couple: JudgedCouple) -> float:
        """Standard deviation of the probability over judges."""
        own = [p for one in self._by_id[couple.id] if (p := one.p_a) is not None]
        return float(np.std(own)) if own else 0.0

    def disagree(self, couple: JudgedCouple) -> bool:
        """Whether two judges prefer different responses."""
        sides = {side(p) for one in self._by_id[couple.id] if (p := one.p_a) is not None}
        return {1, -1} <= sides


def seat_jury(files: Sequence[JudgedFile], method: Method = "mean") -> Jury:
    """The jury of one or several judges. Raises DataError where they judged different couples, or one judge sits twice.

    A couple in which a judge failed is judged by the others.
    """
    if len(files) == 1:
        return Jury(files[0].judge, files[0].couples, [files[0].couples])
    _require_different_judges(files)
    aligned = [_aligned(files[0], other) for other in files]
    members = [dict(file.judge) for file in files]
    ways = {"mean": _mean, "majority": _majority, "dawid_skene": _dawid_skene}
    return Jury({"jury": method, "members": members}, ways[method](aligned), aligned)


def _mean(by_judge: Sequence[Sequence[JudgedCouple]]) -> list[JudgedCouple]:
    couples = []
    for own in zip(*by_judge, strict=True):
        read = [one for one in own if not one.failure]
        given = [one.given for one in read if one.given is not None]
        swapped = [one.swapped for one in read if one.swapped is not None]
        couples.append(_said(own[0], _average(given), _average(swapped), "" if given else own[0].failure))
    return couples


def _majority(by_judge: Sequence[Sequence[JudgedCouple]]) -> list[JudgedCouple]:
    couples = []
    for own in zip(*by_judge, strict=True):
        votes = [float(one.label == 1) for one in own if one.label]
        failed = all(one.label is None for one in own)
        p = sum(votes) / len(votes) if votes else 0.5
        couples.append(_said(own[0], None, None, own[0].failure) if failed else _said(own[0], p, p, ""))
    return couples


def _dawid_skene(by_judge: Sequence[Sequence[JudgedCouple]]) -> list[JudgedCouple]:
    """Each couple stands in the table in both namings, so that neither is likelier before anything is said."""
    rows = [tuple(one.label or None for one in own) for own in zip(*by_judge, strict=True)]
    voted = [place for place, row in enumerate(rows) if any(row)]
    if not voted:
        return _majority(by_judge)
    mirrored = [tuple(value and 3 - value for value in rows[place]) for place in voted]
    try:
        found = dawid_skene([rows[place] for place in voted] + mirrored, tolerance=1e-4, max_iterations=5000)
    except ValueError as error:  # too little overlap to tell the judges apart
        raise DataError(
            f"jury: these {len(by_judge)} judges cannot be weighed by how they agree ({error}). Take --jury mean or "
            "majority, or more couples."
        ) from error
    posterior = found.posterior
    p = dict(zip(voted, posterior[: len(voted), 0].tolist(), strict=True))
    couples = []
    for place, own in enumerate(zip(*by_judge, strict=True)):
        failed = all(one.label is None for one in own)
        value = p.get(place, 0.5)
        couples.append(_said(own[0], None, None, own[0].failure) if failed else _said(own[0], value, value, ""))
    return couples


def _said(couple: JudgedCouple, given: float | None, swapped: float | None, failure: str) -> JudgedCouple:
    return replace(couple, given=given, swapped=swapped, failure=failure)


def _average(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _aligned(first: JudgedFile, other: JudgedFile) -> list[JudgedCouple]:
    """The couples of `other` in the order and naming of `first`."""
    by_key = {couple.key: couple for couple in other.couples}
    missing = [couple.id for couple in first.couples if couple.key not in by_key]
    if missing or len(by_key) != len(first.couples):
        raise DataError(
            f"{other.path}: {len(other.couples):,} couples, of which {len(first.couples) - len(missing):,} are among "
            f"the {len(first.couples):,} of {first.path}; a jury judges the same couples. Give each judge the same "
            "responses, --pairs-per-prompt and --seed."
        )
    found = []
    for couple in first.couples:
        own = by_key[couple.key]
        turned = own.a.strip() != couple.a.strip()
        given, swapped = (_turned(own.swapped), _turned(own.given)) if turned else (own.given, own.swapped)
        found.append(replace(couple, given=given, swapped=swapped, failure=own.failure))
    return found


def _turned(value: float | None) -> float | None:
    return None if value is None else 1.0 - value


def _require_different_judges(files: Sequence[JudgedFile]) -> None:
    for place, file in enumerate(files):
        for other in files[:place]:
            if file.judge == other.judge:
                raise DataError(
                    f"{file.path}: the judge of {other.path}, too ({dict(file.judge)}); a jury has different judges."
                    " Leave one of the two out."
                )
