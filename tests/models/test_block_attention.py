"""Attention in blocks against dense attention by the public function of torch, mask and all."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from boresight.models.block_attention import BLOCK, attend_in_blocks
from boresight.models.shared_prompt import Span

# Three conversations, the first with three responses; each longer than one block somewhere, and filling at the end.
SPANS = (
    Span(0, BLOCK + 13, 0, 0),
    Span(BLOCK + 13, BLOCK + 20, 0, BLOCK),
    Span(BLOCK + 20, 2 * BLOCK + 25, 0, 9),
    Span(2 * BLOCK + 25, 2 * BLOCK + 26, 2 * BLOCK + 25, 2 * BLOCK + 25),
    Span(2 * BLOCK + 26, 5 * BLOCK, 2 * BLOCK + 26, 2 * BLOCK + 26),
)
TOKENS = 5 * BLOCK + 7


def drawn(dtype: torch.dtype, heads: int = 2, size: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, heads, TOKENS, size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for _ in range(3)
    ]


def dense(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """The same from the definition: who sees whom as one table over the whole row."""
    sees = torch.zeros(TOKENS, TOKENS, dtype=torch.bool)
    for span in SPANS:
        seen = [*range(span.stem_start, span.stem_end), *range(span.start, span.end)]
        for place, token in enumerate(range(span.start, span.end), start=span.stem):
            first = 0 if window is None else max(0, place + 1 - window)
            sees[token, seen[first : place + 1]] = True
    out = scaled_dot_product_attention(query, key, value, attn_mask=sees, scale=scale)
    return torch.where(sees.any(dim=1)[:, None], out, 0.0).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 1, 5, BLOCK, BLOCK + 6, 4 * BLOCK])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_result_and_gradients_are_those_of_dense_attention(
    dtype: torch.dtype, tolerance: float, window: int | None
) -> None:
    ours, plain = drawn(dtype), drawn(dtype)
    out = attend_in_blocks(*ours, SPANS, 0.7, window)
    expected = dense(*plain, 0.7, window)
    torch.testing.assert_close(out, expected, atol=tolerance, rtol=tolerance)
    pull = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    out.backward(pull)
    expected.backward(pull)
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, atol=tolerance, rtol=tolerance)


def test_short_responses_to_one_prompt_are_attended_to_together_with_the_same_result() -> None:
    # Six responses to one prompt, which are two families; one alone; two to a longer prompt.
    short = [
        Span(0, 12, 0, 0),
        *(Span(*span, 0, 5) for span in ((12, 20), (20, 21), (21, 181), (181, 195), (195, 200))),
    ]
    spans = (*short, Span(200, 210, 200, 200), Span(210, 310, 210, 210), Span(310, 320, 210, 300))
    query, key, value = (tensor.detach()[:, :, :320] for tensor in drawn(torch.float64))
    kept: dict[object, Tensor] = {}
    with torch.no_grad():
        together = [attend_in_blocks(query, key, value, spans, 0.7, None, kept) for _ in range(2)]
    apart = attend_in_blocks(query, key, value, spans, 0.7, None)
    for found in together:
        torch.testing.assert_close(found, apart, atol=1e-12, rtol=1e-12)
    assert len(kept) == 3, "one table a family"


def test_gradient_is_the_derivative() -> None:
    spans = (Span(0, 5, 0, 0), Span(5, 8, 0, 3))
    tokens = [tensor[:, :1, :9].detach().requires_grad_() for tensor in drawn(torch.float64)]
    assert torch.autograd.gradcheck(lambda q, k, v: attend_in_blocks(q, k, v, spans, 0.5, None), tokens)


def test_under_autocast_scores_are_not_rounded() -> None:
    ours, plain = drawn(torch.bfloat16), [tensor.detach().float() for tensor in drawn(torch.bfloat16)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attend_in_blocks(*ours, SPANS, 4.0, None)  # large scores: rounded ones would be off by parts of a unit
        out.float().sum().backward()
    expected = dense(*plain, 4.0, None)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, atol=1e-2, rtol=8e-3)  # of the result's own rounding
    assert all(bool(torch.isfinite(tensor.grad).all()) for tensor in ours if tensor.grad is not None)


def test_what_stands_in_another_span_is_without_effect() -> None:
    query, key, value = (tensor.detach() for tensor in drawn(torch.float32))
    before = attend_in_blocks(query, key, value, SPANS, 1.0, None)
    own = SPANS[-1]
    for tensor in (query, key, value):
        tensor[:, :, : own.start] = torch.nan
        tensor[:, :, own.end :] = torch.nan
    after = attend_in_blocks(query, key, value, SPANS, 1.0, None)
    assert torch.equal(before[:, own.start : own.end], after[:, own.start : own.end])
