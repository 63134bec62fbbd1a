"""A translation as a folder with a pipeline file in it."""

from pathlib import Path

from boresight.errors import ConfigError
from boresight.migration.translation import Translation, pipeline_text
from boresight.storage import write_text


def write_translation(found: Translation, folder: Path) -> Path:
    """Write `pipeline.yaml` into a new or empty folder; its path. ConfigError where something stands there."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds files already" if folder.is_dir() else "is a file"
        raise ConfigError(f"{folder}: {what}; expected a new or empty folder. Choose another name.")
    path = folder / "pipeline.yaml"
    write_text(path, pipeline_text(found))
    return path
