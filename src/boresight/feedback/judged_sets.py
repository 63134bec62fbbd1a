"""The judged couples of one or several files, with a calibration where there is one: what routing and merging work
on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boresight.feedback.calibration import load_calibration
from boresight.feedback.judged_couples import read_judged_couples
from boresight.feedback.jury import Method, Verdicts, seat_jury


def read_verdicts(
    paths: Sequence[Path], calibration: Path | None, method: Method = "mean"
) -> tuple[Verdicts, dict[str, Any]]:
    """The verdicts, and the hashes of what they were made of.

    Raises DataError for files that cannot be read or do not fit together, JudgeError for a calibration of another
    judge."""
    files = [read_judged_couples(path) for path in paths]
    jury = seat_jury(files, method)
    source: dict[str, Any] = {"judged": [file.sha256 for file in files], "judge": dict(jury.judge)}
    if calibration is None:
        return Verdicts(jury), source
    read = load_calibration(calibration)
    read.require(jury.judge, str(calibration))
    return Verdicts(jury, read), source | {"calibration": read.hash}
