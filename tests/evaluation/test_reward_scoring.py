"""A reward model's folder: its own scores, and whether whoever loads it gets the same ones."""

from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.evaluation.best_of_n import Sampled
from boresight.evaluation.reward_certificate import contrast_pairs
from boresight.evaluation.reward_scoring import fitting, open_scorer, score_pairs_with, score_sampled
from boresight.models.loading import save_model, start_reward_model
from boresight.models.roles import build_reward_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message, PreferencePair


def _pair(i: int, chosen: str, rejected: str) -> PreferencePair:
    sides = {"chosen": (Message("assistant", chosen),), "rejected": (Message("assistant", rejected),)}
    return PreferencePair(id=f"p{i}", prompt=(Message("user", f"question {i}"),), **sides)


PAIRS = [_pair(i, "a" * (i + 1), "b" * (2 * i + 1)) for i in range(6)]


def _folder(home: Path, pad: str) -> Path:
    """A reward model whose config names its tokenizer's pad token, its stop token, or none."""
    tokenizer = tiny_tokenizer()
    save_model(home / "base", tiny_llama(tokenizer), tokenizer, "")
    model = start_reward_model(home / "base", seed=1)
    model.config.pad_token_id = {"own": tokenizer.pad_token_id, "stop": tokenizer.eos_token_id, "none": None}[pad]
    save_model(home / pad, model, tokenizer, "")
    return home / pad


@pytest.mark.parametrize(("pad", "invariant"), [("own", True), ("stop", False), ("none", False)])
def test_a_pad_token_that_is_the_stop_token_or_none_is_found(tmp_path: Path, pad: str, invariant: bool) -> None:
    assert score_pairs_with(open_scorer(_folder(tmp_path, pad)), PAIRS).padding_invariant is invariant


def test_scores_are_those_of_the_reward_model_in_the_order_of_the_pairs(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "own")
    scored, reward = score_pairs_with(open_scorer(folder), PAIRS), build_reward_model(folder)
    for i, pair in enumerate(PAIRS):
        alone = reward.score([pair.prompt] * 2, [pair.chosen[0].content, pair.rejected[0].content]).tolist()
        assert [scored.chosen[i], scored.rejected[i]] == pytest.approx(alone, abs=1e-5)


def test_a_pair_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="p0"):
        score_pairs_with(open_scorer(_folder(tmp_path, "own")), [_pair(0, "word " * 5000, "no")])


def test_pairs_that_the_context_has_no_room_for_are_told_from_those_that_fit(tmp_path: Path) -> None:
    reward = open_scorer(_folder(tmp_path, "own"))
    long = _pair(9, "word " * 5000, "no")
    assert fitting(reward, [*PAIRS, long]) == PAIRS
    shipped = contrast_pairs()
    assert fitting(reward, [long, *shipped]) == shipped  # 240 of 256 tokens at most
    assert len(score_pairs_with(reward, shipped).chosen) == len(shipped)  # none of them is refused


def test_sampled_responses_get_this_models_scores(tmp_path: Path) -> None:
    reward = open_scorer(_folder(tmp_path, "own"))
    sampled = [Sampled(f"question {i}", "a" * (i + 1), None, 1.0) for i in range(6)]
    scored = score_sampled(reward, sampled)
    assert [one.score for one in scored] == pytest.approx(score_pairs_with(reward, PAIRS).chosen, abs=1e-5)
    assert [one._replace(score=None) for one in scored] == sampled
    with pytest.raises(DataError, match="no text to score"):
        score_sampled(reward, [Sampled("q", None, None, 0.0)])
