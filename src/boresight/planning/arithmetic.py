"""Operations of training and sampling, a multiplication and an addition counted as two.

A forward pass takes 2 for each weight and token, and attention; a backward pass twice as much, or once where the
weights have no gradients (Kaplan et al. 2020, arXiv:2001.08361, section 2.1). The vocabulary counts where it is
projected: at response tokens. A prompt is computed once for all of its responses, as in these loops.
"""

from boresight.planning.shapes import ModelShape
from boresight.planning.workload import Workload


def forward_flops(shape: ModelShape, work: Workload, *, head: bool) -> float:
    """Of one example."""
    projected = 2.0 * shape.head_parameters * work.responses * work.response_tokens if head else 0.0
    return 2.0 * shape.multiplied_parameters * work.tokens + _attention(shape, work) + projected


def training_flops(
    shape: ModelShape, work: Workload, *, head: bool, adapters_only: bool = False, checkpointing: bool = False
) -> float:
    """Of one example, forward and backward."""
    passes = 1 + (1 if adapters_only else 2) + (1 if checkpointing else 0)
    return passes * forward_flops(shape, work, head=head)


def _attention(shape: ModelShape, work: Workload) -> float:
    """Scores and the sum over values: 4 for each pair of tokens that see each other and each number of the queries."""
    p, r = work.prompt_tokens, work.response_tokens
    seen = p * p / 2 + work.responses * (r * p + r * r / 2)
    return 4.0 * shape.layers * shape.query_size * seen


def decode_seconds(shape: ModelShape, *, rows: int, context: float, number_bytes: int, bandwidth: float) -> float:
    """Of one token for each of `rows` responses: weights are read once for all, keys and values for each."""
    weights = shape.active_parameters if rows == 1 else shape.parameters
    cache = rows * context * 2 * shape.layers * shape.key_value_size
    return number_bytes * (weights + cache) / bandwidth
