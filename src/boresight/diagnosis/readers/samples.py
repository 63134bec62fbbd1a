"""Responses that a stage of ours keeps beside its metrics."""

import json
import math
from pathlib import Path
from typing import Any

from boresight.diagnosis.readers.numbers import as_number
from boresight.diagnosis.responses import Sample


def read_samples(path: Path) -> tuple[tuple[Sample, ...], tuple[str, ...]]:
    """The responses in the order of their steps, and what to remark about lines that are none; nothing where the file
    is absent."""
    if not path.is_file():
        return (), ()
    found, bad = [], 0
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            sample = _sample(line)
            if sample is not None:
                found.append(sample)
            elif line.strip():
                bad += 1
    remarks = (f"{bad} lines of {path.name} are no responses and were passed over",) if bad else ()
    return tuple(sorted(found, key=lambda sample: sample.step)), remarks


def _sample(line: str) -> Sample | None:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    step = as_number(row.get("step")) if isinstance(row, dict) else None
    if step is None or not math.isfinite(step) or not isinstance(row.get("response"), str):
        return None
    tokens = as_number(row.get("tokens"))
    stopped = row.get("stopped")
    return Sample(
        step=int(step),
        prompt=str(row.get("prompt", "")),
        response=row["response"].encode("utf-8", "replace").decode("utf-8"),  # half a surrogate pair cannot be printed
        score=as_number(row.get("score")),
        tokens=int(tokens) if tokens is not None and math.isfinite(tokens) else None,
        stopped=stopped if isinstance(stopped, bool) else None,
        kind=str(row.get("kind") or ""),
        rule_score=as_number(row.get("rule_score")),
        measures=_measures(row.get("measures")),
    )


def _measures(value: Any) -> tuple[tuple[str, bool], ...]:
    if not isinstance(value, dict):
        return ()
    return tuple((str(name), hit) for name, hit in sorted(value.items()) if isinstance(hit, bool))
