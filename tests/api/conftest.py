"""One small run, made through the Python API from a mapping, for all tests that read one."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import boresight as bs
from tests.cli.conftest import TINY, call, write_pipeline

__all__ = ["call", "tiny"]


def mapping(folder: Path) -> dict[str, Any]:
    """The tiny pipeline of the command's tests as a mapping, its files named from anywhere."""
    values = copy.deepcopy(TINY)
    for stage in values["stages"].values():
        for field in ("data", "prompts"):
            if field in stage:
                stage[field] = folder / stage[field]
    return values


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bs.Run]:
    settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    home = tmp_path_factory.mktemp("api")
    write_pipeline(home)
    yield bs.run(mapping(home), out=home / "run", say=lambda line: None)
    torch.set_num_threads(settings[0])
    torch.use_deterministic_algorithms(settings[1])
