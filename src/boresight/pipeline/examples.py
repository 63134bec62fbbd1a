"""Where the embedded example lies: inside an installed package, or in the repository of an editable install."""

import shutil
from pathlib import Path

import boresight
from boresight.config.load import load_pipeline
from boresight.config.pipeline import Pipeline
from boresight.errors import ConfigError
from boresight.storage import folder_at_once, occupied

EXAMPLE = "kube_assistant"
PIPELINE_FILE = "pipeline.yaml"


def find_example(package: Path | None = None) -> Path:
    """The folder of the embedded example. `package`: folder of the package, by default that of this one.

    Raises ConfigError that names the places looked at where the installation lacks it.
    """
    package = package or Path(boresight.__path__[0])
    places = [package / "embedded" / EXAMPLE, package.parents[1] / "examples" / EXAMPLE]
    for place in places:
        if (place / PIPELINE_FILE).is_file():
            return place
    listed = " and ".join(str(place) for place in places)
    raise ConfigError(
        f"the embedded example is not part of this installation (looked for {PIPELINE_FILE} in {listed}). Install "
        "boresight from its wheel, or with `pip install -e .` in its repository."
    )


def copy_example(target: Path, package: Path | None = None) -> Pipeline:
    """Copy pipeline file and the data it reads into a folder, which appears whole or not at all; the pipeline there.

    Raises ConfigError where the folder holds something already, StorageError where it cannot be written.
    """
    if found := occupied(target):
        raise ConfigError(f"{target}: {found}; expected a new or empty folder. Choose another name.")
    example = find_example(package)
    pipeline = load_pipeline(example / PIPELINE_FILE)
    files = {path for stage in pipeline.stages for paths in pipeline.file_inputs(stage).values() for path in paths}
    with folder_at_once(target.absolute()) as staging:
        for file in sorted([example.resolve() / PIPELINE_FILE, *files]):
            place = staging / file.relative_to(example.resolve())
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
    return load_pipeline(target / PIPELINE_FILE)
