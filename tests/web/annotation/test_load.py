import importlib
from pathlib import Path

import pytest

import boresight

BENCH = Path(__file__).resolve().parents[3] / "bench"
SOURCES = str(Path(boresight.__path__[0]).parent)
FAULTS = ["lost_votes", "votes_nobody_sent", "double_assignments", "tasks_over_overlap", "tasks_under_overlap"]


@pytest.fixture(autouse=True)
def bench_on_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    monkeypatch.setenv("PYTHONPATH", SOURCES)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_the_load_test_loses_and_doubles_nothing(place: str) -> None:
    measure = importlib.import_module("label_load").measure
    result = measure(place, people=4, count=12, overlap=2, pause=0.0, seconds=60.0)
    assert result["answers"] == 24
    assert {name: result[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)


@pytest.mark.slow
def test_a_server_that_is_killed_under_load_loses_no_vote(place: str) -> None:
    measure = importlib.import_module("label_http").measure
    load = {"people": 4, "count": 60, "overlap": 2, "pause": 0.02}
    result = measure(place, **load, seconds=60.0, kills=1, kill_every=0.5)
    assert result["kills"] == 1 and result["answers"] == 120 and result["unexpected"] == []
    assert {name: result[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
