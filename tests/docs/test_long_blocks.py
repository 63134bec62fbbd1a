"""The blocks that take minutes run to their end: with `--long-blocks` alone, as `make release-check` calls it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, Block, blocks_of, pages
from tests.docs.long_blocks import distinct, run_long
from tests.docs.world import write_published


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="session")
def meant(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """This checkout, and a few rows in the form of published files that are not ours to pass on."""
    published = tmp_path_factory.mktemp("published") / "files"
    write_published(published)
    return {"<this repository>": ROOT, "FOLDER": published}


@pytest.mark.parametrize(
    "block", distinct(block for page in pages() for block in blocks_of(page)), ids=lambda block: block.place
)
def test_the_block_runs(block: Block, place: Path, meant: Mapping[str, Path]) -> None:
    run_long(block, place, meant)
