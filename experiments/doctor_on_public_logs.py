"""How often the doctor names the cause first, on labelled logs of real runs.

python experiments/doctor_on_public_logs.py ../shared/data/runs            # table, confusion, figures
python experiments/doctor_on_public_logs.py ../shared/data/runs --json

The folder holds one folder a case: a log and a meta.json with `labels` (any of them is right), `secondary_labels` (true
as well), `confidence` and `log`. Scored are cases of high and medium confidence whose label is not `unclear`: the first
finding must be one of the labels. On cases labelled `healthy`, every finding above a note is a false alarm.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from boresight.diagnosis.diagnose import diagnose
from boresight.diagnosis.readers.folders import read_logs
from boresight.errors import BoresightError


@dataclass(frozen=True)
class Case:
    """One labelled log and what the doctor said."""

    name: str
    confidence: str
    labels: list[str]
    secondary: list[str]
    first: str
    verdict: str
    alarms: list[str]
    failure: str | None
    """What went wrong where no diagnosis came out."""

    @property
    def scored(self) -> bool:
        return self.confidence in ("high", "medium") and self.labels != ["unclear"]

    @property
    def right(self) -> bool:
        return self.first in (*self.labels, *self.secondary)

    @property
    def false_alarms(self) -> int:
        return len(self.alarms) if self.labels == ["healthy"] else 0


def look_at(folder: Path) -> Case:
    """Diagnose one case."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    common = (folder.name, meta["confidence"], meta["labels"], meta["secondary_labels"])
    try:
        diagnosis = diagnose(read_logs(folder / meta["log"])[0].run)
    except BoresightError as error:
        return Case(*common, "refused", "refused", [], str(error))
    except Exception as error:  # a crash is a result here, and the others are still looked at
        return Case(*common, "crash", "crash", [], f"{type(error).__name__}: {error}")
    alarms = [finding.id for finding in diagnosis.findings if finding.severity != "note"]
    return Case(*common, diagnosis.findings[0].id, diagnosis.verdict, alarms, None)


def measure(folder: Path) -> list[Case]:
    return [look_at(path.parent) for path in sorted(folder.glob("*/meta.json"))]


def figures(cases: list[Case]) -> dict[str, float | int]:
    scored = [case for case in cases if case.scored]
    right = sum(case.right for case in scored)
    healthy = [case for case in scored if case.labels == ["healthy"]]
    doubtful = [case for case in cases if case.labels == ["unclear"]]
    return {
        "cases": len(cases),
        "scored": len(scored),
        "right": right,
        "accuracy": right / max(len(scored), 1),
        "healthy": len(healthy),
        "false_alarms": sum(case.false_alarms for case in healthy),
        "healthy_with_alarm": sum(case.false_alarms > 0 for case in healthy),
        "unclear": len(doubtful),
        "unclear_told_so": sum(case.verdict == "unclear" for case in doubtful),
        "crashes": sum(case.failure is not None for case in cases),
    }


def show(cases: list[Case]) -> None:
    print(f"{'case':20s} {'confidence':10s} {'label':32s} {'first finding':22s} verdict")
    for case in cases:
        mark = " " if not case.scored else "." if case.right else "X"
        label = ", ".join(case.labels)
        print(f"{case.name:20s} {case.confidence:10s} {label:32s} {case.first:22s} {case.verdict} {mark}")
        if case.failure:
            print(f"    {case.failure}")
    print("\nconfusion (label -> first finding), scored cases")
    counts = Counter((case.labels[0], case.first) for case in cases if case.scored)
    for (label, first), count in sorted(counts.items()):
        print(f"  {label:22s} {first:22s} {count}")
    print()
    for name, value in figures(cases).items():
        print(f"{name:20s} {value:.3f}" if isinstance(value, float) else f"{name:20s} {value}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    cases = measure(arguments.folder)
    if not cases:
        print(f"{arguments.folder}: no case in it; expected folders with a meta.json", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"figures": figures(cases), "cases": [asdict(case) for case in cases]}, indent=1))
    else:
        show(cases)
    return 1 if figures(cases)["crashes"] else 0


if __name__ == "__main__":
    sys.exit(main())
