"""A judge's calibration as a small file: which judge and rubric, fitted to which data, how good out of fold, the map.

The file refuses to be applied to labels of another judge or rubric. It carries a few of the couples it was fitted to,
with what the judge said of them then, so that the judge can be asked again and drift is seen
(`boresight.feedback.drift`)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boresight.errors import DataError, JudgeError
from boresight.feedback.ai_labels import Compared
from boresight.feedback.calibration_fit import CrossFit, Sample, calibration_figures, cross_fit
from boresight.feedback.calibration_maps import CalibrationMap, map_from_json
from boresight.feedback.human_votes import HumanLabel
from boresight.feedback.judged_couples import JudgedCouple
from boresight.storage import canonical_json, hash_text, write_json

FORM = "boresight judge calibration 1"
Labelled = Sequence[tuple[JudgedCouple, HumanLabel]]


@dataclass(frozen=True)
class Calibration:
    """`judge` is what the labels say of who judged; `data` the hashes and counts of what the map was fitted to;
    `figures` those of `calibration_figures`, out of fold; `audit` couples with verdicts and people's share for `a`."""

    judge: Mapping[str, Any]
    map: CalibrationMap
    data: Mapping[str, Any]
    figures: Mapping[str, Any]
    audit: Sequence[Mapping[str, Any]] = ()

    @property
    def hash(self) -> str:
        return hash_text(canonical_json(self.as_json()))

    def as_json(self) -> dict[str, Any]:
        return {
            "form": FORM,
            "judge": dict(self.judge),
            "map": self.map.as_json(),
            "data": dict(self.data),
            "out_of_fold": dict(self.figures),
            "audit": [dict(one) for one in self.audit],
        }

    def p(self, p: float, a: str, b: str) -> float:
        """How likely people prefer `a`, from the judge's probability and the two texts."""
        return float(self.map.apply(np.array([p]), np.array([float(len(a) - len(b))]))[0])

    def of_compared(self, one: Compared) -> float:
        """The same for a comparison that was just made."""
        return self.p(one.p_a, one.a.text, one.b.text)

    def require(self, judge: Mapping[str, Any], where: str) -> None:
        """Raises JudgeError where the labels are another judge's, or of another rubric."""
        for key in sorted({*self.judge, *judge}):
            if self.judge.get(key) != judge.get(key):
                raise JudgeError(
                    f"{where}: calibrated for {key} {_short(self.judge.get(key))}, but these labels are of "
                    f"{_short(judge.get(key))}; a calibration holds for one judge with one rubric. Calibrate this one: "
                    "boresight judge calibrate."
                )


def sample_of(labelled: Labelled) -> Sample:
    """What the maps are fitted to: the couples that have a verdict."""
    rows = [
        (p, human.p_a, len(couple.a) - len(couple.b), couple.prompt_id)
        for couple, human in labelled
        if (p := couple.p_a) is not None
    ]
    judge, people, length = (np.array([row[i] for row in rows], dtype=np.float64) for i in range(3))
    return Sample(judge, people, length, [row[3] for row in rows])


def calibrate(
    labelled: Labelled,
    judge: Mapping[str, Any],
    data: Mapping[str, Any],
    *,
    seed: int = 0,
    audit: int = 0,
) -> tuple[Calibration, CrossFit, Sample]:
    """The calibration of a judge, the cross-fit behind it and the sample it rests on; `audit` couples are kept in
    it."""
    sample = sample_of(labelled)
    fit = cross_fit(sample, seed=seed)
    figures = {"map": fit.chosen.name, **calibration_figures(fit.predicted, sample), "n": len(sample.p)}
    return Calibration(judge, fit.chosen, data, figures, audit_sample(labelled, audit, seed)), fit, sample


def audit_sample(labelled: Labelled, count: int, seed: int) -> list[dict[str, Any]]:
    """So many couples with a verdict, drawn by a hash of the seed and their ids, as `Calibration.audit` holds them."""
    able = [(couple, human) for couple, human in labelled if couple.p_a is not None and couple.swapped is not None]
    drawn = sorted(able, key=lambda one: hash_text(f"{seed}/{one[0].id}"))[:count]
    return [
        {
            "id": couple.id,
            "prompt": [{"role": m.role, "content": m.content} for m in couple.prompt],
            "responses": [couple.a, couple.b],
            "stopped": [couple.stopped_a, couple.stopped_b],
            "verdicts": [couple.given, couple.swapped],
            "people": human.p_a,
        }
        for couple, human in drawn
    ]


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write the map with its figures, hashes and the couples that drift is looked for on; atomic."""
    write_json(path, calibration.as_json() | {"sha256": calibration.hash})


def load_calibration(path: Path) -> Calibration:
    """Raises DataError for a file that is none, or that was changed by hand."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: no calibration ({error}); expected the file of `judge calibrate --out`. Give that file."
        ) from error
    if not isinstance(content, dict) or content.get("form") != FORM:
        raise DataError(
            f'{path}: "form" is not "{FORM}"; expected the file of `judge calibrate --out`. Give that file.'
        )
    said = content.pop("sha256", None)
    if said != hash_text(canonical_json(content)):
        raise DataError(f"{path}: its content does not belong to its sha256; it was changed. Calibrate again.")
    read = map_from_json(content["map"], str(path))
    return Calibration(content["judge"], read, content["data"], content["out_of_fold"], content["audit"])


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:12] + "…")
