import torch

from boresight.models.precision import arithmetic, is_lowered
from boresight.models.response_logps import response_logps
from boresight.models.tiny import tiny_llama, tiny_tokenizer

IDS = torch.arange(3, 43).view(2, 20)
MASK = torch.arange(20).expand(2, 20) >= 10


def test_bfloat16_rounds_products_and_keeps_float32_around_them() -> None:
    model = tiny_llama(tiny_tokenizer())
    exact = response_logps(model, IDS, MASK).logp
    with arithmetic("bfloat16", "cpu"):
        assert is_lowered("cpu")
        rounded = response_logps(model, IDS, MASK).logp
        (-rounded.mean()).backward()
    assert not is_lowered("cpu")
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0)
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_small_updates_of_weights_are_not_rounded_away() -> None:
    model = tiny_llama(tiny_tokenizer())
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-7, weight_decay=0.0)
    with arithmetic("bfloat16", "cpu"):
        (-response_logps(model, IDS, MASK).logp.mean()).backward()
        optimizer.step()
    touched = [p.grad != 0 for p in model.parameters()]
    changed = sum(int((p != b)[t].sum()) for p, b, t in zip(model.parameters(), before, touched, strict=True))
    assert changed > 0.9 * sum(int(t.sum()) for t in touched)


def test_products_see_the_weights_of_the_last_step() -> None:
    model = tiny_llama(tiny_tokenizer())
    with arithmetic("bfloat16", "cpu"), torch.no_grad():
        first = response_logps(model, IDS, MASK).logp
        for parameter in model.parameters():
            parameter.mul_(1.5)
        second = response_logps(model, IDS, MASK).logp
    with arithmetic("bfloat16", "cpu"), torch.no_grad():
        torch.testing.assert_close(response_logps(model, IDS, MASK).logp, second, atol=0, rtol=0)
    assert not torch.equal(first, second)
