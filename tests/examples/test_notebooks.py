"""The example notebooks run from beginning to end, and lie in the repository without their outputs."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
TIMEOUT = 120
"""Seconds for one cell; all of a notebook take about ten on one core that has nothing else to do."""


def test_there_are_notebooks_and_none_carries_outputs() -> None:
    assert [path.name for path in NOTEBOOKS] == ["log_data_plan.ipynb", "preferences_to_model.ipynb"]
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert cell.get("outputs", []) == [] and cell.get("execution_count") is None, path


def executed(name: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> list[Any]:
    """The cells of a notebook after it has run in a kernel of its own."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install nbclient ipykernel")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install nbclient ipykernel")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(home))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    notebook = nbformat.read(FOLDER / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    cells: list[Any] = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells


def shown(cell: Any, kind: str = "text/html") -> str:
    """What the last line of a cell shows, in that form."""
    return "".join(output["data"].get(kind, "") for output in cell.outputs if output.output_type == "execute_result")


@pytest.mark.slow
def test_a_csv_of_preferences_becomes_a_judged_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = executed("preferences_to_model.ipynb", monkeypatch, tmp_path)
    by_source = {cell.source.splitlines()[-1]: cell for cell in cells}
    run = shown(by_source["run"])
    assert run.count("<svg") == 3 and "holds: all 2 checks" in run
    progress = "".join(output.text for output in by_source["run"].outputs if output.output_type == "stream")
    assert "━" in progress
    assert not any("IProgress" in output.get("text", "") for cell in cells for output in cell.outputs)
    rates = next(shown(cell) for cell in cells if cell.source.startswith("bs.evaluate.winrate"))
    assert "<svg" in rates and "dpo" in rates
    assert 'class="boresight"' in shown(by_source["bs.lint(preferences)"])


@pytest.mark.slow
def test_a_log_a_data_file_and_a_plan_are_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cells = executed("log_data_plan.ipynb", monkeypatch, tmp_path)
    by_source = {cell.source.splitlines()[-1]: cell for cell in cells}
    assert shown(by_source["sick"]).count("<svg") == 1 and "length" in shown(by_source["sick"])
    assert shown(by_source["sick.verdict, healthy.verdict"], "text/plain") == "('warning', 'healthy')"
    assert "length_bias" in shown(by_source["found"])
    ways = shown(by_source["refused.feasible, refused.chosen.ways"], "text/plain")
    assert " ".join(ways.split()).startswith("(False, ('--finetune lora")
