import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from boresight.models.response_logps import has_plain_head, response_logps

from .families import CONFIGS, OTHERS, build

ROWS = [[5, 9, 11, 40, 41, 2], [7, 8, 50, 2], [3, 4, 6, 10, 12, 60, 61, 62, 2]]
RESPONSES = [3, 2, 4]  # tokens at the end of each row


def padded(rows: list[list[int]], extra: int = 0, fill: int = 0) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows)) + extra
    input_ids = torch.full((len(rows), width), fill)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for i, (row, tokens) in enumerate(zip(rows, RESPONSES, strict=True)):
        input_ids[i, : len(row)] = torch.tensor(row)
        mask[i, len(row) - tokens : len(row)] = True
    return input_ids, mask


@torch.no_grad()
def one_by_one(model: PreTrainedModel, row: list[int], tokens: int) -> Tensor:
    """Log-probabilities of a row alone, by the model's own forward and a plain float64 softmax."""
    logits = model(torch.tensor([row])).logits[0].double()
    logps = logits.log_softmax(-1)
    return torch.stack([logps[t - 1, row[t]] for t in range(len(row) - tokens, len(row))])


@pytest.mark.parametrize("family", [*CONFIGS, *OTHERS])
@torch.no_grad()
def test_batch_equals_rows_alone(family: str) -> None:
    model = build(family)
    result = response_logps(model, *padded(ROWS))
    for i, (row, tokens) in enumerate(zip(ROWS, RESPONSES, strict=True)):
        assert result.mask[i].tolist() == [True] * tokens + [False] * (4 - tokens)
        torch.testing.assert_close(result.logp[i, :tokens].double(), one_by_one(model, row, tokens), atol=1e-5, rtol=0)
        assert (result.logp[i, tokens:] == 0).all()


@pytest.mark.parametrize("family", CONFIGS)
@torch.no_grad()
def test_amount_and_content_of_padding_change_nothing(family: str) -> None:
    model = build(family)
    plain = response_logps(model, *padded(ROWS), with_entropy=True)
    other = response_logps(model, *padded(ROWS, extra=5, fill=33), with_entropy=True)
    torch.testing.assert_close(other.logp, plain.logp, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.entropy, plain.entropy, atol=1e-5, rtol=0)


def test_head_with_a_soft_cap_is_not_taken_for_a_plain_one() -> None:
    assert not has_plain_head(build("gemma2 with soft caps"))
    assert has_plain_head(build("llama"))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradients_equal_those_of_the_plain_forward(family: str) -> None:
    ours, plain = build(family), build(family)
    input_ids, mask = padded(ROWS)
    (-response_logps(ours, input_ids, mask).logp.sum()).backward()
    logps = plain(input_ids).logits[:, :-1].float().log_softmax(-1)
    picked = logps.gather(2, input_ids[:, 1:, None]).squeeze(2)
    (-picked[mask[:, 1:]].sum()).backward()
    for (name, a), b in zip(ours.named_parameters(), plain.parameters(), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4, msg=name)


@torch.no_grad()
def test_temperature_divides_the_logits() -> None:
    model = build("llama")
    input_ids, mask = padded(ROWS)
    hot = response_logps(model, input_ids, mask, temperature=2.0).logp
    logps = (model(input_ids).logits[:, :-1] / 2.0).log_softmax(-1).gather(2, input_ids[:, 1:, None]).squeeze(2)
    torch.testing.assert_close(hot[hot != 0], logps[mask[:, 1:]], atol=1e-5, rtol=0)
