"""`boresight monitor` from outside: the link, the end, and what it does not load."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boresight.cli.main import app
from tests.web.monitor.growing_run import GrowingRun
from tests.web.monitor.server import monitor


def test_it_answers_under_its_link_and_ends_quietly_at_ctrl_c(tmp_path: Path) -> None:
    GrowingRun(tmp_path).grow(3)
    with monitor(tmp_path) as (process, link):
        assert link.startswith("http://127.0.0.1:") and "token" not in link
        with urllib.request.urlopen(link) as answer:
            assert b"helper" in answer.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 0 and out == ""
        assert err.splitlines() == ["Ctrl-C ends the monitor; the runs go on."]


def test_where_others_can_reach_it_the_link_holds_a_token(tmp_path: Path) -> None:
    GrowingRun(tmp_path)
    with monitor(tmp_path, "--host", "0.0.0.0") as (_, link):
        address, token = link.split("/?token=")
        assert len(token) > 30
        address = f"http://127.0.0.1:{address.rpartition(':')[2]}"
        with pytest.raises(urllib.error.HTTPError, match="401") as refusal:
            urllib.request.urlopen(address)
        refusal.value.close()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"{address}/?token={token}") as answer:
            assert b"helper" in answer.read() and "token" not in answer.url


def test_it_loads_no_torch_and_no_plotting_in_python() -> None:
    program = (
        "import sys, boresight.cli.monitor, boresight.web.monitor.start\n"
        "print(sorted({'torch', 'transformers', 'matplotlib', 'bokeh', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_missing_package_is_told_with_the_extra_that_has_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['boresight', 'monitor', sys.argv[1]]\n"
        "from boresight.cli.main import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "uvicorn" in done.stderr and "pip install 'boresight[web]'" in done.stderr


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["monitor", str(tmp_path / "none")])
    assert done.exit_code == 2 and "no such folder" in done.stderr and "Traceback" not in done.stderr


def test_help_shows_an_example() -> None:
    done = CliRunner().invoke(app, ["monitor", "--help"])
    assert done.exit_code == 0 and "boresight monitor runs" in done.stdout
