"""Agreement of raters as text for a person."""

from pathlib import Path
from typing import Any

from boresight.tables import Block, Table


def blocks_of(file: Path, result: dict[str, Any]) -> list[Block]:
    """Figures with their intervals, one a line; then labels and judges."""
    rows = [[name, _number(result[name]), _interval(bounds)] for name, bounds in result["intervals"].items()]
    parts: list[Block] = [
        f"{file}\n  {result['n']:,} items, {result['raters']} raters",
        Table(rows, right=(1,), headed=False),
    ]
    orders = ("accuracy_given_order", "accuracy_swapped", "correct_in_both", "correct_by_vote", "same_verdict_in_both",
              "first_position_rate", "unparsable", "cohen_kappa_given_order", "cohen_kappa_swapped")  # fmt: skip
    if "accuracy_given_order" in result:
        parts.append(Table([[name, _number(result[name])] for name in orders], right=(1,), headed=False))
    if len(result["cohen_kappa_pairs"]) > 1:
        pairs = [[f"kappa of {names}", _number(kappa)] for names, kappa in result["cohen_kappa_pairs"].items()]
        parts.append(Table(pairs, right=(1,), headed=False))
    labels = {**result.get("labels", {}), **{k: result[k] for k in ("majority", "final") if k in result}}
    labels |= {f"final, {group}": counts for group, counts in result.get("final_by_group", {}).items()}
    if labels:
        rows = [[name, ", ".join(f"{k}: {v:,}" for k, v in own.items())] for name, own in labels.items()]
        parts.append(Table(rows, headed=False))
    for name, judge in result.get("judges", {}).items():
        figures = [[f"{name}: {key}", _number(value)] for key, value in judge.items()]
        parts.append(Table(figures, right=(1,), headed=False))
    return parts


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _interval(bounds: list[float | None]) -> str:
    return "" if None in bounds else f"{bounds[0]:.4f} to {bounds[1]:.4f}"
