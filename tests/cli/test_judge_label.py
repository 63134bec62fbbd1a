"""`boresight judge label` as people call it, against an endpoint on the loopback address."""

import json
from pathlib import Path

import pytest

from boresight.data.jsonl import read_records, write_records
from boresight.feedback.rubric import load_rubric
from boresight.records import PreferencePair
from tests.feedback.judge_server import Bias, JudgeServer
from tests.feedback.test_rubric_judge import response

from .conftest import Call

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    texts = [f"quality={quality} text {quality}" for quality in (0.1, 0.5, 0.9)]
    write_records(
        tmp_path / "responses.jsonl", [response(f"p{n}", i, t) for n in range(4) for i, t in enumerate(texts)]
    )
    return tmp_path / "responses.jsonl"


def test_responses_become_pairs_that_training_reads_and_nothing_is_paid_for_twice(
    call: Call, tmp_path: Path, responses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    out, route = tmp_path / "pairs.jsonl", tmp_path / "people.jsonl"
    with JudgeServer() as server:
        command = ["judge", "label", responses, "--rubric", "harmless", "--base-url", server.url, "--model", "judge-1",
                   "--out", out, "--pairs-per-prompt", "2", "--price-prompt", "1", "--price-completion", "10",
                   "--key-variable", "JUDGE_KEY", "--route", route, "--json"]  # fmt: skip
        planned = json.loads(call(*command, "--dry-run").out)
        assert server.requests == [] and not out.exists() and len(list(tmp_path.iterdir())) == 1
        first = call(*command)
        asked = len(server.requests)
        again = call(*command)
        assert len(server.requests) == asked and server.headers[0]["Authorization"] == f"Bearer {KEY}"
    summary, repeated = json.loads(first.out), json.loads(again.out)
    # 4 prompts, 2 couples of each, 2 orders, 3 criteria
    assert planned["questions"] == asked == summary["cost"]["asked"] == 48 and planned["comparisons"] == 8
    assert 0 < summary["cost"]["usd"] == pytest.approx(48 * 300 / 1e6)
    assert (summary["pairs"], summary["failed"], summary["routed"]) == (8, 0, 0)
    assert repeated["cost"]["known_before"] == 48 and repeated["pairs"] == 8
    pairs = read_records(out, PreferencePair)
    assert all(pair.source == "ai" and pair.p_chosen == 0.95 for pair in pairs)
    assert pairs[0].meta["judge"] == "judge-1" and pairs[0].meta["rubric_hash"] == load_rubric("harmless").hash
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written and KEY not in first.out + first.err + again.out


def test_orders_that_disagree_go_to_people_without_a_hint(call: Call, tmp_path: Path) -> None:
    responses = tmp_path / "many.jsonl"
    write_records(responses, [response(f"p{n}", i, f"quality=0.{i}") for n in range(20) for i in (1, 2)])
    out, route = tmp_path / "pairs.jsonl", tmp_path / "people.jsonl"
    with JudgeServer(Bias(position=1.0)) as server:
        ended = call("judge", "label", responses, "--base-url", server.url, "--model", "judge-1", "--out", out,
                     "--route", route)  # fmt: skip
    assert ended.code == 0 and "0 pairs from 20 comparisons" in ended.out and "20 turned with the order" in ended.out
    assert "the judge preferred the response shown first: 100.0% of verdicts" in ended.err
    rows = [json.loads(line) for line in route.read_text().splitlines()]
    assert [row["reason"] for row in rows] == ["orders_disagree"] * 20
    assert set(rows[0]) == {"id", "prompt", "responses", "reason"} and out.read_text() == ""


def test_budget_stops_in_time_and_says_what_was_left(call: Call, tmp_path: Path, responses: Path) -> None:
    with JudgeServer() as server:
        ended = call("judge", "label", responses, "--base-url", server.url, "--model", "judge-1", "--out",
                     tmp_path / "pairs.jsonl", "--price-prompt", "1000", "--price-completion", "1000", "--max-tokens",
                     "30", "--budget", "0.01", "--json")  # fmt: skip
        assert server.requests == []
    summary = json.loads(ended.out)
    assert summary["failed_by_reason"] == {"over_budget": 4} and summary["cost"]["usd"] == 0
    assert "4 comparisons failed (over budget), for instance: not asked: the budget is spent" in ended.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--base-url", "localhost"], "judge error: base_url is 'localhost'"),
        (["--rubric", "helpfull"], "judge error: rubric 'helpfull': neither a shipped rubric"),
        (["--budget", "3"], "a budget takes --price-prompt"),
        (["--price-prompt", "3"], "prices take both"),
    ],
)
def test_bad_input_is_told_in_one_line(
    call: Call, tmp_path: Path, responses: Path, options: list[str], said: str
) -> None:
    given = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--out", tmp_path / "pairs.jsonl"]
    ended = call("judge", "label", responses, *given, *options)
    assert ended.code == 2 and said in ended.err and "Traceback" not in ended.err


