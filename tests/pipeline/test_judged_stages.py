"""Language models as judges in whole stages: labels, rewards and evaluations, paid for once and resumed to the bit."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.cli.faults import told
from boresight.data.jsonl import read_records
from boresight.errors import BoresightError, DataError, JudgeError, PausedError, ServiceError
from boresight.pipeline.report import write_report
from boresight.pipeline.run import run_pipeline
from boresight.records import PreferencePair, Response
from boresight.storage import read_json
from tests.feedback.judge_server import Bias, Faults, JudgeServer, completion

from . import tiny_pipeline as tiny

RUBRIC = "name: own\ncriteria:\n  - {name: good, question: Which is better}\n"
OWN = "rubric_file: own.yaml"
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    shutil.copytree(built, tmp_path / "copy")
    (tmp_path / "copy" / "data" / "own.yaml").write_text(RUBRIC)
    return tmp_path / "copy"


def run(folder: Path, stage: str, *overrides: str, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Build one stage with other settings on top of the run that is there; its result."""
    run_pipeline(tiny.load(folder / "data", *overrides), folder / "run", only=stage, say=say)
    result: dict[str, Any] = read_json(folder / "run" / "stages" / stage / "result.json")
    return result


def openai(server: JudgeServer, more: str = "") -> str:
    return f"{{kind: openai, base_url: '{server.url}', model: judge-1, {OWN}, patience_seconds: 0{more}}}"


