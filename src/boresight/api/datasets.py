"""Data files of every known form, with what is in them. This module loads no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from boresight.api.faults import public
from boresight.api.linting import LintResult, lint
from boresight.api.result import Result
from boresight.data.inspection import Inspection, inspect_file
from boresight.data.inspection_text import blocks_of
from boresight.data.readers import read_demonstrations, read_documents, read_pairs, read_prompts
from boresight.records import Demonstration, PreferencePair, Prompt
from boresight.tables import Block

Record = PreferencePair | Demonstration | Prompt | str


@dataclass(frozen=True, repr=False)
class Data(Result):
    """A data file: its figures, and its records when they are asked for. Iterating goes through the records."""

    inspection: Inspection
    columns: Mapping[str, str] | None = None
    form: str | None = None

    @property
    def path(self) -> Path:
        """The file or folder that was read."""
        return self.inspection.path

    @property
    def kind(self) -> str:
        """pairs, demonstrations, prompts or documents."""
        return self.inspection.kind

    @cached_property
    def records(self) -> Sequence[Record]:
        """All records, read once; odd ones among them (the lint tells which they are). Documents are plain texts."""
        if self.kind == "pairs":
            read = read_pairs(
                self.path, form=self.form, columns=self.columns,
                on_identical="keep", on_empty="keep", on_context_differs="keep",
            )  # fmt: skip
            return read.pairs
        if self.kind == "demonstrations":
            return read_demonstrations(self.path, form=self.form).demonstrations
        if self.kind == "documents":
            return read_documents(self.path).documents
        return read_prompts(self.path, form=self.form).prompts

    def __len__(self) -> int:
        return int(self.inspection.figures[self.kind])

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def lint(self) -> LintResult:
        """What is wrong with pairs or demonstrations."""
        return lint(self.path, columns=self.columns)

    def to_dict(self) -> dict[str, Any]:
        return {"file": str(self.path), **self.inspection.figures}

    def blocks(self) -> Sequence[Block]:
        return blocks_of(self.inspection, {})


@public
def load_data(path: str | Path, *, form: str | None = None, columns: Mapping[str, str] | None = None) -> Data:
    """A data file or folder, counted in one pass: preference pairs, demonstrations, prompts or documents.

    CSV, TSV, JSON Lines, JSON, Parquet, gzip of these and folders of Hugging Face datasets, in the forms of
    docs/data.md; `form` forces one, `columns` names the column of each part of a pair. Lengths are in characters.

    Raises DataError with file and line for rows that cannot be read.
    """
    return Data(inspect_file(path, form=form, columns=columns), columns, form)
