"""What passes through a model: bytes that blocks keep for the backward pass, logits, keys and values."""

from boresight.planning.numbers import NumberFormats
from boresight.planning.recipe import Blocks, Head, Recipe, Rollout
from boresight.planning.shapes import ModelShape

FLOAT32 = 4
LOGITS_AT_ONCE = 1 << 25
"""Of tokens times vocabulary: what the fused head holds of them together."""


def block_bytes(shape: ModelShape, numbers: NumberFormats, tokens: int, blocks: Blocks) -> int:
    """What one block keeps, attention without its square matrix. With h the hidden size, q, k the widths of queries and
    keys, f the feed-forward width (gated), a token, in numbers:

        fused  2 h (inputs of norms) + q + 2 k + 2 h (norms give) + q (attention gives) + 4 f (gate, up, silu, product)
        eager  more: the norms' inputs in float32, keys and values repeated for every head of queries
        lean   2 h + q + k in float32; 2 h + q + k + 2 f in the products' format, and the weights once more in it
    """
    h, q, k = shape.hidden_size, shape.query_size, shape.key_value_size
    if blocks == "lean":
        return _lean_block(shape, numbers, tokens)
    fed = (4 if shape.gated else 2) * shape.intermediate_size
    kept = numbers.product * (4 * h + 2 * q + 2 * k + fed)
    if blocks == "eager":
        kept += 2 * FLOAT32 * h + 2 * numbers.product * (q - k)
    return tokens * kept


def _lean_block(shape: ModelShape, numbers: NumberFormats, tokens: int) -> int:
    """Counted off LlamaDecoderLayer with lean norms and feed-forward parts. Weights of the block once more where the
    products' format is another than theirs."""
    h, q, k, f = shape.hidden_size, shape.query_size, shape.key_value_size, shape.intermediate_size
    matrices = 3 if shape.gated else 2
    wide = 2 * h + q + k
    narrow = 2 * h + q + k + 2 * f  # gate and up, whose product is made again; or what goes into the bend and comes out
    copies = h * (2 * q + 2 * k + matrices * f) * numbers.product if numbers.product < numbers.weight else 0
    return tokens * (wide * FLOAT32 + narrow * numbers.product) + copies


def input_bytes(shape: ModelShape, numbers: NumberFormats, tokens: int, blocks: Blocks) -> int:
    """Of the input of one block: all that checkpointing keeps of it."""
    return tokens * shape.hidden_size * (FLOAT32 if blocks == "lean" else numbers.product)


def kept_blocks(recipe: Recipe) -> int:
    """Bytes of all that is kept of the blocks when the loss is computed."""
    shape, numbers, tokens, blocks = recipe.shape, recipe.numbers, recipe.tokens, recipe.blocks
    if not recipe.checkpointing:
        return shape.layers * block_bytes(shape, numbers, tokens, blocks)
    return 0 if recipe.activations_on_cpu else shape.layers * input_bytes(shape, numbers, tokens, blocks)


def logits_bytes(shape: ModelShape, numbers: NumberFormats, tokens: int, head: Head) -> int:
    """blocks: logits and their gradient in the products' format and, on a GPU at once, in float32, of so many tokens as
    are projected together. chunks: all logits in the products' format; the rest is computed inside of kernels. whole:
    those, and logits and log-probabilities in float32."""
    if head == "none":
        return 0
    if head == "blocks":
        together = min(tokens * shape.vocabulary_size, max(LOGITS_AT_ONCE, shape.vocabulary_size))
        return (2 * numbers.product + FLOAT32) * together
    return tokens * shape.vocabulary_size * (numbers.product + (2 * FLOAT32 if head == "whole" else 0))


def logits_of(recipe: Recipe) -> int:
    """Of the tokens that are projected."""
    scored = round(recipe.tokens * recipe.scored_share)
    return logits_bytes(recipe.shape, recipe.numbers, scored, recipe.head)


def cache_bytes(shape: ModelShape, rollout: Rollout) -> int:
    """Keys and values of all tokens."""
    return 2 * shape.layers * shape.key_value_size * rollout.number_bytes * rollout.rows * rollout.tokens