def test_endpoint_that_refuses_the_key_ends_the_command_with_what_to_do(
    call: Call, tmp_path: Path, responses: Path
) -> None:
    from tests.feedback.judge_server import Said

    with JudgeServer() as server:
        server.always = Said(401, b"no key")
        ended = call(
            "judge", "label", responses, "--base-url", server.url, "--model", "m", "--out", tmp_path / "p.jsonl"
        )
    (line,) = ended.told
    assert ended.code == 2 and line.startswith("judge error:") and "OPENAI_API_KEY" in line
    assert not (tmp_path / "p.jsonl").exists()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model and a reward model, both untrained."""
    from boresight.models.loading import save_model, start_reward_model
    from boresight.models.tiny import tiny_llama, tiny_tokenizer

    folder, tokenizer = tmp_path_factory.mktemp("judges"), tiny_tokenizer()
    save_model(folder / "local", tiny_llama(tokenizer, seed=0, context_length=8192), tokenizer, "")
    save_model(folder / "scorer", start_reward_model(folder / "local", seed=1), tokenizer, "")
    return folder


def test_local_model_labels_without_an_endpoint_and_computes_nothing_twice(
    call: Call, tmp_path: Path, responses: Path, folders: Path
) -> None:
    command = ["judge", "label", responses, "--judge", folders / "local", "--out", tmp_path / "pairs.jsonl", "--json"]
    planned = json.loads(call(*command, "--dry-run").out)
    first, again = json.loads(call(*command).out), json.loads(call(*command).out)
    assert planned["questions"] == first["cost"]["asked"] == 24 and planned["usd"] is None
    assert again["cost"]["asked"] == 0 and again["cost"]["known_before"] == 24 and first["judge"] == "local"
    assert first["labelled"] + first["verdict_flips"] + first["ties"] == 4 and first["failed"] == 0
    assert 0 < first["answer_mass"] < 1


def test_reward_model_labels_every_couple_as_a_ranking(
    call: Call, tmp_path: Path, responses: Path, folders: Path
) -> None:
    out = tmp_path / "pairs.jsonl"
    ended = call("judge", "label", responses, "--reward-model", folders / "scorer", "--out", out, "--ranking")
    assert ended.code == 0 and "the responses were scored" in ended.out and "judge scorer" in ended.out
    pairs = read_records(out, PreferencePair)
    assert len(pairs) == 12 and {pair.ranking_id for pair in pairs} == {"p0", "p1", "p2", "p3"}
    assert all(0.5 < pair.p_chosen < 0.95 and pair.meta["judge"] == "scorer" for pair in pairs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "0 judges are named"),
        (["--judge", "x", "--base-url", "http://h/v1", "--model", "m"], "2 judges are named"),
        (["--base-url", "http://h/v1"], "an address and the model's name go together"),
        (["--judge", "nowhere"], "judge error: nowhere: no folder with a model"),
        (["--reward-model", "nowhere"], "judge error: nowhere: no folder with a reward model"),
    ],
)
def test_who_judges_must_be_named_once(
    call: Call, tmp_path: Path, responses: Path, options: list[str], said: str
) -> None:
    ended = call("judge", "label", responses, "--out", tmp_path / "pairs.jsonl", *options)
    assert ended.code == 2 and said in " ".join(ended.err.replace("│", " ").split())
