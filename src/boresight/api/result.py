"""What every function of the Python API returns: one object in four forms, for programs, terminals and notebooks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from boresight.tables import Block, joined


class Result(ABC):
    """`to_dict()` is the object that the verb prints with `--json`, `str()` what it prints without; a notebook shows
    the same text with its tables drawn, and the pictures that belong to it."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The object of the verb's `--json`: plain values that JSON has a form for."""

    @abstractmethod
    def blocks(self) -> Sequence[Block]:
        """What is told, as text and tables."""

    def pictures(self) -> Sequence[Markup]:
        """Inline SVG in the colours of the report's page; drawn when a notebook asks for it."""
        return ()

    def __str__(self) -> str:
        return joined(self.blocks())

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        from boresight.api.notebook import as_markdown

        return as_markdown(self.blocks())

    def _repr_html_(self) -> str:
        from boresight.api.notebook import as_html

        return as_html(self.blocks(), self.pictures())
