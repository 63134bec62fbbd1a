"""A pipeline from what people have at hand: a file, a mapping as a file would hold it, or one that was loaded."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.api.faults import public
from boresight.config.load import load_pipeline as load_file
from boresight.config.load import make_pipeline
from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError

Overrides = str | Sequence[str] | Mapping[str, Any]
"""Settings by dotted key, `{"stages.dpo.beta": 0.2}`, or as `--set` takes them, `["stages.dpo.beta=0.2"]`, or one."""

PipelineLike = Pipeline | Mapping[str, Any] | str | Path
"""A loaded pipeline, a mapping with the sections of a pipeline file, or the path of such a file."""


@public
def load_pipeline(pipeline: PipelineLike, *, overrides: Overrides = (), quick: bool = False) -> Pipeline:
    """A checked pipeline.

    Of a file relative paths start from its folder, of a mapping from the current folder. `quick` applies its quick
    section, `overrides` come after that. docs/settings.md lists the settings with their units.

    Raises ConfigError with all faults at once, each with file and line (of a mapping: with the dotted key).
    """
    texts = _as_set(overrides)
    if isinstance(pipeline, Pipeline):
        if texts or quick:
            raise ConfigError(
                f"{pipeline.path}: is loaded already; overrides and quick are given where it is loaded: "
                "bs.load_pipeline(path, overrides=...)."
            )
        return pipeline
    if isinstance(pipeline, Mapping):
        return make_pipeline(pipeline, overrides=texts, quick=quick)
    return load_file(Path(pipeline), texts, quick=quick)


def _as_set(overrides: Overrides) -> list[str]:
    """The texts of `--set`; a value in JSON is a value in YAML."""
    if isinstance(overrides, Mapping):
        return [f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in overrides.items()]
    return [overrides] if isinstance(overrides, str) else list(overrides)
