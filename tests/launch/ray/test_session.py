"""Clusters that cannot be joined."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

from boresight.cli.main import app
from boresight.errors import ClusterError
from boresight.launch.ray.session import connected, refusal

from . import pipelines


def test_an_address_where_nobody_listens_is_refused_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, so that nobody else can listen, and not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = rf"Ray at {address}: cannot be used.*Nothing was started"
        with pytest.raises(ClusterError, match=said), connected(address, None):
            pytest.fail("joined nothing")


@pytest.mark.parametrize("address", ["ray", "host:", ":6379", "host:port", "127.0.0.1:99999999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ClusterError, match=address), connected(address, None):
        pytest.fail("joined nothing")


def test_the_address_of_the_job_that_this_is_comes_from_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:99999999")
    with pytest.raises(ClusterError, match=r"Ray at 127\.0\.0\.1:99999999"), connected("auto", None):
        pytest.fail("joined nothing")
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(ClusterError, match="--address auto: RAY_ADDRESS is not set"), connected("auto", None):
        pytest.fail("joined nothing")


def test_another_version_is_told_with_the_one_to_have() -> None:
    # The words are those of ray._private.utils.check_version_info.
    said = refusal("host:6379", RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.50.0"))
    assert "The cluster was started with: Ray: 2.50.0" in said and "Expected Ray " in said


def test_a_ray_that_does_not_come_up_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ray raises a bare Exception, with these words of ray._private.node.
    said = "The current node timed out during startup. This could happen because some of the raylet failed to startup"

    def slow(**settings: object) -> None:
        raise Exception(said)

    monkeypatch.setattr("boresight.launch.ray.session.ray.init", slow)
    with (
        pytest.raises(ClusterError, match=r"Ray on this machine: cannot be used: .* give the machine time"),
        connected(None, 1),
    ):
        pytest.fail("joined nothing")


def test_what_trainers_cannot_share_is_told_before_any_cluster_is_looked_for_and_any_data(tmp_path: Path) -> None:
    pipelines.load(tmp_path)
    words = [str(tmp_path / "pipeline.yaml"), "--set", "stages.scorer.early_stopping_patience=2", "--trainers", "2"]
    ended = CliRunner().invoke(
        app, ["launch", "ray", *words, "--address", "127.0.0.1:1", "--out", str(tmp_path / "run")]
    )
    assert ended.exit_code == 2 and not (tmp_path / "run").exists()
    (line,) = ended.stderr.splitlines()
    assert line.startswith("config error: ") and "stages.scorer.early_stopping_patience: 2 is for one process" in line


def test_the_layout_is_read_without_ray() -> None:
    words = "import sys, boresight.launch.ray.layout; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True)
