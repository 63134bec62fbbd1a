"""The parts of the release check that need no installation: what is counted, and what is called a fault."""

import email
import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release() -> Iterator[dict[str, ModuleType]]:
    """The modules of `release/`, which lie beside their script."""
    sys.path.insert(0, str(ROOT / "release"))
    names = ("archives", "pythons", "trial", "check")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(ROOT / "release"))
    for name in names:
        del sys.modules[name]


INSTALLED = {
    "boresight": ["torch>=2", "transformers", "pydantic"],
    "torch": ["sympy>=1", 'cuda-toolkit[cufft]==13; platform_system == "Linux"', 'triton; extra == "gpu"'],
    "cuda-toolkit": ["nvidia-cufft==12; extra == 'cufft' and sys_platform == 'linux'", "nvidia-nvtx; extra == 'nvtx'"],
    "nvidia-cufft": [],
    "nvidia-nvtx": [],
    "sympy": ["mpmath<2"],
    "mpmath": [],
    "transformers": ["huggingface_hub<2,>=1", 'PyYAML>=5; python_version > "3"'],
    "Huggingface.Hub": ["tqdm"],
    "tqdm": [],
    "pyyaml": [],
    "pydantic": ["pydantic-core==2"],
    "pydantic_core": [],
    "triton": [],
    "pip": [],
}


def test_packages_of_torch_and_transformers_do_not_count_nor_what_their_extras_bring(
    release: dict[str, ModuleType],
) -> None:
    """Of the toolkit torch asks for one part; the other, and triton, are there although nothing asks for them."""
    found = release["trial"].beyond(INSTALLED, ("torch", "transformers"))
    assert found == ["nvidia-nvtx", "pydantic", "pydantic-core", "triton"]


def test_what_does_not_hold_in_an_environment_is_named(release: dict[str, ModuleType]) -> None:
    trial, faults_of = release["trial"].Trial, release["trial"].faults_of
    good = trial("3.12", 60, 24, ("a",), 0.02, 0.2, 50.0, False, {"--version": 0, "demo --quick": 0})
    assert faults_of(good) == []
    bad = replace(good, beyond=25, import_seconds=0.2, ran={"--version": 0, "demo --quick": 2})
    assert faults_of(bad) == [
        "Python 3.12: boresight demo --quick exits with 2",
        "Python 3.12: 25 core packages beyond torch's and transformers'; fewer than 25",
        "Python 3.12: import takes 0.200 s; less than 0.15",
    ]
    told = release["check"].told([good], ["3.13"], [])
    assert "24 packages beyond" in told and "3.13: not present" in told and told.endswith("everything holds")
    assert "everything holds" not in release["check"].told([], [], ["wheel: lacks x"])


def test_an_interpreter_that_only_fails_is_passed_over(release: dict[str, ModuleType], tmp_path: Path) -> None:
    """A version manager puts names on the path that end with a message."""
    for place, line in (("shims", "exit 127"), ("old", "echo 3.10"), ("real", "echo 3.12")):
        (tmp_path / place).mkdir()
        script = tmp_path / place / "python3.12"
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    places = [tmp_path / place for place in ("nowhere", "shims", "old", "real")]
    assert release["pythons"].find_pythons(("3.12", "3.13"), places) == {"3.12": tmp_path / "real/python3.12"}


def test_what_an_archive_lacks_or_should_not_hold_is_named(release: dict[str, ModuleType]) -> None:
    archives = release["archives"]
    wanted = archives.package_files(ROOT)
    assert {"boresight/py.typed", "boresight/pipeline/templates/report.css", "boresight/__init__.py"} <= set(wanted)
    assert not any("__pycache__" in name for name in wanted)
    assert archives.missing(wanted[1:], wanted, "w.whl") == [f"w.whl: lacks {wanted[0]}"]
    names = ["boresight/a.py", "boresight/a.pyc", "tests/b.py", "boresight-1.dist-info/METADATA"]
    assert archives.foreign(names, "w.whl") == ["w.whl: holds tests/b.py", "w.whl: holds boresight/a.pyc"]


def test_metadata_that_an_index_would_show_badly_is_named(release: dict[str, ModuleType]) -> None:
    lines = "Name: boresight\nVersion: 1.0\nSummary: s\nLicense-Expression: Apache-2.0\nRequires-Python: >=3.11\n"
    lines += "Description-Content-Type: text/markdown\nClassifier: Programming Language :: Python :: 3.11\n\nText\n"
    faults = release["archives"].metadata_faults
    assert faults(email.message_from_string(lines), "boresight-1.0-py3-none-any.whl") == []
    other = email.message_from_string(lines.replace("Summary: s\n", ""))
    assert faults(other, "boresight-2.0-py3-none-any.whl") == [
        "boresight-2.0-py3-none-any.whl: METADATA lacks Summary",
        "boresight-2.0-py3-none-any.whl: METADATA says version 1.0",
    ]
