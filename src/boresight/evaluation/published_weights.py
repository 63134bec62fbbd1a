"""Length-controlled win rates from coefficients that a leaderboard published, joined on the instruction.

    p_i = sigmoid(baseline_weight + difficulty_weight * difficulty_i)

the published model with its length term at 0 (Dubois et al. 2024, arXiv:2404.04475). The weights are a table with one
row a model, in AlpacaEval's columns; the difficulties a table with `instruction` and `difficulty`.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from boresight.data.tables import Row, iterate_rows
from boresight.data.text_files import open_text
from boresight.errors import DataError
from boresight.evaluation.length_control import LengthControlled
from boresight.stats.calibration import sigmoid

LENGTH, DIFFICULTY = "np.tanh(std_delta_len)", "instruction_difficulty"
BASELINE = "not_gamed_baseline.astype(float)"


class ModelWeights(NamedTuple):
    length: float
    difficulty: float
    baseline: float


class PublishedWeights(NamedTuple):
    """A leaderboard's coefficients: of each model, and the difficulty of each instruction."""

    models: dict[str, ModelWeights]
    difficulties: dict[str, float]
    source: str

    def length_controlled(self, names: Sequence[str], instructions: Sequence[str]) -> LengthControlled:
        """`names` are those that the model goes by: the first that has weights counts.

        Raises DataError for a model without weights or an instruction without a difficulty.
        """
        model = next((name for name in names if name in self.models), None)
        if model is None:
            raise DataError(
                f"{self.source}: no weights of {' or '.join(map(repr, names))}; there are those of "
                f"{', '.join(sorted(self.models))}. Give those of this model, or leave --weights out."
            )
        unknown = [text for text in instructions if text not in self.difficulties]
        if unknown:
            raise DataError(
                f"{self.source}: {len(unknown)} of {len(instructions)} instructions have no difficulty (first: "
                f"{unknown[0][:60]!r}). Give the difficulties of this set of instructions."
            )
        weights = self.models[model]
        share = sigmoid(
            weights.baseline + weights.difficulty * np.array([self.difficulties[text] for text in instructions])
        )
        error = float(share.std(ddof=1) / np.sqrt(len(share)))
        return LengthControlled(float(share.mean()), error, weights.length)


def read_published_weights(weights: Path, difficulties: Path) -> PublishedWeights:
    """Raises DataError for a file without the columns that are needed, or with a number that cannot be read."""
    models = {
        name: ModelWeights(*(_number(row, column, where) for column in (LENGTH, DIFFICULTY, BASELINE)))
        for name, row, where in _weight_rows(weights)
    }
    known = {
        str(row.get("instruction")): _number(row, "difficulty", f"{difficulties}:{line}")
        for line, row in iterate_rows(difficulties)
    }
    return PublishedWeights(models, known, f"{weights}, {difficulties}")


def _weight_rows(path: Path) -> list[tuple[str, Row, str]]:
    """Model, row and place. The column of names may have no name itself, as an index that was written out."""
    with open_text(path) as stream:
        reader = csv.DictReader(stream)
        rows = [(row, f"{path}:{reader.line_num}") for row in reader]
    return [(str(row.get("model") or row.get("")), row, where) for row, where in rows]


def _number(row: Row, column: str, where: str) -> float:
    try:
        return float(row[column])
    except KeyError:
        raise DataError(
            f'{where}: no column "{column}" (columns: {", ".join(row)}). Give the file as it was published.'
        ) from None
    except (TypeError, ValueError):
        raise DataError(
            f'{where}: "{column}" is {row[column]!r}; expected a number. Give the file as it was published.'
        ) from None
