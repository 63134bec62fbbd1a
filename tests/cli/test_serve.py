"""`boresight serve reward`: what it refuses before it serves."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from boresight.cli.main import app
from boresight.web.serving import bind


def refused(*arguments: str, environment: dict[str, str] | None = None) -> str:
    ended = CliRunner().invoke(app, ["serve", "reward", *arguments], env=environment)
    assert ended.exit_code == 2 and ended.stdout == ""
    return ended.stderr


def test_a_taken_port_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    with bind("127.0.0.1", 0) as bound:
        said = refused(str(tmp_path / "absent"), "--port", str(bound.getsockname()[1]))
    assert "cannot listen there" in said and "--port" in said and "absent" not in said


def test_a_folder_without_a_model_ends_the_service_with_a_message(tmp_path: Path) -> None:
    assert "absent: no such folder" in refused(str(tmp_path / "absent"), "--port", "0")


@pytest.mark.parametrize("token", ["", "two words", "umläut"])
def test_a_token_that_cannot_be_sent_is_refused(tmp_path: Path, token: str) -> None:
    assert "BORESIGHT_REWARD_TOKEN" in refused(str(tmp_path), environment={"BORESIGHT_REWARD_TOKEN": token})
