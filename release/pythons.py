"""Interpreters on this machine, by version: the first that really runs and can make an environment."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
PROBE = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:2])))"


def find_pythons(wanted: Sequence[str], places: Iterable[Path] | None = None) -> Mapping[str, Path]:
    """Version -> interpreter. Names that a version manager puts on the path may only fail: each is asked."""
    found: dict[str, Path] = {}
    for version in wanted:
        for candidate in candidates(version, places):
            if version_of(candidate) == version:
                found[version] = candidate
                break
    return found


def candidates(version: str, places: Iterable[Path] | None = None) -> list[Path]:
    """Where an interpreter of that version may lie: on the path, and where pyenv and uv keep theirs."""
    if places is not None:
        return [place / f"python{version}" for place in places]
    name = f"python{version}"
    on_path = [Path(found)] if (found := shutil.which(name)) else []
    on_path += [
        folder / name for text in os.environ.get("PATH", "").split(os.pathsep) if (folder := Path(text)).is_dir()
    ]
    kept = [Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python"]
    managed = [path for home in kept for path in sorted(home.glob(f"*{version}*/bin/{name}"))]
    return list(dict.fromkeys([*on_path, *managed]))


def version_of(interpreter: Path) -> str | None:
    """What it says it is; None where it does not run, or cannot make an environment."""
    try:
        ended = subprocess.run([interpreter, "-c", PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
