from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import (
    PROBE_DIALOGUE,
    TooLongError,
    encode_conversation,
    encode_demonstrations,
    encode_pair,
    encode_pair_response,
    encode_pairs,
    encode_prompt,
    probe_mask,
)
from boresight.errors import DataError, ModelError
from boresight.records import Demonstration, Message, PreferencePair

PROMPT = (Message("user", "Which colour has the sky?"),)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(lambda t: "<" not in t)
MakeTokenizer = Callable[..., PreTrainedTokenizerFast]


def pair(**changes: Any) -> PreferencePair:
    fields: dict[str, Any] = {
        "id": "p1",
        "prompt": PROMPT,
        "chosen": (Message("assistant", "Blue, by day."),),
        "rejected": (Message("assistant", "Green."),),
        "p_chosen": 0.8,
    }
    return PreferencePair(**fields | changes)


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_mask_and_ids_are_those_of_the_generation_markers(name: str, request: pytest.FixtureRequest) -> None:
    """Second source: transformers' own reading of the `generation` blocks in the template."""
    chat: ChatFormat = request.getfixturevalue(name)
    theirs = chat.tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in PROBE_DIALOGUE],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ours = encode_conversation(chat, PROBE_DIALOGUE)
    assert ours.input_ids == theirs["input_ids"]
    assert ours.response_mask == [bool(m) for m in theirs["assistant_masks"]]


def test_mask_ends_at_the_stop_token_although_pad_is_eos(tokenizer_with: MakeTokenizer) -> None:
    chat = ChatFormat(tokenizer_with("chatml", eos_token="<|im_end|>", pad_token="<|im_end|>"))
    encoded = encode_conversation(chat, PROBE_DIALOGUE)
    trained = [i for i, is_trained in enumerate(encoded.response_mask) if is_trained]
    assert encoded.input_ids[trained[-1]] == chat.stop_token_id == chat.tokenizer.pad_token_id
    assert not any(encoded.response_mask[trained[-1] + 1 :])


def test_tokens_never_merge_across_the_start_of_the_response(llama3: ChatFormat) -> None:
    prompt_ids = encode_prompt(llama3, PROMPT)
    response = "\nBlue"
    merged = llama3.tokenizer.encode(llama3.render_prompt(PROMPT) + response, add_special_tokens=False)
    assert merged[: len(prompt_ids)] != prompt_ids  # the case is real: this tokenizer would merge
    row = encode_pair_response(llama3, PROMPT, response)
    assert row[: len(prompt_ids)] == prompt_ids
    assert llama3.tokenizer.decode(row[len(prompt_ids) :]) == response + "<|eot_id|>"


@given(question=texts, first=texts, second=texts, answer=texts)
def test_prompt_ids_are_a_prefix_of_the_conversation(
    question: str, first: str, second: str, answer: str, llama3: ChatFormat
) -> None:
    prompt = (Message("user", question), Message("assistant", first), Message("user", second))
    whole = encode_conversation(llama3, (*prompt, Message("assistant", answer)))
    prompt_ids = encode_prompt(llama3, prompt)
    assert whole.input_ids[: len(prompt_ids)] == prompt_ids
    assert encode_pair_response(llama3, prompt, answer) == whole.input_ids
    assert all(whole.response_mask[len(prompt_ids) :])
    assert llama3.tokenizer.decode(whole.input_ids[len(prompt_ids) :]) == answer + llama3.stop_token


def test_pair_responses_end_with_the_stop_token(chatml: ChatFormat) -> None:
    encoded = encode_pair(chatml, pair())
    assert encoded.chosen_ids[-1] == encoded.rejected_ids[-1] == chatml.stop_token_id
    assert chatml.tokenizer.decode(encoded.chosen_ids[:-1]) == "Blue, by day."
    assert encoded.prompt_ids == encode_prompt(chatml, PROMPT)
    assert (encoded.id, encoded.p_chosen) == ("p1", 0.8)
    assert encoded.tokens == len(encoded.prompt_ids) + max(len(encoded.chosen_ids), len(encoded.rejected_ids))


def test_empty_response_is_the_stop_token_alone(chatml: ChatFormat) -> None:
    encoded = encode_pair(chatml, pair(rejected=(Message("assistant", ""),)))
    assert encoded.rejected_ids == [chatml.stop_token_id]


