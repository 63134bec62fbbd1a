"""Numbers that other implementations gave, with their provenance; see golden_values.json."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    return json.loads((Path(__file__).parent / "golden_values.json").read_text())
