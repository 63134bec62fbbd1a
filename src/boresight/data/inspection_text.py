"""What a data file holds, as text for a person."""

from collections.abc import Mapping
from typing import Any

from boresight.data.inspection import Inspection
from boresight.tables import Block, Table


def blocks_of(inspected: Inspection, skipped: Mapping[str, Any]) -> list[Block]:
    """The figures one a line, oddities with the lines of the first ones; `skipped` are figures of rows passed over."""
    rows = []
    for name, value in {**inspected.figures, **skipped}.items():
        shown = f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)
        lines = ", ".join(map(str, inspected.examples.get(name, ())))
        rows.append([name, shown, f"lines {lines}" if lines else ""])
    unread = ", ".join(inspected.unused_columns)
    told = [f"  columns that are not read: {unread}"] if unread else []
    return [str(inspected.path), Table(rows, right=(1,), headed=False), *told]
