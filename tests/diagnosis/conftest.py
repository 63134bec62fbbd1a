"""Runs written out as logs of a framework, so that rules are tried on what readers give them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from boresight.diagnosis.diagnose import Diagnosis, diagnose
from boresight.diagnosis.readers.align import align
from boresight.diagnosis.readers.columns import gather

ROWS = 100


def noise(size: float, seed: int = 0, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, size, rows)


def ramp(start: float, end: float, size: float = 0.0, rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.linspace(start, end, rows) + noise(size, seed, rows)


def looked_at(columns: Mapping[str, ArrayLike | float], rows: int = ROWS, first: int = 1) -> Diagnosis:
    """The diagnosis of a log with these columns; a single number stands for a constant one."""
    full = {name: np.broadcast_to(np.asarray(column, float), (rows,)) for name, column in columns.items()}
    return diagnose(
        align(gather([{"step": n + first, **{k: float(v[n]) for k, v in full.items()}} for n in range(rows)]))
    )


def ids(diagnosis: Diagnosis, *severities: str) -> list[str]:
    return [finding.id for finding in diagnosis.findings if not severities or finding.severity in severities]


ALARMS: Sequence[str] = ("error", "warning")
