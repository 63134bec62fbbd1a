"""Stop strings in the loops: where responses end, what they are paid, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.generate import Generation
from boresight.objectives.reward_shaping import with_stop_penalty
from boresight.training.experience import Rollouts, gather_experience, watch_over
from boresight.training.invariants import check_responses_end, string_ends
from boresight.training.ppo import train_ppo
from boresight.training.reward_scale import RewardScale
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.rollout import Rollout, response_text

from . import tiny_world as tiny
from .conftest import Imitator

STOPS, LIMIT = tiny.CHAT.stop_token_ids, 8
UNSCALED = RewardScale(0.0, 1.0)


def checked(rollout: Rollout, *stop: str) -> None:
    check_responses_end(rollout, STOPS, LIMIT, 3, string_ends(rollout, stop, tiny.TOKENIZER))


def said(text: str, *, stopped: bool = True) -> Rollout:
    """A rollout of a response without the stop token at its end."""
    return replace(tiny.rollout_of(text, stopped=False), stopped=torch.tensor([stopped]))


def test_response_may_end_with_the_token_that_completes_a_stop_string() -> None:
    checked(said("abc"), "bc", "never")
    checked(tiny.rollout_of("abab"), "bc")  # with its stop token, as ever
    checked(said("abababab", stopped=False), "bc")  # at the limit


@pytest.mark.parametrize(
    "wrong",
    [
        said("abca"),  # goes on behind the string
        said("abab"),  # is said to have stopped, and holds none
        said("abababc", stopped=False),  # holds one, and is said not to have stopped
        tiny.rollout_of("abca"),  # the stop token came only after the string
    ],
)
def test_response_that_does_not_end_with_its_first_stop_string_is_refused(wrong: Rollout) -> None:
    with pytest.raises(TrainingError, match=r"does not end where the response does.*stop string"):
        checked(wrong, "bc")


def test_text_ends_before_the_stop_string_but_only_where_the_response_stopped() -> None:
    policy = tiny.policy_of(tiny.fresh_model())
    ids = tiny.TOKENIZER.encode("abcd", add_special_tokens=False)
    generation = Generation(ids, [0.0] * 4, stopped=True)
    assert response_text(policy, generation, ["cd", "bcd"]) == "a"
    assert response_text(policy, replace(generation, stopped=False), ["cd"]) == "abcd"
    assert response_text(policy, generation, []) == "abcd"


def test_rollout_ends_at_stop_strings_and_they_count_as_a_stop(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.ppo_config(stop=["b", "cd"], missing_stop_penalty=3.0, temperature=1.5)
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    policy.model.eval()
    watch = watch_over(config, policy, reference, tiny.LetterShare())
    run = tiny.run_in(tmp_path)
    rollouts = Rollouts(config, policy, tiny.PROMPTS, run)
    got = gather_experience(config, policy, reference, tiny.LetterShare(), UNSCALED, rollouts, run, 0, watch)
    rollout = got.rollout
    written = [
        tiny.TOKENIZER.decode(ids[mask]) for ids, mask in zip(rollout.input_ids, rollout.response_mask, strict=True)
    ]
    at_string = [text.endswith(("b", "cd")) for text in written]
    assert sum(at_string) >= 4  # three of four first letters are no "a"
    for text, whole, ends, stopped in zip(rollout.texts, written, at_string, rollout.stopped.tolist(), strict=True):
        assert "b" not in text and "cd" not in text and whole.startswith(text)
        assert stopped or not ends
    torch.testing.assert_close(got.score, with_stop_penalty(got.raw_score, rollout.stopped, 3.0))
    assert bool((got.score[torch.tensor(at_string)] >= 0).all())


def test_both_loops_train_with_stop_strings(imitator: Imitator, tmp_path: Path) -> None:
    ppo = tiny.ppo_config(stop=["b"], steps=1)
    roles = tiny.shared_roles(imitator.model)
    train_ppo(ppo, roles, UNSCALED, tiny.PROMPTS, tiny.run_in(tmp_path / "ppo"))
    pair = RLOORoles(tiny.policy_of(imitator.model), tiny.reference_of(imitator.model), tiny.LetterShare())
    before = tiny.weights(pair.policy.model)
    train_rloo(tiny.rloo_config(stop=["b"], steps=1), pair, UNSCALED, tiny.PROMPTS, tiny.run_in(tmp_path / "rloo"))
    assert any(not torch.equal(a, b) for a, b in zip(before, tiny.weights(pair.policy.model), strict=True))
