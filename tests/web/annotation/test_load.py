import importlib.util
from pathlib import Path

BENCH = Path(__file__).resolve().parents[3] / "bench" / "label_load.py"


def test_the_load_test_loses_and_doubles_nothing(place: str) -> None:
    spec = importlib.util.spec_from_file_location("label_load", BENCH)
    assert spec is not None and spec.loader is not None
    label_load = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(label_load)
    result = label_load.measure(place, people=4, count=12, overlap=2, pause=0.0, seconds=60.0)
    assert result["answers"] == 24
    faults = "lost_votes votes_nobody_sent double_assignments tasks_over_overlap tasks_under_overlap"
    assert {name: result[name] for name in faults.split()} == dict.fromkeys(faults.split(), 0)
