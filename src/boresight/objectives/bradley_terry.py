"""Preference losses of a reward model: pairs, soft labels, margins, and rankings of many responses.

Bradley & Terry 1952: P(chosen preferred) = sigmoid(score_chosen - score_rejected). Only differences count, so scores
of one prompt may drift together; the centering term holds them around zero.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from boresight.objectives.inputs import at_least_float32, require_mask, require_same_shape
from boresight.objectives.masking import fill_masked, masked_sum


class BradleyTerryTerms(NamedTuple):
    loss: Tensor  # (pairs,) preference + centering_coefficient * centering, unreduced
    preference: Tensor  # (pairs,) nats, the likelihood part of the loss
    centering: Tensor  # (pairs,) (chosen + rejected)^2, without its coefficient
    score_difference: Tensor  # (pairs,) chosen - rejected, detached; above 0 the pair is ranked right


class RankingTerms(NamedTuple):
    loss: Tensor  # (rankings,) mean over the ranking's pairs; 0 where it has none
    pairs: Tensor  # (rankings,) pairs with a preference among the responses that count
    pairs_right: Tensor  # (rankings,) those whose better response scores higher


def preference_nll(
    difference: Tensor,
    *,
    margin: Tensor | None = None,
    p_chosen: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Negative log-likelihood of preference labels, given score differences d = chosen - rejected. Nats, unreduced.

        q    = (1 - s) p_chosen + s (1 - p_chosen)                      (p_chosen is 1 where not given)
        loss = -q log sigmoid(d - margin) - (1 - q) log sigmoid(-d - margin)

    The margin is what either response must win by, so exchanging the two with 1 - p_chosen leaves the loss as it was.
    All tensors have one shape. Raises ValueError for unequal shapes or smoothing outside [0, 0.5].
    """
    require_same_shape(difference=difference, margin=margin, p_chosen=p_chosen)
    if not 0.0 <= label_smoothing <= 0.5:
        raise ValueError(f"label_smoothing is {label_smoothing}; expected 0 to 0.5, the share of labels that are wrong")
    difference = at_least_float32(difference)
    needed = 0.0 if margin is None else at_least_float32(margin)
    if p_chosen is None and label_smoothing == 0.0:
        return -logsigmoid(difference - needed)
    p = torch.ones_like(difference) if p_chosen is None else at_least_float32(p_chosen)
    q = (1.0 - label_smoothing) * p + label_smoothing * (1.0 - p)
    return -q * logsigmoid(difference - needed) - (1.0 - q) * logsigmoid(-difference - needed)


def bradley_terry_loss(
    *,
    chosen_score: Tensor,
    rejected_score: Tensor,
    margin: Tensor | None = None,
    p_chosen: Tensor | None = None,
    label_smoothing: float = 0.0,
    centering_coefficient: float = 0.0,
) -> BradleyTerryTerms:
    """Loss of a reward model on preference pairs, one value a pair.

    Bradley-Terry likelihood (Ouyang et al. 2022, eq. 1) with rating margins (Touvron et al. 2023b, eq. 2), soft
    labels and smoothing as in `preference_nll`, and centering (Eisenstein et al. 2023):

        loss = preference + centering_coefficient (score_chosen + score_rejected)^2

    Shapes: every tensor is (pairs,). Gradient: through both scores.
    """
    require_same_shape(chosen_score=chosen_score, rejected_score=rejected_score, margin=margin, p_chosen=p_chosen)
    chosen, rejected = at_least_float32(chosen_score), at_least_float32(rejected_score)
    preference = preference_nll(chosen - rejected, margin=margin, p_chosen=p_chosen, label_smoothing=label_smoothing)
    centering = (chosen + rejected).square()
    return BradleyTerryTerms(
        loss=preference + centering_coefficient * centering,
        preference=preference,
        centering=centering,
        score_difference=(chosen - rejected).detach(),
    )


def ranking_loss(
    *,
    score: Tensor,
    rank: Tensor,
    mask: Tensor,
    label_smoothing: float = 0.0,
    centering_coefficient: float = 0.0,
) -> RankingTerms:
    """Loss of ranked responses: the mean of `bradley_terry_loss` over all pairs of one prompt, each scored once.

    Ouyang et al. 2022, section 3.5: the C(K, 2) pairs of a prompt are one batch element; spread over an epoch as
    single pairs they are learnt by heart. Shapes: score, rank and mask are (rankings, responses); `rank` is any number
    that is lower for a better response. Equal ranks are a tie, which says nothing and makes no pair.
    """
    require_mask(mask, score=score, rank=rank)
    filled = fill_masked(score, mask)
    responses = mask.shape[1]
    first = filled.unsqueeze(2).expand(-1, -1, responses)  # (rankings, responses, responses)
    second = filled.unsqueeze(1).expand(-1, responses, -1)
    is_pair = (rank.unsqueeze(2) < rank.unsqueeze(1)) & mask.unsqueeze(2) & mask.unsqueeze(1)
    terms = bradley_terry_loss(
        chosen_score=first,
        rejected_score=second,
        label_smoothing=label_smoothing,
        centering_coefficient=centering_coefficient,
    )
    pairs = is_pair.sum((1, 2))
    return RankingTerms(
        loss=masked_sum(terms.loss, is_pair, (1, 2)) / pairs.clamp(min=1),
        pairs=pairs,
        pairs_right=(is_pair & (terms.score_difference > 0.0)).sum((1, 2)),
    )


def plackett_luce_nll(*, score: Tensor, preferred: Tensor) -> Tensor:
    """Negative log-likelihood of whole orders, one value a ranking: of those left, the best is chosen, again and again.

    Plackett 1975 and Luce 1959; as a loss ListMLE (Xia et al. 2008), and in Rafailov et al. 2023, appendix A.3:

        loss = sum over i of  log(e^score_i + sum over j below i of e^score_j) - score_i

    Shapes: score is (rankings, responses) and preferred (rankings, responses, responses), boolean, True at [n, i, j]
    where response i was preferred to j. Nats, summed over the choices: log K! where all scores are equal, and for K = 2
    the Bradley-Terry loss. A tie says nothing: neither response is among those that the other was chosen from. What
    stands at responses that nothing is said of is never looked at.
    """
    if preferred.dtype != torch.bool or preferred.shape != (*score.shape, score.shape[-1]):
        raise ValueError(
            f"score has shape {tuple(score.shape)} but preferred has shape {tuple(preferred.shape)} and dtype "
            f"{preferred.dtype}; expected torch.bool and one more axis of responses"
        )
    chooses = preferred.any(2)  # (rankings, responses) somebody stands below
    filled = fill_masked(score, chooses | preferred.any(1))
    below = torch.where(preferred, filled.unsqueeze(1), -torch.inf)  # (rankings, responses, responses)
    choice = torch.cat([filled.unsqueeze(2), below], dim=2).logsumexp(2) - filled
    return masked_sum(choice, chooses, -1)
