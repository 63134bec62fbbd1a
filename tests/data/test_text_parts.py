import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from boresight.data.chat_template import ChatFormat
from boresight.data.text_parts import TextParts
from boresight.data.tokenize import PROBE_DIALOGUE, encode_conversation, encode_prompt, encode_response, probe_mask
from boresight.models.tiny import tiny_tokenizer

TEXTS = [*(message.content for message in PROBE_DIALOGUE), "[INST] Hello. [/INST]", "<|user|>", "<|assistant|>"]
# The forms of Llama 2's chat models, whose answers begin with a space, and of Zephyr's, whose do not.
LLAMA2 = (
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{{- bos_token + '[INST] ' + m.content + ' [/INST]' -}}"
    "{%- else -%}{{- ' ' + m.content + ' ' + eos_token -}}{%- endif -%}{%- endfor -%}"
)
ZEPHYR = (
    "{%- for m in messages -%}{{- '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}"
)


def spaced(scheme: str, template: str) -> PreTrainedTokenizerFast:
    """A tokenizer in the way of Llama 2's: `scheme` is Metaspace's, or `normalizer` for the one of its older files."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    inner.train_from_iterator(TEXTS * 9, trainer)
    inner.decoder = decoders.Metaspace()
    if scheme == "normalizer":
        inner.pre_tokenizer = None
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template
    )
    return tokenizer


@pytest.mark.parametrize("template", [LLAMA2, ZEPHYR], ids=["llama2", "zephyr"])
@pytest.mark.parametrize("scheme", ["first", "always", "never", "normalizer"])
def test_parts_have_the_ids_of_the_whole_conversation(scheme: str, template: str) -> None:
    """Second source: the tokenizer's own reading of the whole text."""
    tokenizer = spaced(scheme, template)
    chat = ChatFormat(tokenizer)
    whole = tokenizer.encode("".join(text for text, _ in chat.segments(PROBE_DIALOGUE)), add_special_tokens=False)
    encoded = probe_mask(chat)
    assert encoded.input_ids == whole
    *prompt, answer = PROBE_DIALOGUE
    ids = encode_prompt(chat, tuple(prompt)) + encode_response(chat, tuple(prompt), answer.content)
    assert ids == whole[: len(ids)]


def test_an_answer_begins_without_a_space_where_none_stands_before_it() -> None:
    tokenizer = spaced("always", ZEPHYR)
    alone = tokenizer.encode("Blue, by day.</s>", add_special_tokens=False)
    encoded = encode_conversation(ChatFormat(tokenizer), PROBE_DIALOGUE[:2])
    answer = [token for token, trained in zip(encoded.input_ids, encoded.response_mask, strict=True) if trained]
    assert tokenizer.convert_ids_to_tokens(alone)[0].startswith("▁")
    assert not tokenizer.convert_ids_to_tokens(answer)[0].startswith("▁")
    assert tokenizer.decode(answer) == tokenizer.decode(alone) == "Blue, by day.</s>"


def test_other_tokenizers_read_every_part_alike() -> None:
    tokenizer = tiny_tokenizer("chatml")
    parts = TextParts(tokenizer)
    alone = tokenizer.encode("\n and so on", add_special_tokens=False)
    assert parts.ids("\n and so on") == parts.ids("\n and so on", before="\n") == alone
