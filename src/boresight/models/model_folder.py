"""Which folder holds the model that a command line names; known without torch."""

from pathlib import Path

from boresight.errors import ModelError
from boresight.storage import read_json

WEIGHTS = ("*.safetensors", "*.bin")
CLASSIFIER = "ForSequenceClassification"


def model_folder(path: Path) -> Path:
    """The folder of the model itself: the one given, or `model` in the folder of a stage. ModelError where neither
    holds one."""
    for folder in (path, path / "model"):
        if holds_model(folder):
            return folder
    stages = sorted(folder.parent.name for folder in path.glob("stages/*/model"))
    if stages:
        listed = ", ".join(stages)
        raise ModelError(f"{path}: is a run with several models; name one of them, as {path}/stages/NAME: {listed}.")
    found = "no such folder" if not path.exists() else "holds no model (config.json with weights beside it)"
    raise ModelError(f"{path}: {found}; expected a model folder, or RUN/stages/NAME of a stage that makes a model.")


def holds_model(folder: Path) -> bool:
    """Whether there are weights with their config."""
    return (folder / "config.json").is_file() and any(any(folder.glob(weights)) for weights in WEIGHTS)


def is_classifier(folder: Path) -> bool:
    """Whether the model of a folder scores texts, by the architecture that its config names."""
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    named = config.get("architectures") if isinstance(config, dict) else None
    return any(str(name).endswith(CLASSIFIER) for name in named or ())
