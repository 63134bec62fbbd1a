"""Small models made from nothing: for the first run, for tests, and wherever no pretrained base is at hand."""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from boresight.data.chat_template import BUILT_IN_TEMPLATES

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"


def train_tokenizer(texts: Iterable[str], vocabulary_size: int, chat_template: str) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer trained on `texts`: any string can be written, none becomes an unknown token.

    The special tokens of the chat template are part of the vocabulary; the stop token is the template's, and the pad
    token is its own, so that padding never looks like the end of a response.
    """
    template = BUILT_IN_TEMPLATES[chat_template]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[PAD, END_OF_TEXT, *template.special_tokens],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=template.stop_token,
        additional_special_tokens=[END_OF_TEXT, *(t for t in template.special_tokens if t != template.stop_token)],
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = template.jinja
    return wrapped


def build_llama(
    tokenizer: PreTrainedTokenizerBase,
    *,
    hidden_size: int,
    intermediate_size: int,
    layers: int,
    heads: int,
    context_length: int,
    initializer_range: float,
    seed: int,
) -> LlamaForCausalLM:
    """A Llama-architecture model with random weights (tied embeddings) for this tokenizer, the same for one seed; sizes
    are dimensions, `context_length` is in tokens."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=context_length,
        initializer_range=initializer_range,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def tiny_tokenizer(chat_template: str = "chatml") -> PreTrainedTokenizerBase:
    """A byte vocabulary with the template's special tokens: 256 bytes and a handful more."""
    return train_tokenizer([], 256 + 2 + len(BUILT_IN_TEMPLATES[chat_template].special_tokens), chat_template)


def tiny_llama(tokenizer: PreTrainedTokenizerBase, *, seed: int = 0, context_length: int = 256) -> LlamaForCausalLM:
    """Two layers of width 32: what tests of the training loops learn with, in seconds on a CPU."""
    return build_llama(
        tokenizer,
        hidden_size=32,
        intermediate_size=64,
        layers=2,
        heads=2,
        context_length=context_length,
        initializer_range=0.02,
        seed=seed,
    )
