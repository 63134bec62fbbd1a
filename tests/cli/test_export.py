import json
from pathlib import Path

import pytest

from .conftest import Call, TinyRun


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "exported"


def test_export_tells_as_json_what_it_wrote(tiny_run: TinyRun, call: Call, out: Path) -> None:
    ended = call("export", tiny_run.folder, "--stage", "demo", "--out", out, "--dtype", "bfloat16", "--json")
    told = json.loads(ended.out)
    assert ended.code == 0 and told["dtype"] == "bfloat16" and told["out"] == str(out)
    assert sorted(told["files"]) == sorted(file.name for file in out.iterdir())
    assert told["bytes"] == sum(file.stat().st_size for file in out.iterdir())
    assert told["base"] is None and any("no licence" in line for line in ended.told)


def test_export_tells_a_person_and_refuses_to_overwrite(tiny_run: TinyRun, call: Call, out: Path) -> None:
    ended = call("export", tiny_run.folder / "stages/demo", "--out", out)
    assert ended.code == 0 and f"{out}  policy, " in ended.out and "weights float32 in 1 file," in ended.out
    again = call("export", tiny_run.folder / "stages/demo", "--out", out)
    assert again.code == 2
    assert again.told == [
        f"config error: --out {out}: holds files already; expected a new or empty folder, and nothing is overwritten."
    ]
