"""Each test commits one fault and sees it named; the first shows that without one nothing is said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy, RewardModel
from boresight.training.invariants import Watch, check_members, check_padding, check_responses_end, part_of
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_scale import RewardScale
from boresight.training.reward_sources import scores_of
from boresight.training.rollout import Rollout

from . import tiny_world as tiny
from .conftest import Imitator

STOPS = tiny.CHAT.stop_token_ids
LIMIT = 8


def watch(policy: Policy, reference: FrozenPolicy, reward: Any = None) -> Watch:
    return Watch(policy, reference, reward or tiny.LetterShare(), temperature=1.0, max_new_tokens=LIMIT)


@pytest.fixture
def rollout() -> Rollout:
    return tiny.rollout_of("aab", "b", "abcd", "cc", "abc")


def test_sound_run_passes_with_a_real_reward_model(rollout: Rollout, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(tiny.fresh_model()), tiny.reference_of(tiny.fresh_model(seed=2))
    reward = RewardModel(tiny.scorer(tmp_path), tiny.TOKENIZER, tiny.CHAT)
    watching, run = watch(policy, reference, reward), tiny.run_in(tmp_path)
    for step in range(2):
        watching.check(rollout, scores_of(reward, rollout), run, step)


def test_reference_that_moves_is_seen_on_the_fixed_batch(rollout: Rollout, tmp_path: Path) -> None:
    reference, scores = tiny.reference_of(tiny.fresh_model()), scores_of(tiny.LetterShare(), rollout)
    watching, run = watch(tiny.policy_of(tiny.fresh_model()), reference), tiny.run_in(tmp_path)
    watching.check(rollout, scores, run, step=0)
    with torch.no_grad():
        reference.model.model.norm.weight.mul_(1.001)
    with pytest.raises(TrainingError, match=r"step 1: the reference gives other log-probabilities to a fixed batch"):
        watching.check(rollout, scores, run, step=1)


def test_reference_that_shares_weights_with_the_policy_stops_the_training(imitator: Imitator, tmp_path: Path) -> None:
    policy = tiny.policy_of(imitator.model)
    reference = FrozenPolicy.__new__(FrozenPolicy)  # as made by mistake: the policy's own model, not frozen
    reference.model, reference.tokenizer, reference.chat = policy.model, policy.tokenizer, policy.chat
    roles = PPORoles(policy, tiny.value_of(imitator.model), reference, tiny.LetterShare())
    with pytest.raises(TrainingError, match=r"step 1: .*It has moved: it shares weights with the policy"):
        train_ppo(tiny.ppo_config(), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, tiny.run_in(tmp_path))


class LooksAtOthers:
    """A reward that depends on the batch: normalised within it."""

    def score(self, prompts: Any, responses: Any) -> torch.Tensor:
        counts = torch.tensor([float(text.count("a")) for text in responses])
        return counts - counts.mean()


def test_reward_that_depends_on_the_batch_is_refused(rollout: Rollout) -> None:
    scores = scores_of(LooksAtOthers(), rollout)
    with pytest.raises(TrainingError, match=r"step 0: the response to prompt 'p0' is worth 0 by itself and 1\.2 in"):
        check_members(LooksAtOthers(), rollout, scores, torch.tensor([0, 1]), step=0)


def test_loop_looks_at_its_reward(imitator: Imitator, tmp_path: Path) -> None:
    roles = PPORoles(
        tiny.policy_of(imitator.model), tiny.value_of(imitator.model), tiny.reference_of(imitator.model),
        LooksAtOthers(),
    )  # fmt: skip
    before = tiny.weights(roles.policy.model)
    with pytest.raises(TrainingError, match=r"step 0: .* by itself and .* in its batch"):
        train_ppo(tiny.ppo_config(), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, tiny.run_in(tmp_path))
    tiny.assert_same_weights(roles.policy.model, before)


class SeesPadding(Policy):
    """A model whose log-probabilities depend on what stands behind a row's end."""

    def logps(self, input_ids: torch.Tensor, response_mask: torch.Tensor, **options: Any) -> ResponseLogps:
        found = super().logps(input_ids, response_mask, **options)
        return found._replace(logp=found.logp + 1e-3 * input_ids[:, -1:] * found.mask)


def test_padding_that_is_looked_at_is_noticed(rollout: Rollout) -> None:
    check_padding(tiny.policy_of(tiny.fresh_model()), rollout, step=0)
    faulty = SeesPadding(tiny.fresh_model(), tiny.TOKENIZER, tiny.CHAT)
    with pytest.raises(TrainingError, match=r"step 0: log-probabilities of responses change by up to .* stands behind"):
        check_padding(faulty, rollout, step=0)


def test_responses_end_at_their_stop_token_or_at_the_limit(rollout: Rollout) -> None:
    check_responses_end(rollout, STOPS, LIMIT, step=3)
    check_responses_end(tiny.rollout_of("abcdabcd", stopped=False), STOPS, LIMIT, step=3)


def one_token_short(rollout: Rollout) -> Rollout:
    mask = rollout.response_mask.clone()
    mask[0, int(rollout.row_tokens[0]) - 1] = False
    return replace(rollout, response_mask=mask, lengths=mask.sum(1))


def one_token_long(rollout: Rollout) -> Rollout:
    mask = rollout.response_mask.clone()
    mask[0, int(rollout.row_tokens[0])] = True
    return replace(rollout, response_mask=mask, lengths=mask.sum(1))


def a_hole(rollout: Rollout) -> Rollout:
    mask = rollout.response_mask.clone()
    mask[0, int(rollout.row_tokens[0]) - 2] = False
    return replace(rollout, response_mask=mask, lengths=mask.sum(1))


def a_stop_within(rollout: Rollout) -> Rollout:
    ids = rollout.input_ids.clone()
    ids[0, int(rollout.row_tokens[0]) - 2] = STOPS[0]
    return replace(rollout, input_ids=ids)


def wrong_word_of_it(rollout: Rollout) -> Rollout:
    return replace(rollout, stopped=torch.zeros_like(rollout.stopped))


@pytest.mark.parametrize("fault", [one_token_short, one_token_long, a_hole, a_stop_within, wrong_word_of_it])
def test_mask_that_does_not_end_where_the_response_does_is_refused(fault: Any, rollout: Rollout) -> None:
    with pytest.raises(TrainingError, match=r"step 3: the response mask of prompt 'p0' does not end where"):
        check_responses_end(fault(rollout), STOPS, LIMIT, step=3)


def test_part_of_a_rollout_holds_its_rows_and_nothing_else(rollout: Rollout) -> None:
    part = part_of(rollout, torch.tensor([1, 3]))
    assert part.texts == ("b", "cc") and [p.id for p in part.prompts] == ["p1", "p3"]
    assert part.lengths.tolist() == [2, 3] and part.sampler_logp.shape == (2, 3)
    assert part.input_ids.shape[1] == int(part.row_tokens.max())
    check_responses_end(part, STOPS, LIMIT, step=0)
