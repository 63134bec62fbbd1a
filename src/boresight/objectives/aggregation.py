"""From losses of tokens to the loss of a minibatch: every token alike, or every response alike."""

from typing import Literal

from torch import Tensor

Aggregation = Literal["token_mean", "sequence_mean"]


def token_weights(lengths: Tensor, aggregation: Aggregation) -> Tensor:
    """(responses,) weights, so that sum_i w_i sum_t loss_it / (all tokens) is the wanted mean; `lengths` in tokens.

        token_mean     sum_i sum_t loss_it / sum_i n_i                       w_i = 1
        sequence_mean  mean_i (sum_t loss_it / n_i)                          w_i = (sum_j n_j / N) / n_i

    token_mean: Yu et al. 2025 (DAPO, arXiv:2503.14476), section 3.3; sequence_mean: Shao et al. 2024 (GRPO,
    arXiv:2402.03300), eq. 3. `lengths` are those of the whole minibatch. A response without tokens adds nothing, and
    counts among the N.
    """
    lengths = lengths.double()
    if aggregation == "token_mean":
        return lengths.new_ones(lengths.shape)
    return lengths.mean() / lengths.clamp(min=1.0)