def test_response_of_several_messages_is_refused_by_id(chatml: ChatFormat) -> None:
    chosen = (Message("assistant", "a"), Message("user", "b"), Message("assistant", "c"))
    with pytest.raises(DataError, match=r"p1: 'chosen' holds messages of the roles assistant, user, assistant"):
        encode_pair(chatml, pair(chosen=chosen))


def test_too_long_names_id_tokens_limit_and_setting(chatml: ChatFormat) -> None:
    found = len(encode_prompt(chatml, PROMPT))
    with pytest.raises(
        TooLongError, match=rf"p-7: the prompt has {found} tokens, the limit is {found - 1}.*`on_too_long: drop`"
    ):
        encode_prompt(chatml, PROMPT, record_id="p-7", max_length=found - 1)
    assert len(encode_prompt(chatml, PROMPT, max_length=found)) == found
    whole = encode_pair(chatml, pair())
    with pytest.raises(TooLongError, match=rf"p1: .*has {whole.tokens} tokens"):
        encode_pair(chatml, pair(), max_length=whole.tokens - 1)


def test_too_long_is_dropped_and_counted_only_when_asked(chatml: ChatFormat) -> None:
    long = pair(id="p2", rejected=(Message("assistant", "Green. " * 30),))
    limit = encode_pair(chatml, pair()).tokens
    kept = encode_pairs(chatml, [pair(), long], max_length=limit, on_too_long="drop")
    assert [row.id for row in kept.rows] == ["p1"]
    assert kept.dropped == {"too_long": 1}
    with pytest.raises(TooLongError, match="p2"):
        encode_pairs(chatml, [pair(), long], max_length=limit)
    conversations = [Demonstration(id=p.id, messages=p.prompt + p.rejected) for p in (pair(), long)]
    limit = len(encode_conversation(chatml, conversations[0].messages).input_ids)
    demonstrations = encode_demonstrations(chatml, conversations, max_length=limit, on_too_long="drop")
    assert ([row.id for row in demonstrations.rows], demonstrations.dropped) == (["p1"], {"too_long": 1})


def test_other_errors_are_not_dropped_with_the_long_ones(chatml: ChatFormat) -> None:
    forged = pair(id="p3", rejected=(Message("assistant", "<|im_end|>"),))
    with pytest.raises(DataError, match="p3: message 2"):
        encode_pairs(chatml, [forged], max_length=1000, on_too_long="drop")


def test_conversation_without_an_answer_is_refused(chatml: ChatFormat) -> None:
    with pytest.raises(DataError, match=r"d1: the conversation has no assistant message \(roles: user\)"):
        encode_conversation(chatml, PROMPT, record_id="d1")


def test_probe_covers_each_assistant_turn(chatml: ChatFormat) -> None:
    encoded = probe_mask(chatml)
    trained = [i for i, is_trained in zip(encoded.input_ids, encoded.response_mask, strict=True) if is_trained]
    assert chatml.tokenizer.decode(trained) == "Blue, by day.<|im_end|>Black.<|im_end|>"


def test_probe_finds_two_bos_of_the_template(tokenizer_with: MakeTokenizer) -> None:
    tokenizer = tokenizer_with("chatml", bos_token="<s>")
    tokenizer.chat_template = "{{- bos_token + bos_token -}}" + tokenizer.chat_template
    with pytest.raises(ModelError, match=r"two BOS tokens \('<s>'\) in a row"):
        probe_mask(ChatFormat(tokenizer))
    tokenizer.chat_template = tokenizer.chat_template.replace("bos_token + bos_token", "bos_token")
    assert probe_mask(ChatFormat(tokenizer)).input_ids.count(tokenizer.bos_token_id) == 1


class AddsBOS(PreTrainedTokenizerFast):
    """Writes BOS unasked in front of every longer text, as some tokenizers with code of their own do."""

    def encode(self, text: str, **options: Any) -> list[int]:
        ids = super().encode(text, **options)
        return [self.bos_token_id, *ids] if len(ids) > 1 else ids


def test_probe_finds_a_bos_that_the_tokenizer_adds(tokenizer_with: MakeTokenizer) -> None:
    chat = ChatFormat(tokenizer_with("chatml", kind=AddsBOS, bos_token="<s>"))
    with pytest.raises(ModelError, match=r"adds 4 BOS tokens of its own.*which has 0: a double BOS"):
        probe_mask(chat)
