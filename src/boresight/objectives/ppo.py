"""Proximal policy optimisation: the clipped losses of the policy and of the value model, token by token.

What stands under the mask, NaN included, changes neither loss nor gradient.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from boresight.objectives.inputs import require_mask
from boresight.objectives.kl import k2
from boresight.objectives.masking import fill_masked


class PPOPolicyTerms(NamedTuple):
    loss: Tensor  # (responses, tokens) unreduced, 0 where mask is False
    ratio: Tensor  # (responses, tokens) policy / old policy, detached, 1 where mask is False
    clipped: Tensor  # (responses, tokens) bool, the clip range took the gradient away; a step size, not a quality
    dual_clipped: Tensor  # (responses, tokens) bool, `dual_clip` did
    approximate_kl: Tensor  # (responses, tokens) k2 from old policy to policy, nats, detached


class PPOValueTerms(NamedTuple):
    loss: Tensor  # (responses, tokens) half squared error, unreduced, 0 where mask is False
    clipped: Tensor  # (responses, tokens) bool, the clipped value's error was the larger one


def ppo_policy_loss(
    *,
    policy_logp: Tensor,
    old_logp: Tensor,
    advantage: Tensor,
    mask: Tensor,
    clip_range: float,
    dual_clip: float | None = None,
) -> PPOPolicyTerms:
    """Clipped surrogate loss (Schulman et al. 2017, arXiv:1707.06347, eq. 7), one value a token.

        ratio = policy(y_t) / old(y_t)
        loss  = max(-advantage ratio, -advantage clip(ratio, 1 - clip_range, 1 + clip_range))

    `dual_clip` c > 1 also bounds the loss by -advantage c where the advantage is negative (Ye et al. 2020,
    arXiv:1912.09729). Shapes: every tensor is (responses, tokens), or any one shape. `old_logp` is that of the weights
    that sampled, computed by the same code as `policy_logp`. Gradient: through `policy_logp` only; at ratio 1 it is
    that of -advantage * policy_logp.
    """
    require_mask(mask, policy_logp=policy_logp, old_logp=old_logp, advantage=advantage)
    if dual_clip is not None and not dual_clip > 1.0:
        raise ValueError(f"dual_clip is {dual_clip}; expected a bound on the ratio above 1, or None")
    new, old = fill_masked(policy_logp, mask), fill_masked(old_logp, mask).detach()
    gain = fill_masked(advantage, mask).detach()

    ratio = torch.exp(new - old)
    unclipped_loss = -gain * ratio
    clipped_loss = -gain * ratio.clamp(1.0 - clip_range, 1.0 + clip_range)
    loss = torch.maximum(unclipped_loss, clipped_loss)
    clipped = clipped_loss > unclipped_loss
    dual_clipped = torch.zeros_like(mask)
    if dual_clip is not None:
        bound = -gain * dual_clip
        dual_clipped = (gain < 0.0) & (loss > bound)
        loss = torch.where(dual_clipped, bound, loss)
    return PPOPolicyTerms(
        loss=loss,
        ratio=ratio.detach(),
        clipped=clipped,
        dual_clipped=dual_clipped,
        approximate_kl=k2(policy_logp=old, reference_logp=new).detach(),
    )


def ppo_value_loss(
    *, value: Tensor, old_value: Tensor, target: Tensor, mask: Tensor, clip_range: float | None
) -> PPOValueTerms:
    """Half the squared error of the value model, clipped around the rollout's values, one value a token.

        loss = 1/2 max((value - target)^2, (clip(value, old_value - clip_range, old_value + clip_range) - target)^2)

    The factor 1/2 is in the loss: a value coefficient multiplies it (Huang et al. 2024 take 0.1). None for
    `clip_range` leaves the plain half square. Shapes: every tensor is (responses, tokens). Gradient: through `value`.
    """
    require_mask(mask, value=value, old_value=old_value, target=target)
    new, old = fill_masked(value, mask), fill_masked(old_value, mask).detach()
    aim = fill_masked(target, mask).detach()
    error = (new - aim).square()
    if clip_range is None:
        return PPOValueTerms(loss=0.5 * error, clipped=torch.zeros_like(mask))
    near_old = new.clamp(old - clip_range, old + clip_range)  # the value itself, to the bit, where it has not moved far
    clipped_error = (near_old - aim).square()
    return PPOValueTerms(loss=0.5 * torch.maximum(error, clipped_error), clipped=clipped_error > error)
