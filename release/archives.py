"""What lies in wheel and sdist: everything that the package needs at run time, and nothing that it does not."""

import email
import email.message
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

DATA = (".j2", ".css", ".js", ".svg", ".html", ".json", ".jsonl", ".yaml", ".yml", ".typed")
"""Endings of files that the package reads at run time."""
NEVER = (".pyc", ".ipynb", ".orig", ".rej")
PARTS = ("README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "src/boresight/__init__.py")
"""What an sdist must hold to be built from."""


def wheel_faults(wheel: Path, root: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        described = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(described[0])) if described else None
    faults = [f"{wheel.name}: no METADATA"] if metadata is None else metadata_faults(metadata, wheel.name)
    return [*faults, *missing(names, package_files(root), wheel.name), *foreign(names, wheel.name)]


def sdist_faults(sdist: Path, root: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    wanted = [*PARTS, *(f"src/{name}" for name in package_files(root) if not name.startswith("boresight/embedded/"))]
    return [*missing(names, wanted, sdist.name), *(f"{sdist.name}: holds {n}" for n in names if n.endswith(NEVER[:1]))]


def package_files(root: Path) -> list[str]:
    """Python and data files of the package, and the pipeline of the embedded example, as the wheel names them."""
    files = [path for path in (root / "src/boresight").rglob("*") if path.suffix == ".py" or path.name.endswith(DATA)]
    names = [path.relative_to(root / "src").as_posix() for path in files if "__pycache__" not in path.parts]
    return [*sorted(names), "boresight/embedded/kube_assistant/pipeline.yaml"]


def metadata_faults(metadata: email.message.Message, name: str) -> list[str]:
    """What people read on the index: a description, a licence, the Pythons, one way to say each."""
    faults = []
    for field in ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Description-Content-Type"):
        if not metadata.get(field):
            faults.append(f"{name}: METADATA lacks {field}")
    version = metadata.get("Version", "")
    if f"-{version}-" not in name:
        faults.append(f"{name}: METADATA says version {version}")
    classified = {line.rpartition(" ")[2] for line in metadata.get_all("Classifier", []) if "Python :: 3." in line}
    if not classified:
        faults.append(f"{name}: no classifier names a Python version")
    return faults


def missing(names: Iterable[str], wanted: Iterable[str], where: str) -> list[str]:
    held = set(names)
    return [f"{where}: lacks {name}" for name in wanted if name not in held]


def foreign(names: Iterable[str], where: str) -> list[str]:
    """Files outside of the package, and what is never released."""
    strays = [n for n in names if not n.startswith("boresight/") and ".dist-info/" not in n]
    return [f"{where}: holds {name}" for name in [*strays, *(n for n in names if n.endswith(NEVER))]]
