"""Is this checkout fit for a release? `make release-check` builds wheel and sdist, looks into both, tries the wheel.

The wheel is installed into a clean environment of every Python 3.11, 3.12 and 3.13 that is present (absent ones are
named), where the command, the import and the demo must work from the wheel alone. Counted are the packages that it
brings beyond torch and transformers with what these need, and how long `import boresight` takes.

    python release/check.py                      # the demo as a smoke test
    python release/check.py --full-demo --json docs/figures/release.json

Exit code 0: everything holds on every Python that was tried, and one at least was.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from archives import sdist_faults, wheel_faults
from pythons import PYTHONS, find_pythons
from trial import Trial, faults_of, try_wheel

ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full-demo", action="store_true", help="the whole demo, minutes for each Python")
    parser.add_argument("--torch", default="torch", help="what pip installs as torch, for example torch==2.13.0")
    parser.add_argument("--python", action="append", metavar="X.Y", help="this version alone; may repeat")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    given = parser.parse_args(arguments)
    wanted = tuple(given.python or PYTHONS)
    with tempfile.TemporaryDirectory(prefix="boresight-release-") as place:
        wheel, faults = built(Path(place) / "dist")
        present = find_pythons(wanted)
        trials = []
        for version, interpreter in present.items():
            print(f"Python {version}: installing {wheel.name}", flush=True)
            folder = Path(place) / version
            trials.append(try_wheel(version, interpreter, wheel, folder, torch=given.torch, full_demo=given.full_demo))
    absent = [version for version in wanted if version not in present]
    faults += [fault for trial in trials for fault in faults_of(trial)]
    faults += [] if trials else [f"none of Python {', '.join(wanted)} is present; the wheel was tried nowhere"]
    print(told(trials, absent, faults))
    if given.json is not None:
        figures = {"wheel": wheel.name, "trials": [asdict(one) for one in trials], "absent": absent, "faults": faults}
        given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if faults else 0


def built(out: Path) -> tuple[Path, list[str]]:
    """Wheel (made from the sdist, as an installer without wheels would) and what is wrong with the two."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, stdout=subprocess.DEVNULL
    )
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(sdist)], capture_output=True, text=True
    )
    faults = [] if checked.returncode == 0 else [f"twine check: {checked.stdout.strip()} {checked.stderr.strip()}"]
    return wheel, [*faults, *wheel_faults(wheel, ROOT), *sdist_faults(sdist, ROOT)]


def told(trials: Sequence[Trial], absent: Sequence[str], faults: Sequence[str]) -> str:
    rows = [
        f"  Python {one.python}: {one.beyond} packages beyond torch's and transformers' own, of {one.packages}; import "
        f"{1000 * one.import_seconds:.0f} ms, --help {1000 * one.help_seconds:.0f} ms; demo {one.demo_seconds:.0f} s"
        f"{'' if one.full_demo else ' (--quick)'}"
        for one in trials
    ]
    rows += [f"  Python {version}: not present, not tried" for version in absent]
    return "\n".join(["", *rows, *(f"FAULT {fault}" for fault in faults), "" if faults else "everything holds"])


if __name__ == "__main__":
    sys.exit(main())
