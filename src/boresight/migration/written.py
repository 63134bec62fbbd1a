"""A translation as a folder with a pipeline file in it."""

from pathlib import Path

from boresight.errors import ConfigError
from boresight.migration.translation import Translation, pipeline_text
from boresight.storage import occupied, write_text


def write_translation(found: Translation, folder: Path) -> Path:
    """Write `pipeline.yaml` into a new or empty folder; its path. ConfigError where something stands there."""
    if found_there := occupied(folder):
        raise ConfigError(f"{folder}: {found_there}; expected a new or empty folder. Choose another name.")
    path = folder / "pipeline.yaml"
    write_text(path, pipeline_text(found))
    return path