def local(folder: Path) -> str:
    """The SFT model of the run as judge, with room for questions: its context is short."""
    target = folder / "data" / "judge"
    if not target.exists():
        shutil.copytree(folder / "run" / "stages" / "demo" / "model", target)
        config = json.loads((target / "config.json").read_text())
        (target / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
    return f"{{kind: local_model, path: judge, {OWN}}}"


def reward(judge: str, more: str = "") -> str:
    return f"{{kind: judge, judge: {judge}{more}}}"


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_policy_paid_by_a_judge_pauses_where_it_dies_and_goes_on_to_the_same_bits_asking_nothing_twice(
    stage: str, copy: Path
) -> None:
    said: list[str] = []
    with JudgeServer() as server:
        settings = [f"stages.{stage}.reward={reward(openai(server))}", f"stages.{stage}.checkpoint_every=100"]
        if stage == "ppo":
            settings.append("stages.ppo.value_start=policy")
        place, replies = copy / "run/stages" / stage, copy / "run/judge_replies.sqlite"
        result = run(copy, stage, *settings, say=said.append)
        assert result["reward_judges"][0]["judge"] == "judge-1" and result["reward_judges"][0]["rubric"] == "own"
        assert any("judge judge-1: " in line and "questions asked since this start" in line for line in said)
        whole, questions = tiny.artifacts(place), dict(server.answered)
        assert set(questions.values()) == {1} and max(float(row) for row in scores(place)) > 1.0
        shutil.rmtree(place)
        replies.unlink()

        server.answered.clear()
        server.came.clear()
        left = len(questions) - 3  # it dies in the last step

        server.dies_after = left
        with pytest.raises((ServiceError, JudgeError)) as paused:
            run(copy, stage, *settings)
        assert len(told(paused.value) or []) == 1 and "same command" in str(paused.value)
        partial = place.with_name(f"{stage}.partial")
        assert torch.load(partial / "checkpoint.pt", weights_only=True)["next_step"] >= 1
        server.dies_after = None
        run(copy, stage, *settings)
        assert dict(server.answered) == questions  # each once, over both runs
    assert tiny.artifacts(place) == whole


def scores(place: Path) -> list[float]:
    return [json.loads(line)["score"] for line in (place / "samples.jsonl").read_text().splitlines()]


def test_local_model_pays_by_the_mean_of_its_scores_and_stays_as_it_was(copy: Path) -> None:
    result = run(copy, "rloo", f"stages.rloo.reward={reward(local(copy))}", "stages.rloo.steps=2")
    found = scores(copy / "run/stages/rloo")
    assert all(1 < score < 9 for score in found) and len(set(found)) > 1
    assert result["reward_judges"][0]["judge"] == "judge" and result["reference_unchanged"]
    manifest = read_json(copy / "run/stages/rloo/manifest.json")
    assert {"reward.judge.path", "reward.judge.rubric_file"} <= set(manifest["inputs"])


def test_reply_without_a_score_stops_the_stage_or_is_paid_the_middle(copy: Path) -> None:
    with JudgeServer(faults=Faults(refusals=0.2), seed=1) as server:
        with pytest.raises(ServiceError, match=r"gave no score for \d+ of .*no score in the reply.*on_unreadable"):
            run(copy, "rloo", f"stages.rloo.reward={reward(openai(server))}")
        middle = reward(openai(server), ", on_unreadable: middle")
        result = run(copy, "rloo", f"stages.rloo.reward={middle}")
    unreadable = result["reward_judges"][0]["unreadable_responses"]
    assert unreadable > 0 and unreadable == len(read_json(copy / "run/stages/rloo/reward_judge_unreadable.json"))


def test_budget_of_a_reward_holds_over_every_start_and_may_be_raised(copy: Path) -> None:
    prices = ", price_prompt: 1000, price_completion: 1000, max_tokens: 30"  # a reply is 0.12 dollars
    with JudgeServer() as server:
        for _ in range(2):
            with pytest.raises(ServiceError, match=r"not asked: the budget is spent.*budget"):
                run(copy, "rloo", f"stages.rloo.reward={reward(openai(server, prices + ', budget: 5'))}")
            asked = len(server.requests)
            assert asked * 0.12 <= 5
        assert asked > 10 and (copy / "run/stages/rloo.partial/checkpoint.pt").exists() == (asked > 12)
        run(copy, "rloo", f"stages.rloo.reward={reward(openai(server, prices + ', budget: 50'))}")
        assert set(server.answered.values()) == {1} and len(server.requests) > asked


def test_evaluation_by_an_endpoint_tells_place_cost_and_what_has_no_verdict(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with JudgeServer(Bias(position=0.5), Faults(refusals=0.15), seed=2) as server:
        prices = ", price_prompt: 1, price_completion: 10"
        settings = [f"stages.compare.judge={openai(server, prices)}", "stages.compare.candidates=[ppo, rloo]"]
        result = run(copy, "compare", *settings)
        asked = len(server.requests)
        assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
        shutil.rmtree(copy / "run/stages/compare")
        again = run(copy, "compare", *settings)
        assert len(server.requests) == asked
    failed = {name: sum(kinds.values()) for name, kinds in result["unjudged"].items()}
    assert all(result["candidates"][name]["n"] + failed[name] == 10 for name in ("ppo", "rloo")) and sum(
        failed.values()
    )
    assert result["position"]["rate"] > 0.6 and result["position"]["ci95"][0] > 0.5
    assert result["judging"]["rubric"] == "own" and result["judging"]["cost"]["usd"] > 0
    assert again["candidates"] == result["candidates"] and again["judging"]["cost"]["asked"] == 0
    rows = [json.loads(line) for line in (copy / "run/stages/compare/comparisons.jsonl").read_text().splitlines()]
    assert {row["verdict"] for row in rows} <= {0.0, 0.5, 1.0}
    unjudged = (copy / "run/stages/compare/unjudged.jsonl").read_text().splitlines()
    assert len(unjudged) == 2 * sum(failed.values()) and json.loads(unjudged[0])["failure"] == "unreadable"
    page = re.sub("<[^>]+>", "", write_report(copy / "run").read_text())
    assert "judge-1 by the rubric own" in page and f"{sum(failed.values())} comparisons had no verdict in both" in page
    assert "Over both orders the response shown first won" in page and "USD" in page
    told_so_far = capfd.readouterr()
    assert re.search(r"compare \(judge judge-1\): (\d+) of \1 questions, 0\.0\d USD", told_so_far.err)
    assert KEY not in told_so_far.err + told_so_far.out
    written = [path for path in (copy / "run").rglob("*") if path.is_file()]
    assert all(KEY.encode() not in path.read_bytes() for path in written)


def test_evaluation_by_a_local_model_counts_soft_verdicts_by_their_side(copy: Path) -> None:
    settings = [f"stages.compare.judge={local(copy)}", "stages.compare.candidates=[ppo]"]
    result = run(copy, "compare", *settings)
    rows = [json.loads(line) for line in (copy / "run/stages/compare/comparisons.jsonl").read_text().splitlines()]
    assert len(rows) == 20 and result["candidates"]["ppo"]["n"] == 10
    for row in rows:
        assert row["verdict"] == (0.5 if (p := row.get("p_candidate", row["verdict"])) == 0.5 else float(p > 0.5))
    assert sum("p_candidate" in row for row in rows) >= 10 and 0 < result["judging"]["answer_mass"] < 1


def test_judge_that_answers_nothing_ends_the_evaluation_with_the_reason(copy: Path) -> None:
    with JudgeServer() as server:
        server.always = completion("Je ne peux pas juger cela.")
        with pytest.raises(JudgeError, match=r"stage compare: .* on 0 of 10 prompts .*'unreadable': 20.*another judge"):
            run(copy, "compare", f"stages.compare.judge={openai(server)}", "stages.compare.candidates=[ppo]")


def test_local_model_that_knows_nothing_prefers_a_place_and_makes_no_label(copy: Path) -> None:
    with pytest.raises(DataError, match=r"stage labels: .*0 ties, 12 verdicts that turned with the order, 0 failed"):
        run(copy, "labels", f"stages.labels.judge={local(copy)}", "stages.labels.pairs_per_prompt=1")


def test_soft_labels_of_a_ranking_hold_all_couples(copy: Path) -> None:
    with JudgeServer() as server:
        judge = openai(server, ", logprobs: true")
        result = run(copy, "labels", f"stages.labels.judge={judge}", "stages.labels.pairs_per_prompt=1",
                     "stages.labels.ranking=true")  # fmt: skip
    drafts = read_records(copy / "run/stages/drafts/responses.jsonl", Response)
    texts: dict[str, set[str]] = {}
    for draft in drafts:
        texts.setdefault(draft.prompt.id, set()).add(draft.text)
    couples = sum(len(own) * (len(own) - 1) // 2 for own in texts.values())
    judging = result["judging"]
    assert judging["comparisons"] == couples and judging["labelled"] == result["pairs"]
    assert judging["cost"]["asked"] == 2 * couples and "cycles" in judging
    pairs = read_records(copy / "run/stages/labels/pairs.jsonl", PreferencePair)
    # 0.8 for the answer, 0.15 for the other and 0.05 for a tie, of which half counts
    assert all(pair.ranking_id and pair.p_chosen == pytest.approx(0.825) for pair in pairs)


def test_dry_run_tells_the_cost_and_asks_nothing_and_a_budget_is_kept(copy: Path) -> None:
    prices = ", price_prompt: 1000, price_completion: 1000, max_tokens: 30"
    with JudgeServer() as server:
        with pytest.raises(PausedError, match=r"nothing was asked \(dry_run\).*24 questions.*USD.*dry_run: false"):
            run(copy, "labels", f"stages.labels.judge={openai(server, prices)}", "stages.labels.pairs_per_prompt=1",
                "stages.labels.dry_run=true")  # fmt: skip
        assert server.requests == []
        judge = openai(server, prices + ", budget: 3.5, most_at_once: 1")
        result = run(copy, "labels", f"stages.labels.judge={judge}", "stages.labels.pairs_per_prompt=1")
    assert 0 < result["judging"]["failed_by_reason"]["over_budget"] < 12
    assert 0 < result["judging"]["cost"]["usd"] <= 3.5


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["stages.labels.judge={kind: openai, base_url: 'http://h/v1', model: m, budget: 3}"], "without prices"),
        (["stages.labels.judge={kind: openai, base_url: 'http://h/v1', model: m, price_prompt: 3}"], "the other price"),
        (["stages.labels.dry_run=true"], "costs nothing"),
        (["stages.labels.ranking=true"], "keep one of the two"),
        (["stages.labels.judge={kind: local_model, path: nowhere}"], "no such file"),
        (
            ["stages.rloo.reward={kind: judge, judge: {kind: openai, base_url: 'http://h/v1', model: m, budget: 3}}"],
            "stages.rloo.reward.judge.budget: 3 without prices",
        ),
    ],
)
def test_settings_that_do_not_fit_are_told_at_once(copy: Path, settings: list[str], said: str) -> None:
    with pytest.raises(BoresightError, match=said):
        tiny.load(copy / "data", *settings)


def test_responses_of_a_stage_end_before_a_stop_string(copy: Path) -> None:
    run(copy, "drafts", "stages.drafts.stop=[e, o]")
    drafts = read_records(copy / "run/stages/drafts/responses.jsonl", Response)
    assert all("e" not in draft.text and "o" not in draft.text for draft in drafts)
    assert any(draft.stopped for draft in drafts)
