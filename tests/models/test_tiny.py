import pytest
import torch

from boresight.data.chat_template import BUILT_IN_TEMPLATES, ChatFormat
from boresight.data.tokenize import probe_mask
from boresight.models.roles import fingerprint
from boresight.models.tiny import END_OF_TEXT, PAD, tiny_llama, tiny_tokenizer, train_tokenizer

AWKWARD = "Grüße, 世界 🙂\n\n\ttabs  and   spaces \x00 end"


@pytest.mark.parametrize("template", BUILT_IN_TEMPLATES)
def test_any_text_comes_back_as_it_was(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    ids = tokenizer.encode(AWKWARD, add_special_tokens=False)
    assert len(ids) == len(AWKWARD.encode("utf-8"))  # a byte a token
    assert tokenizer.decode(ids) == AWKWARD


@pytest.mark.parametrize("template", BUILT_IN_TEMPLATES)
def test_special_tokens_are_one_token_each_and_padding_is_not_the_stop_token(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    built_in = BUILT_IN_TEMPLATES[template]
    for token in (PAD, END_OF_TEXT, *built_in.special_tokens):
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    assert len(tokenizer) == 256 + 2 + len(built_in.special_tokens)
    assert tokenizer.eos_token == built_in.stop_token and tokenizer.pad_token_id != tokenizer.eos_token_id
    probe_mask(ChatFormat(tokenizer))  # raises where the template and the tokenizer do not fit


def test_training_merges_what_occurs_often() -> None:
    tokenizer = train_tokenizer(["kubectl get pods"] * 50, 256 + 4 + 10, "chatml")
    assert len(tokenizer) == 270
    assert len(tokenizer.encode("kubectl get pods")) <= 6 < len(tokenizer.encode("zxqv!?%"))
    assert tokenizer.decode(tokenizer.encode(AWKWARD)) == AWKWARD


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone() -> None:
    tokenizer = tiny_tokenizer()
    torch.manual_seed(5)
    undisturbed = torch.rand(1)
    torch.manual_seed(5)
    first = tiny_llama(tokenizer, seed=1)
    assert torch.equal(torch.rand(1), undisturbed)
    assert fingerprint(first) == fingerprint(tiny_llama(tokenizer, seed=1))
    assert fingerprint(first) != fingerprint(tiny_llama(tokenizer, seed=2))


def test_tiny_llama_is_what_it_says() -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_llama(tokenizer, context_length=77)
    config = model.config
    assert (config.num_hidden_layers, config.hidden_size, config.max_position_embeddings) == (2, 32, 77)
    assert config.eos_token_id == tokenizer.eos_token_id and config.pad_token_id == tokenizer.pad_token_id
    # By hand: embeddings 260 x 32 (shared with the head); a layer has 4 x 32 x 32 of attention, 3 x 32 x 64 of the
    # gated unit and two norms of 32; one norm at the end.
    assert sum(p.numel() for p in model.parameters()) == 260 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 64 + 64) + 32
