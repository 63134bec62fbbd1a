"""A small real tokenizer, made in the test: byte-level BPE with the special tokens of both built-in templates."""

from collections.abc import Callable

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from boresight.data.chat_template import BUILT_IN_TEMPLATES, ChatFormat

TEXT = [
    "Which colour has the sky?\n\n",
    "Blue, by day.\n\n",
    "\n\n\nAnd at night?\n\n",
    "Black, in one word.\n\n",
    "\n\n\n",
    "\n\n\n",
] * 20
SPECIAL = ["<|endoftext|>", "<s>", "</s>", *(t for b in BUILT_IN_TEMPLATES.values() for t in b.special_tokens)]

MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


def make_tokenizer(
    template: str | None, *, kind: type[PreTrainedTokenizerFast] = PreTrainedTokenizerFast, **options: str
) -> PreTrainedTokenizerFast:
    """`template` is a built-in one's name, Jinja text, or none; `options` name special tokens."""
    tokenizer = Tokenizer(models.BPE())
    # Without a word pattern merges may cross line ends, as they do in some published tokenizers.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokens = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "additional_special_tokens": SPECIAL[1:]}
    wrapped = kind(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **tokens | options)
    built_in = BUILT_IN_TEMPLATES.get(template or "")
    wrapped.chat_template = built_in.jinja if built_in else template
    return wrapped


@pytest.fixture(scope="session")
def tokenizer_with() -> MakeTokenizer:
    return make_tokenizer


@pytest.fixture(scope="session")
def chatml() -> ChatFormat:
    return ChatFormat(make_tokenizer("chatml"))


@pytest.fixture(scope="session")
def llama3() -> ChatFormat:
    return ChatFormat(make_tokenizer("llama3"))
