"""Two models side by side through a pipe; what is written is what training reads."""

from pathlib import Path

import pytest

from boresight.cli.chat_versus import vote_of
from boresight.data.readers import read_pairs
from tests.cli.conftest import Call, TinyRun


@pytest.mark.parametrize(("key", "ranks"), [("1", (2, 1)), ("7", (1, 2)), ("4", (1, 1)), ("b", (1, 1)), ("x", ())])
def test_a_key_is_a_vote_on_the_models_as_listed(key: str, ranks: tuple[int, ...]) -> None:
    vote = vote_of(key, [1, 0], 2.0)  # the second model was shown as A
    assert vote is not None and vote.ranks == ranks and vote.shown == (1, 0)
    assert vote_of("", [1, 0], 2.0) is None


def test_votes_become_preference_pairs_and_the_models_are_told_at_the_end(
    tiny_run: TinyRun, call: Call, tmp_path: Path
) -> None:
    models = tiny_run.folder / "stages/demo", tiny_run.folder / "stages/base"
    out = tmp_path / "pairs.jsonl"
    options = ("--versus", models[1], "--out", out, "--temperature", "0", "--max-new-tokens", "12", "--seed", "1")
    ended = call("chat", models[0], *options, stdin="red\n1\nping\n4\n/reset\nred\n\n/quit\n")
    assert ended.code == 0, ended.err
    assert ended.out.count("A> ") == ended.out.count("B> ") == 3
    assert str(models[0]) not in ended.out and "2 preference pairs added" in ended.err
    first, second = read_pairs(out).pairs
    assert first.prompt[-1].content == "red" and first.source == "human"
    assert ended.out.startswith(f"A> {first.chosen[0].content}\n\nB> {first.rejected[0].content}")
    assert second.p_chosen == 0.5 and [one.content for one in second.prompt][-2:] == [first.chosen[0].content, "ping"]
