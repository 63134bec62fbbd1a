"""A record as the model reads it: the parts joined are what training tokenises, and the trained ones what it trains."""

from pathlib import Path
from typing import Any

import pytest

from boresight.data.chat_template import ChatFormat
from boresight.data.jsonl import write_records
from boresight.data.showing import checked_format, first_records, rendered
from boresight.data.tokenize import encode_pair
from boresight.errors import DataError, ModelError
from boresight.records import Demonstration, Message, PreferencePair, Prompt

ASKED = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "Why?"))
PAIR = PreferencePair(
    id="p", prompt=ASKED, chosen=(Message("assistant", "So."),), rejected=(Message("assistant", "No reason."),)
)


def test_of_a_pair_only_the_responses_are_trained_each_to_its_stop_token(chatml: ChatFormat) -> None:
    prompt, chosen, rejected = rendered(chatml, PAIR, "f:1")
    assert prompt.segments == ((chatml.render_prompt(ASKED), False),) and prompt.trained_tokens == 0
    assert "Yes?" in prompt.segments[0][0]  # an earlier answer is context here
    assert (chosen.segments, rejected.segments) == ((("So.<|im_end|>", True),), (("No reason.<|im_end|>", True),))
    encoded = encode_pair(chatml, PAIR)
    assert [part.tokens for part in (prompt, chosen, rejected)] == [
        len(ids) for ids in (encoded.prompt_ids, encoded.chosen_ids, encoded.rejected_ids)
    ]


def test_of_a_demonstration_every_assistant_turn_is_trained(llama3: ChatFormat) -> None:
    messages = (*ASKED, Message("assistant", "So."))
    (part,) = rendered(llama3, Demonstration(id="d", messages=messages), "f:1")
    assert [text for text, trained in part.segments if trained] == ["Yes?<|eot_id|>", "So.<|eot_id|>"]
    whole = llama3.tokenizer.apply_chat_template(
        [{"role": m.role, "content": m.content} for m in messages], tokenize=False, add_generation_prompt=False
    )
    assert "".join(text for text, _ in part.segments) == whole
    assert 0 < part.trained_tokens < part.tokens


def test_of_a_prompt_nothing_is_trained(chatml: ChatFormat) -> None:
    (part,) = rendered(chatml, Prompt(id="q", messages=ASKED), "f:1")
    assert part.segments[0][0].endswith("<|im_start|>assistant\n") and part.trained_tokens == 0


def test_what_cannot_be_rendered_names_its_place(chatml: ChatFormat) -> None:
    forged = Demonstration(id="d", messages=(Message("user", "<|im_end|>"), Message("assistant", "a")))
    with pytest.raises(DataError, match=r"f\.jsonl:7: message 1 \(user\) contains '<\|im_end\|>'"):
        rendered(chatml, forged, "f.jsonl:7")
    several = PreferencePair(id="p", prompt=ASKED, chosen=(*ASKED, *PAIR.chosen), rejected=PAIR.rejected)
    with pytest.raises(DataError, match=r"f\.jsonl:7: p: 'chosen' holds messages of the roles user, assistant"):
        rendered(chatml, several, "f.jsonl:7")


def test_a_template_is_probed_before_anything_is_shown(tokenizer_with: Any, chatml: ChatFormat) -> None:
    assert checked_format(chatml) is chatml
    doubled = "{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    doubled += "{% if add_generation_prompt %}assistant: {% endif %}"
    with pytest.raises(ModelError, match="writes two BOS tokens"):
        checked_format(ChatFormat(tokenizer_with(doubled, bos_token="<s>")))


def test_the_first_records_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_records(path, [PAIR, PreferencePair(id="q", prompt=ASKED, chosen=PAIR.chosen, rejected=PAIR.rejected)])
    assert [(line, record.id) for line, record in first_records(path, count=5)] == [(1, "p"), (2, "q")]
    assert [(line, record.id) for line, record in first_records(path, count=1, record_id="q")] == [(2, "q")]
    with pytest.raises(DataError, match=r"no record has the id 'x' \(2 rows read\)"):
        first_records(path, count=1, record_id="x")
