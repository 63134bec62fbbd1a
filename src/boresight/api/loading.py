"""`load`: whatever lies at a path, told by what it is."""

from pathlib import Path
from typing import TYPE_CHECKING, Union

from boresight.api.datasets import Data, load_data
from boresight.api.faults import public
from boresight.api.pipelines import load_pipeline
from boresight.api.runs import Run, load_run
from boresight.config.pipeline import Pipeline

if TYPE_CHECKING:
    from boresight.api.models import Model, RewardModel

Loaded = Union[Data, Pipeline, Run, "Model", "RewardModel"]


@public
def load(path: str | Path) -> Loaded:
    """A pipeline file (.yaml, .yml), a run's folder, a model's folder or that of a stage, otherwise a data file.

    `load_pipeline`, `load_run`, `load_model` and `load_data` do the same where it is known what it is, and take more
    options. Raises what they raise.
    """
    place = Path(path)
    if place.suffix in (".yaml", ".yml"):
        return load_pipeline(place)
    if (place / "run.json").is_file():
        return load_run(place)
    if any((folder / "config.json").is_file() for folder in (place, place / "model")):
        from boresight.api.models import load_model

        return load_model(place)
    return load_data(place)
