"""From a score a response to a reward, an advantage and a value target a token.

Shapes are (responses, tokens). Tokens whose mask is False are passed over as if they were not there, so padding on
either side and tokens that the policy did not write (a tool's answer) change nothing. All results are detached: they
are what the policy and the value model are trained on, not what they are trained through.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_mask
from boresight.objectives.kl import KLEstimator, kl_estimate
from boresight.objectives.masking import fill_masked, masked_variance


class Advantages(NamedTuple):
    advantage: Tensor  # (responses, tokens) reward units, not whitened; 0 where mask is False
    target: Tensor  # (responses, tokens) advantage + value, what the value model learns; 0 where mask is False


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, gae_lambda: float) -> Advantages:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16), backwards from each response's last token.

        delta_t     = reward_t + gamma value_{t+1} - value_t        (value is 0 after the last token)
        advantage_t = delta_t + gamma lambda advantage_{t+1}
        target_t    = advantage_t + value_t

    Shapes: all (responses, tokens). `rewards[:, t]` is what writing token t earned, `values[:, t]` the value before
    it was written. Lambda 0 gives the TD error; lambda 1 gives the discounted return minus the value.
    """
    require_mask(mask, rewards=rewards, values=values)
    reward = fill_masked(rewards, mask).detach()
    value = fill_masked(values, mask).detach()
    advantage = torch.zeros_like(value)
    next_value = torch.zeros_like(value[:, 0])  # (responses,)
    next_advantage = torch.zeros_like(next_value)
    for t in reversed(range(mask.shape[1])):
        delta = reward[:, t] + gamma * next_value - value[:, t]
        here = mask[:, t]
        next_advantage = torch.where(here, delta + gamma * gae_lambda * next_advantage, next_advantage)
        next_value = torch.where(here, value[:, t], next_value)
        advantage[:, t] = torch.where(here, next_advantage, 0.0)
    return Advantages(advantage=advantage, target=advantage + value)


def kl_shaped_reward(
    score: Tensor,
    policy_logp: Tensor,
    reference_logp: Tensor,
    mask: Tensor,
    *,
    kl_coefficient: float,
    estimator: KLEstimator,
) -> Tensor:
    """Reward a token: minus the KL penalty at each, plus the response's score at its last (Ziegler et al. 2019).

        reward_t = -kl_coefficient kl_t + [t is the last token that counts] score

    Shapes: score (responses,), the rest and the result (responses, tokens), 0 where mask is False. `policy_logp` is
    that of the policy that sampled the tokens. A response without any token has nowhere to put its score and stays 0;
    summed over tokens, the result is the sequence reward that RLOO takes.
    """
    require_mask(mask, policy_logp=policy_logp, reference_logp=reference_logp)
    if score.shape != mask.shape[:1]:
        raise ValueError(
            f"score has shape {tuple(score.shape)} but mask has shape {tuple(mask.shape)}; "
            f"expected score of shape {tuple(mask.shape[:1])}, one a response"
        )
    kl = kl_estimate(policy_logp=policy_logp, reference_logp=reference_logp, estimator=estimator, mask=mask)
    score_at_last = torch.where(last_token(mask), at_least_float32(score).unsqueeze(1), 0.0)
    return (score_at_last - kl_coefficient * kl).detach()


def last_token(mask: Tensor) -> Tensor:
    """(responses, tokens) bool: True at the last token that counts of each response and nowhere else."""
    tokens_from_here = mask.flip(1).cumsum(1).flip(1)
    return mask & (tokens_from_here == 1)


def explained_variance(*, value: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(target - value) / Var(target) over all tokens that count, a detached scalar; by definition R^2 with the
    mean of the error taken out.

    1 is a perfect value model, 0 one that knows no more than the mean, below 0 worse than that. NaN where the target
    does not vary, since there is then nothing to explain. A constant offset of the values does not show here.
    """
    require_mask(mask, value=value, target=target)
    target_variance = masked_variance(target.detach(), mask)
    error_variance = masked_variance((at_least_float32(target) - at_least_float32(value)).detach(), mask)
    return torch.where(target_variance > 0.0, 1.0 - error_variance / target_variance, torch.nan)
