"""A second opinion: a reward that is scored beside the one that is paid, and never trained on.

Gao et al. 2022 (arXiv:2210.10760): the paid reward keeps rising after the true one has turned. A canary that learned
from other pairs errs elsewhere, so it turns with the true one; what both like by mistake it does not see.
"""

import torch
from torch import Tensor

from boresight.config.sections import PolicyStage
from boresight.errors import TrainingError
from boresight.training.experience import Experience
from boresight.training.reward_sources import AnySource, scores_of


@torch.no_grad()
def canary_metrics(
    config: PolicyStage, canary: AnySource | None, experience: Experience, step: int
) -> dict[str, float]:
    """What the canary says of a step's responses, every `canary_every` steps and in the last one; otherwise nothing.

    Raises TrainingError for a score that is not finite, before the step is trained on.
    """
    due = step % config.canary_every == 0 or step + 1 == config.steps
    if canary is None or not due:
        return {}
    scores = scores_of(canary, experience.rollout).cpu().double()
    if not bool(torch.isfinite(scores).all()):
        raise TrainingError(
            f"step {step}: the canary gave {int((~torch.isfinite(scores)).sum())} of {len(scores)} responses a score "
            "that is not finite. The weights were not changed by this step; look at what the canary says to these."
        )
    paid = experience.raw_score.cpu().double()
    return {
        "reward/canary_score": float(scores.mean()),
        "reward/canary_deviation": float(scores.std(correction=0)),
        "reward/score_deviation": float(paid.std(correction=0)),
        "reward/canary_correlation": rank_correlation(paid, scores),
    }


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's, with mean ranks for ties; 0 where either side is constant."""
    ranks = torch.stack([_mean_ranks(first), _mean_ranks(second)])
    centred = ranks - ranks.mean(1, keepdim=True)
    spread = centred.square().sum(1).prod().sqrt()
    return float(centred.prod(0).sum() / spread) if float(spread) > 0 else 0.0


def _mean_ranks(values: Tensor) -> Tensor:
    below = (values[None, :] < values[:, None]).sum(1)
    equal = (values[None, :] == values[:, None]).sum(1)
    return below.double() + (equal.double() + 1) / 2
