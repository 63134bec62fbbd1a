"""`import boresight as bs`: instant, typed, and nothing behind it that was not asked for."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import boresight as bs

LIMIT_SECONDS = 0.15
ENTRY = Path(bs.__file__)


def test_the_import_is_instant_and_loads_neither_libraries_nor_modules_of_ours() -> None:
    """Processor seconds beyond a bare interpreter's, the least of some tries."""
    program = (
        "import time, sys; began = time.process_time(); import boresight; took = time.process_time() - began\n"
        "ours = [name for name in sys.modules if name.startswith('boresight.')]\n"
        "print(took, ours, sorted({'torch', 'transformers', 'numpy', 'pydantic', 'rich'} & set(sys.modules)))"
    )
    told = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout for _ in range(3)]
    assert min(float(line.split()[0]) for line in told) < LIMIT_SECONDS
    assert {line.split(maxsplit=1)[1].strip() for line in told} == {"[] []"}


def test_every_public_name_is_there_for_type_checkers_and_at_run_time() -> None:
    tree = ast.parse(ENTRY.read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {
        alias.asname: f"{node.module.removeprefix('boresight.')}"
        for node in typed.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    imported["evaluate"] += ".evaluate"  # the one name that is a module
    assert imported == bs._PLACES
    assert set(bs.__all__) == set(imported) and set(bs.__all__) <= set(dir(bs))
    for name in bs.__all__:
        assert getattr(bs, name) is not None
    assert ENTRY.with_name("py.typed").is_file()


def test_no_public_name_is_that_of_a_folder_or_file_which_would_take_its_place_when_it_is_loaded() -> None:
    modules = {path.stem for path in ENTRY.parent.iterdir()}
    assert modules & set(bs.__all__) == set()


def test_a_name_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'dpo'; it has Agreement"):
        _ = bs.dpo  # type: ignore[attr-defined]


def test_every_public_function_and_method_tells_what_it_does_and_what_it_raises() -> None:
    functions = [getattr(bs, name) for name in bs.__all__ if inspect.isfunction(getattr(bs, name))]
    functions += [bs.evaluate.winrate, bs.evaluate.agreement, bs.evaluate.reward]
    assert len(functions) == 16
    silent = [one.__name__ for one in functions if "Raises" not in (inspect.getdoc(one) or "")]
    assert silent == []
    classes = [getattr(bs, name) for name in bs.__all__ if inspect.isclass(getattr(bs, name))]
    assert [one.__name__ for one in classes if not inspect.getdoc(one)] == []


LIGHT = """
import sys, boresight as bs
bs.plan('Llama-3.1-8B', gpus='2xA100-80GB').to_dict()
assert 'numpy' not in sys.modules
bs.doctor_env(devices=False).to_dict()
bs.diagnose(sys.argv[1])._repr_html_()
bs.load_data(sys.argv[2]).lint().to_dict()
bs.evaluate, bs.load_pipeline, bs.load_run, bs.report
print(sorted({'torch', 'transformers'} & set(sys.modules)))
"""


def test_what_needs_no_torch_loads_none(tmp_path: Path) -> None:
    log, pairs = tmp_path / "log.csv", tmp_path / "pairs.csv"
    log.write_text("step,loss\n" + "".join(f"{step},{2 - step / 50}\n" for step in range(20)))
    pairs.write_text("prompt,chosen,rejected\n" + "".join(f"q{row},a{row},b{row}\n" for row in range(5)))
    ended = subprocess.run([sys.executable, "-c", LIGHT, log, pairs], capture_output=True, text=True)
    assert ended.stdout.strip() == "[]", ended.stderr
