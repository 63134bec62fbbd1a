"""The figures that experiments print, held: labelled logs of real runs, and speed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
LOGS = ROOT.parent / "shared" / "data" / "runs"


def experiment(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "experiments" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not LOGS.is_dir(), reason="the labelled logs are not beside this checkout (../shared/data/runs)")
def test_figures_on_labelled_logs() -> None:
    script = experiment("doctor_on_public_logs")
    cases = script.measure(LOGS)
    figures = script.figures(cases)
    assert [case.failure for case in cases if case.failure] == []
    assert figures["cases"] == 36
    assert figures["accuracy"] >= 0.85, [case for case in cases if case.scored and not case.right]
    assert figures["false_alarms"] <= 1


@pytest.mark.slow
def test_a_million_rows_take_less_than_ten_seconds_of_a_core() -> None:
    script = experiment("doctor_speed")
    assert script.measure(200_000).processor < script.LIMIT_SECONDS / 5
