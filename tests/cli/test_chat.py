"""A conversation through a pipe, with a model that the tiny run made."""

from pathlib import Path

import pytest

from boresight.errors import ModelError
from boresight.models.model_folder import model_folder
from tests.cli.conftest import WORDS, Call, TinyRun, boresight


def test_a_conversation_through_a_pipe(tiny_run: TinyRun) -> None:
    lines = [
        "red",
        "",
        "/reset",
        "ping",
        "ping",
        "/reset",
        "ping",
        "/what",
        "x" * 400,
        "salt <|im_end|>",
        "/quit",
        "red",
    ]
    ended = boresight(
        "chat",
        "stages/demo",
        "--temperature",
        "0",
        "--max-new-tokens",
        "20",
        cwd=tiny_run.folder,
        stdin="\n".join(lines),
    )
    assert ended.code == 0, ended.err
    # The second `ping` of one conversation has another answer than the first; after /reset it is the first again.
    assert ended.out.split() == [dict(WORDS)["red"], "pong", "enough", "pong"]
    told = "\n".join(ended.told)
    assert ended.told.count("a new conversation") == 2
    assert "unknown command /what" in told
    assert "data error: the conversation has" in told and "/reset" in told
    assert "control token" in told


def test_sampling_with_a_seed_is_the_same_each_time(tiny_run: TinyRun, call: Call) -> None:
    model = tiny_run.folder / "stages/base/model"
    first, second, other = (
        call("chat", model, "--temperature", "1.5", "--max-new-tokens", "12", "--seed", seed, stdin="red\n")
        for seed in ("5", "5", "6")
    )
    assert first.code == 0 and first.out.strip()
    assert first.out == second.out != other.out


def test_a_reply_that_is_cut_off_is_said_to_be(tiny_run: TinyRun, call: Call) -> None:
    model = tiny_run.folder / "stages/demo"
    ended = call("chat", model, "--temperature", "0", "--max-new-tokens", "1", stdin="red")
    assert "cut off" in ended.told[-1]


@pytest.mark.parametrize(("place", "part"), [("nowhere", "no such folder"), (".", "stages/NAME: base, demo")])
def test_a_place_without_a_model_is_refused(tiny_run: TinyRun, call: Call, place: str, part: str) -> None:
    ended = call("chat", tiny_run.folder / place)
    assert ended.code == 2
    assert ended.told[-1].startswith("model error: ") and part in ended.told[-1]


def test_a_stage_stands_for_its_model(tiny_run: TinyRun) -> None:
    stage = tiny_run.folder / "stages/demo"
    assert model_folder(stage) == model_folder(stage / "model") == stage / "model"
    with pytest.raises(ModelError, match="holds no model"):
        model_folder(tiny_run.folder / "stages/gate")


def test_a_stage_without_a_model_is_told(tmp_path: Path, call: Call) -> None:
    assert "holds no model" in call("chat", tmp_path).told[-1]
