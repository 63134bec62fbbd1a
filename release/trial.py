"""The wheel in a clean environment: what it brings, and whether it works without the checkout."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

MOST_PACKAGES = 25
"""Core packages beyond torch and transformers with theirs; fewer than this."""
MOST_IMPORT_SECONDS = 0.15
OWN = ("pip", "setuptools", "wheel", "boresight")
TRIES = 5
LISTING = """
import json
from importlib.metadata import distributions
print(json.dumps({one.metadata["Name"]: [str(line) for line in one.requires or ()] for one in distributions()}))
"""
IMPORT = "import time; began = time.perf_counter(); import boresight; print(time.perf_counter() - began)"


@dataclass(frozen=True)
class Trial:
    """`beyond`: packages beyond torch's and transformers' own; `ran`: each command with its exit code."""

    python: str
    packages: int
    beyond: int
    names: tuple[str, ...]
    import_seconds: float
    help_seconds: float
    demo_seconds: float
    full_demo: bool
    ran: Mapping[str, int]


def try_wheel(version: str, interpreter: Path, wheel: Path, folder: Path, *, torch: str, full_demo: bool) -> Trial:
    """Raises CalledProcessError where the wheel cannot be installed."""
    subprocess.run([interpreter, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", torch, wheel], check=True)
    installed = json.loads(_run([python, "-c", LISTING], folder).stdout)
    more = beyond(installed, ("torch", "transformers"))
    seconds: dict[str, float] = {}
    ran: dict[str, int] = {}
    demo = ("demo",) if full_demo else ("demo", "--quick")
    for arguments in (("--version",), ("--help",), ("plan", "--model", "Llama-3.1-8B", "--gpus", "2xA100-80GB"),
                      ("doctor-env",), ("init", "start"), ("check", "start/pipeline.yaml"), demo):  # fmt: skip
        began = time.perf_counter()
        line = " ".join(arguments)
        ran[line] = _run([folder / "bin/boresight", *arguments], folder, check=False).returncode
        seconds[line] = time.perf_counter() - began
    imports = [float(_run([python, "-c", IMPORT], folder).stdout) for _ in range(TRIES)]
    return Trial(
        python=version, packages=len(installed), beyond=len(more), names=tuple(more), import_seconds=min(imports),
        help_seconds=seconds["--help"], demo_seconds=seconds[" ".join(demo)], full_demo=full_demo, ran=ran,
    )  # fmt: skip


def faults_of(trial: Trial) -> list[str]:
    """What does not hold in an environment."""
    where = f"Python {trial.python}"
    faults = [f"{where}: boresight {line} exits with {code}" for line, code in trial.ran.items() if code]
    if trial.beyond >= MOST_PACKAGES:
        faults.append(
            f"{where}: {trial.beyond} core packages beyond torch's and transformers'; fewer than {MOST_PACKAGES}"
        )
    if trial.import_seconds >= MOST_IMPORT_SECONDS:
        faults.append(f"{where}: import takes {trial.import_seconds:.3f} s; less than {MOST_IMPORT_SECONDS}")
    return faults


def beyond(installed: Mapping[str, Sequence[str]], roots: Iterable[str]) -> list[str]:
    """Installed packages that neither the roots are nor need, directly or through others. What an extra brings is
    needed where that extra is asked for, as torch asks for parts of the CUDA toolkit."""
    needs = {normal(name): [Requirement(line) for line in lines] for name, lines in installed.items()}
    waiting = [(normal(root), "") for root in roots]
    known = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        for needed in needs.get(name, []):
            if extra_of(needed) == extra:
                asked = [(normal(needed.name), part) for part in ("", *needed.extras)]
                waiting += [one for one in asked if one not in known]
                known.update(asked)
    return sorted(set(needs) - {name for name, _ in known} - set(OWN))


def extra_of(requirement: Requirement) -> str:
    """The extra that a requirement belongs to; empty for one that always holds."""
    found = re.search(r"""extra == ["']([^"']+)["']""", str(requirement.marker or ""))
    return found[1] if found else ""


def normal(name: str) -> str:
    """Names that differ in case, hyphen, dot and underscore are one package (PEP 503)."""
    return name.lower().replace("_", "-").replace(".", "-")


def _run(command: Sequence[str | Path], folder: Path, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """In the environment's own folder: nothing of the checkout is on its path."""
    clean = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    return subprocess.run(command, cwd=folder, env=clean, check=check, capture_output=True, text=True)
