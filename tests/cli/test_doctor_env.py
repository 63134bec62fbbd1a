"""`boresight doctor-env` as people call it."""

import json
import subprocess
import sys

import pytest

from boresight.environment.packages import Package
from tests.cli.conftest import Call


def test_it_tells_versions_devices_and_extras(call: Call) -> None:
    told = json.loads(call("doctor-env", "--json").out)
    assert told["ready"] is True and told["problems"] == []
    assert told["devices"]["torch"] and told["devices"]["fault"] is None
    assert {"name", "installed", "applies", "missing", "install"} == told["extras"][0].keys()
    web = next(extra for extra in told["extras"] if extra["name"] == "web")
    assert web["installed"] is True and web["install"] is None


def test_something_that_everyone_needs_and_is_missing_exits_with_1(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = (Package("torch", ">=2.8", None, fits=False),)
    monkeypatch.setattr("boresight.environment.look.core_packages", lambda: lacking)
    ended = call("doctor-env", "--no-devices")
    assert ended.code == 1 and "NOT READY" in ended.out
    assert "torch: is not installed, expected >=2.8. pip install 'torch>=2.8'" in ended.out


def test_torch_is_never_loaded_in_its_own_process() -> None:
    program = (
        "import sys\nsys.argv = ['boresight', 'doctor-env', '--no-devices']\nfrom boresight.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'transformers', 'numpy'} & set(sys.modules)), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]" and "--devices asks torch" in ended.stdout
