"""`pytest tests/docs --long-blocks` runs the blocks that take long, too."""

from pathlib import Path

import pytest

LONG = "test_long_blocks.py"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long-blocks", action="store_true", help="Run the blocks of the pages that take long, too.")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    asked = config.getoption("--long-blocks", default=False)  # not known where the tests are named from further up
    return True if collection_path.name == LONG and not asked else None
