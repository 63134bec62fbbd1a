"""The page of the Python API: its example runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_example_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    code, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python_api.md").read_text(encoding="utf-8"), re.DOTALL)
    shown: dict[str, object] = {}
    exec(compile(code.replace("bs.lint(", "found = bs.lint("), "python_api.md", "exec"), shown)
    assert "length_bias" in str(shown["found"])
