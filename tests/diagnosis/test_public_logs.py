"""The figures that experiments print, held: labelled logs of real runs, and speed."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.align import align
from boresight.diagnosis.readers.columns import Column, RawLog
from boresight.diagnosis.readers.files import read_raw

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


@pytest.mark.skipif(not LOGS.is_dir(), reason="the labelled logs are not beside this checkout (../shared/data/runs)")
@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_healthy_log_that_ends_early_raises_no_alarm(share: float) -> None:
    cases = [case for case in experiment("doctor_on_public_logs").measure(LOGS) if case.labels == ["healthy"]]
    assert len(cases) >= 9
    for case in cases:
        meta = json.loads((LOGS / case.name / "meta.json").read_text(encoding="utf-8"))
        diagnosis = diagnose(align(begun(read_raw(LOGS / case.name / meta["log"]), share)))
        assert [finding.id for finding in diagnosis.findings if finding.severity != "note"] == [], case.name


def begun(raw: RawLog, share: float) -> RawLog:
    """The first rows of a log."""
    rows = max(int(raw.rows * share), 1)
    columns = {name: Column(c.rows[c.rows < rows], c.values[c.rows < rows]) for name, c in raw.columns.items()}
    return raw._replace(columns={name: c for name, c in columns.items() if len(c.rows)}, rows=rows)


@pytest.mark.slow
def test_a_long_log_takes_a_few_times_what_parsing_it_takes(tmp_path: Path) -> None:
    """Seconds are those of the machine and of what else it does: `experiments/doctor_speed.py` tells them."""
    script, rows, log = experiment("doctor_speed"), 100_000, tmp_path / "log.jsonl"
    script.write_log(log, rows)
    begin = time.process_time()
    parsed = [json.loads(line) for line in log.read_text().splitlines()]
    parsing = time.process_time() - begin
    assert len(parsed) == rows
    assert script.measure(rows).processor < 6 * parsing
