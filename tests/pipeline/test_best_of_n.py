"""Best-of-n in the `sample` stage: the best of each n is kept, with all scores and the bound on its KL."""

import math
import shutil
from pathlib import Path

import pytest

from boresight.data.jsonl import read_records
from boresight.models.roles import build_reward_model
from boresight.pipeline.best_of_n import best_response
from boresight.pipeline.run import run_pipeline
from boresight.records import Message, Prompt, Response
from boresight.storage import read_json

from . import tiny_pipeline as tiny

SAMPLING = "policy: demo, prompts: prompts.jsonl, max_new_tokens: 6, batch_size: 4, temperatures: [0.7, 1.0]"
STAGES = f"""\
  best: {{kind: sample, {SAMPLING}, responses_per_prompt: 2, best_of: 4, reward: scorer}}
  all: {{kind: sample, {SAMPLING}, responses_per_prompt: 2}}
"""


@pytest.fixture(scope="module")
def stages(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("best") / "copy"
    shutil.copytree(built, copy)
    for name in ("best", "all"):
        run_pipeline(tiny.load(copy / "data", text=tiny.TEXT + STAGES), copy / "run", say=lambda line: None, only=name)
    return copy / "run" / "stages"


def test_the_best_of_each_four_is_kept_with_all_scores(stages: Path) -> None:
    best = read_records(stages / "best" / "responses.jsonl", Response)
    assert len(best) == 12 * 2 and {len(response.scores) for response in best} == {4}
    assert [response.temperature for response in best] == [0.7, 1.0] * 12
    scorer = build_reward_model(stages / "scorer" / "model")
    again = scorer.score([r.prompt.messages for r in best], [r.text for r in best]).tolist()
    for response, score in zip(best, again, strict=True):
        assert max(response.scores) == pytest.approx(score, abs=1e-5)
        number = int(response.id.rsplit("/", 1)[1])  # among the eight of the prompt
        assert response.scores[number % 4] == max(response.scores)
    assert len({response.id for response in best}) == 24


def test_the_result_says_how_far_it_can_lead_and_what_it_gains(stages: Path) -> None:
    result = read_json(stages / "best" / "result.json")
    assert result["best_of"] == 4 and result["kl_bound_nats"] == pytest.approx(math.log(4) - 0.75)
    assert result["responses"] == 24
    best = read_records(stages / "best" / "responses.jsonl", Response)
    scores = [score for response in best for score in response.scores]
    assert result["mean_score_of_all"] == pytest.approx(sum(scores) / len(scores))
    assert result["mean_score_of_best"] == pytest.approx(sum(max(r.scores) for r in best) / 24)
    assert result["mean_score_of_best"] > result["mean_score_of_all"]


def test_without_best_of_nothing_is_said_of_scores(stages: Path) -> None:
    assert not {"best_of", "kl_bound_nats"} & read_json(stages / "all" / "result.json").keys()
    assert {r.scores for r in read_records(stages / "all" / "responses.jsonl", Response)} == {()}


def test_of_equal_scores_the_first_is_kept() -> None:
    prompt = Prompt(id="p", messages=(Message("user", "?"),))
    drawn = [
        Response(id=str(i), prompt=prompt, text="", model="m", temperature=1.0, stopped=True, tokens=1, logp_sum=0.0)
        for i in range(3)
    ]
    assert best_response(drawn, [0.5, 2.0, 2.0]).id == "1"
