"""REINFORCE with a leave-one-out baseline: the other responses to a prompt take the value model's place.

Ahmadian et al. 2024 (arXiv:2402.14740). A whole response is one action with one reward, the KL penalty included: the
sum over tokens of `kl_shaped_reward`.
"""

from typing import NamedTuple

from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_mask
from boresight.objectives.kl import k2
from boresight.objectives.logprobs import logp_sum
from boresight.objectives.ppo import ppo_policy_loss


class RLOOTerms(NamedTuple):
    loss: Tensor  # (responses,) unreduced, 0 for a response without tokens
    ratio: Tensor  # (responses,) policy / old policy of the whole response, detached
    clipped: Tensor  # (responses,) bool, the clip range took the gradient away
    approximate_kl: Tensor  # (responses, tokens) k2 from old policy to policy, nats, detached, 0 where mask is False


def leave_one_out_advantage(reward: Tensor) -> Tensor:
    """Each response's reward minus the mean of the others to the same prompt: (prompts, responses_per_prompt), same.

        advantage_i = reward_i - sum_{j != i} reward_j / (K - 1) = (reward_i - mean) K / (K - 1)

    Detached; unbiased since the baseline does not depend on the response itself. Rows sum to 0. Not divided by the
    deviation (that is GRPO). Raises ValueError for fewer than two responses a prompt.
    """
    if reward.ndim != 2 or reward.shape[1] < 2:
        raise ValueError(
            f"reward has shape {tuple(reward.shape)}; expected (prompts, responses_per_prompt) "
            "with at least 2 responses a prompt to leave one out"
        )
    reward = at_least_float32(reward).detach()
    responses = reward.shape[1]
    return (reward - reward.mean(1, keepdim=True)) * (responses / (responses - 1))


def rloo_loss(
    *, policy_logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip_range: float
) -> RLOOTerms:
    """PPO's clipped loss with the response as the action, one value a response.

        ratio = policy(y | x) / old(y | x)                       over all of a response's tokens
        loss  = max(-advantage ratio, -advantage clip(ratio, 1 - clip_range, 1 + clip_range))

    Shapes: advantage (responses,); policy_logp, old_logp and mask (responses, tokens). At ratio 1, the first update of
    a batch, the gradient is REINFORCE's: that of -advantage * log policy(y | x). Gradient: through `policy_logp` only.
    The ratio of a long response leaves the clip range sooner than a token's.
    """
    require_mask(mask, policy_logp=policy_logp, old_logp=old_logp)
    if advantage.shape != mask.shape[:1]:
        raise ValueError(
            f"advantage has shape {tuple(advantage.shape)} but mask has shape {tuple(mask.shape)}; "
            f"expected advantage of shape {tuple(mask.shape[:1])}, one a response"
        )
    terms = ppo_policy_loss(
        policy_logp=logp_sum(policy_logp, mask),
        old_logp=logp_sum(old_logp, mask),
        advantage=advantage,
        mask=mask.any(1),
        clip_range=clip_range,
    )
    token_kl = k2(policy_logp=old_logp, reference_logp=policy_logp, mask=mask).detach()
    return RLOOTerms(loss=terms.loss, ratio=terms.ratio, clipped=terms.clipped, approximate_kl=token_kl)
