"""A judge's shapes, and a real reward model as judge."""

import pytest
import torch

from boresight.data.chat_template import ChatFormat
from boresight.feedback.judge import Answer, Comparison, RewardModelJudge, verdict_of
from boresight.models.loading import load_tokenizer, save_model, start_reward_model
from boresight.models.roles import RewardModel, build_reward_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message, Prompt

PROMPTS = [Prompt(id=f"p{i}", messages=(Message("user", text),)) for i, text in enumerate(("How?", "Why?"))]
ANSWERS = [Answer(text, stopped=True) for text in ("By `kubectl get pods`.", "No idea", "")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    folder, tokenizer = tmp_path_factory.mktemp("judge"), tiny_tokenizer()
    save_model(folder / "base", tiny_llama(tokenizer), tokenizer, "")
    scorer = start_reward_model(folder / "base", seed=1)
    scorer.config.pad_token_id = tokenizer.pad_token_id
    save_model(folder / "scorer", scorer, tokenizer, "")
    return build_reward_model(folder / "scorer")


def comparisons() -> list[Comparison]:
    return [Comparison(prompt, a, b) for prompt in PROMPTS for a in ANSWERS for b in ANSWERS if a != b]


@pytest.mark.parametrize(
    ("first", "second", "margin", "value"),
    [(1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.5), (1.0, 0.5, 0.5, 0.5), (1.0, 0.4, 0.5, 1.0)],
)
def test_higher_score_wins_by_more_than_the_margin(first: float, second: float, margin: float, value: float) -> None:
    assert verdict_of(first, second, margin) == value
    assert verdict_of(second, first, margin) == 1.0 - value


def test_swapping_exchanges_the_answers_and_nothing_else() -> None:
    comparison = Comparison(PROMPTS[0], ANSWERS[0], ANSWERS[1])
    assert comparison.swapped() == Comparison(PROMPTS[0], ANSWERS[1], ANSWERS[0])
    assert comparison.swapped().swapped() == comparison


def test_verdicts_follow_the_models_scores(model: RewardModel) -> None:
    verdicts = RewardModelJudge(model, tie_margin=0.0).compare(comparisons())
    for comparison, verdict in zip(comparisons(), verdicts, strict=True):
        scores = model.score([comparison.prompt.messages] * 2, [comparison.first.text, comparison.second.text])
        assert [verdict.first_score, verdict.second_score] == pytest.approx(scores.tolist(), abs=1e-5)
        assert verdict.value == (1.0 if scores[0] > scores[1] else 0.0)


def test_other_order_gives_the_other_verdict(model: RewardModel) -> None:
    judge = RewardModelJudge(model, tie_margin=0.01)
    for one, other in zip(
        judge.compare(comparisons()), judge.compare([c.swapped() for c in comparisons()]), strict=True
    ):
        assert one.value == 1.0 - other.value and one.first_score == pytest.approx(other.second_score, abs=1e-6)


def test_margin_wider_than_every_difference_makes_ties(model: RewardModel) -> None:
    assert {verdict.value for verdict in RewardModelJudge(model, tie_margin=1e6).compare(comparisons())} == {0.5}


def test_no_comparisons_need_no_model(model: RewardModel) -> None:
    assert RewardModelJudge(model, tie_margin=0.0).compare([]) == []


def test_score_is_that_of_the_conversation_closed_by_the_stop_token(model: RewardModel) -> None:
    tokenizer = load_tokenizer(model.tokenizer.name_or_path)
    text = "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nNo idea<|im_end|>"
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():
        expected = float(model.head(model.model.base_model(ids).last_hidden_state[0, -1]))
    verdict = RewardModelJudge(model, 0.0).compare([Comparison(PROMPTS[0], ANSWERS[1], ANSWERS[0])])[0]
    assert verdict.first_score == pytest.approx(expected, abs=1e-5)
    assert ChatFormat(tokenizer).stop_token == "<|im_end|>"
