"""Two models side by side through a pipe; what is written is what training reads."""

from pathlib import Path

from boresight.data.readers import read_pairs
from tests.cli.conftest import Call, TinyRun


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


def test_the_browser_compares_two_models(tiny_run: TinyRun, call: Call) -> None:
    ended = call("chat", tiny_run.folder / "stages/demo", "--browser")
    assert ended.code == 2 and "--versus" in ended.err
