from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boresight.pipeline.run import run_pipeline

from . import tiny_pipeline as tiny


@pytest.fixture(scope="session")
def quiet_torch() -> Iterator[None]:
    """A run sets threads and deterministic kernels for the whole process: put back what was."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, quiet_torch: None) -> Path:
    """A folder with `data/` and a whole run in `run/`; tests that change anything copy it first."""
    folder = tmp_path_factory.mktemp("tiny")
    run_pipeline(tiny.load(folder / "data"), folder / "run", say=lambda line: None)
    return folder
