"""Which folder holds the model that a command line names; known without torch."""

from pathlib import Path

from boresight.errors import ModelError

WEIGHTS = ("*.safetensors", "*.bin")


def model_folder(path: Path) -> Path:
    """The folder of the model itself: the one given, or `model` in the folder of a stage."""
    for folder in (path, path / "model"):
        if (folder / "config.json").is_file() and any(any(folder.glob(weights)) for weights in WEIGHTS):
            return folder
    stages = sorted(folder.parent.name for folder in path.glob("stages/*/model"))
    if stages:
        listed = ", ".join(stages)
        raise ModelError(f"{path}: is a run with several models; name one of them, as {path}/stages/NAME: {listed}.")
    found = "no such folder" if not path.exists() else "holds no model (config.json with weights beside it)"
    raise ModelError(f"{path}: {found}; expected a model folder, or RUN/stages/NAME of a stage that makes a model.")
