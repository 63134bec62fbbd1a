"""The blocks that take long run to their end: with `--long-blocks` alone, as `make release-check` calls it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, pages
from tests.docs.long_blocks import distinct, run_long
from tests.docs.stand_ins import ROLES, launched_folder
from tests.docs.world import build_world, write_published


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="session")
def meant(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """What stands for names that the reader has to fill in: this checkout, a few rows in the form of published files
    that are not ours to pass on, a pipeline of seconds."""
    folder = tmp_path_factory.mktemp("filled in")
    (folder / "world").mkdir()
    build_world(folder / "world")
    write_published(folder / "published")
    pipeline = launched_folder(folder / "launched", folder / "world", ROLES) / "pipeline.yaml"
    return {"<this repository>": ROOT, "FOLDER": folder / "published", "pipeline.yaml": pipeline}


@pytest.mark.parametrize(
    "block", distinct(block for page in pages() for block in blocks_of(page)), ids=lambda block: block.place
)
def test_the_block_runs(block: Block, place: Path, meant: Mapping[str, Path]) -> None:
    run_long(block, place, meant)
