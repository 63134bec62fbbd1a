"""What happens to scores before they become rewards: members combined, length made to cost, missing stops fined.

Every function takes and gives plain score tensors, detached from any model; all of them are monotone in the score.
"""

from typing import Literal

import torch
from torch import Tensor

from boresight.objectives.inputs import at_least_float32, require_same_shape

Combination = Literal["mean", "min", "mean_minus_deviation"]
MissingStop = Literal["replace", "subtract"]


def combine_members(scores: Tensor, combine: Combination, *, deviation_weight: float = 1.0) -> Tensor:
    """One score a response from an ensemble of reward models: (members, responses) -> (responses,).

        mean                  sum_i r_i / M
        min                   min_i r_i                     worst-case optimisation (Coste et al. 2023, eq. 3)
        mean_minus_deviation  mean - deviation_weight sqrt(sum_i (r_i - mean)^2 / M)

    Coste et al. 2023 (arXiv:2310.02743, eq. 4) subtract the variance; its root has the unit of the score, so that the
    weight need not change with the members' scale. Raises ValueError for fewer than two members.
    """
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)}; expected (members, responses), two members at least"
        )
    scores = at_least_float32(scores)
    if combine == "min":
        return scores.amin(0)
    mean = scores.mean(0)
    return mean if combine == "mean" else mean - deviation_weight * scores.std(0, correction=0)


def with_length_cost(
    score: Tensor, lengths: Tensor, *, penalty: float = 0.0, free_tokens: int = 0, normalized: bool = False
) -> Tensor:
    """Scores (responses,) after what their length in tokens (responses,) costs.

        normalized        score / tokens
        otherwise         score - penalty max(0, tokens - free_tokens)

    The penalty is that of Singhal et al. 2023 (arXiv:2310.03716). Dividing favours short responses among positive
    scores and long ones among negative scores.
    """
    require_same_shape(score=score, lengths=lengths)
    score = at_least_float32(score)
    if normalized:
        return score / lengths.clamp(min=1)
    return score - penalty * (lengths - free_tokens).clamp(min=0)


def with_stop_penalty(score: Tensor, stopped: Tensor, penalty: float | None, how: MissingStop = "replace") -> Tensor:
    """Scores (responses,) after what it costs not to have stopped; None leaves every score as it is.

        replace   -penalty                 the EOS trick of Huang et al. 2024 (arXiv:2403.17031, detail 14)
        subtract  score - penalty          `missing_eos_penalty` of TRL

    With `replace` a response that did not stop cannot buy itself free by a high score; with `subtract` it can.
    """
    if penalty is None:
        return score
    return torch.where(stopped, score, score.new_tensor(-penalty) if how == "replace" else score - penalty)
