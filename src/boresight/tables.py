"""Columns of text that line up, for the terminal and for pipes alike."""

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not written yet: a terminal takes `str` of it, a notebook draws the rows. Cells are texts."""

    rows: Sequence[Sequence[str]]
    right: Sequence[int] = ()
    """Columns aligned to the right."""
    indent: str = "  "
    headed: bool = True
    """The first row names the columns."""

    def __str__(self) -> str:
        return table(self.rows, right=self.right, indent=self.indent)


Block = str | Table
"""A part of what is told: text, or a table."""


def joined(blocks: Iterable[Block]) -> str:
    """The blocks as a terminal shows them, a blank line between two."""
    return "\n\n".join(map(str, blocks))


NARROWEST = 24
"""Columns below which a cell is not wrapped: shreds are harder to read than a line that the terminal breaks."""


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> str:
    """Rows as lines; the columns numbered in `right` are aligned to the right. Empty where there are no rows.

    On a terminal that is too narrow the last column goes on below itself.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    room, last = room_for_last(widths, indent), len(widths) - 1
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        parts = [cells[-1]]
        if room is not None and last not in right:
            parts = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
        start = indent + "".join(f"{cell}  " for cell in cells[:-1])
        lines += [f"{start if place == 0 else ' ' * len(start)}{part}".rstrip() for place, part in enumerate(parts)]
    return "\n".join(lines)


def room_for_last(widths: Sequence[int], indent: str) -> int | None:
    """Columns for the last cell of a row; None where all of it may stand, or where too little is left for it."""
    columns = line_width()
    if columns is None or not widths or len(indent) + sum(widths) + 2 * (len(widths) - 1) <= columns:
        return None
    room = columns - len(indent) - sum(widths[:-1]) - 2 * (len(widths) - 1)
    return room if room >= NARROWEST else None


def line_width() -> int | None:
    """What COLUMNS says, or the terminal has; None where text goes to a file or a pipe, which take any length."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # no terminal, or a stream without a file behind it
        return None


def bytes_text(size: int) -> str:
    """Bytes in the unit that a person would choose."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {unit}"
    return "0" if size == 0 else f"{size} B"
