"""Columns of text that line up, for the terminal and for pipes alike."""

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


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> str:
    """Rows as lines; the columns numbered in `right` are aligned to the right. Empty where there are no rows."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def bytes_text(size: int) -> str:
    """Bytes in the unit that a person would choose."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {unit}"
    return "0" if size == 0 else f"{size} B"
