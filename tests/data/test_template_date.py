from typing import Any

import pytest

from boresight.data.chat_template import BUILT_IN_TEMPLATES, ChatFormat
from boresight.data.template_date import with_one_date
from boresight.errors import ModelError
from boresight.models.export_forms import as_text_scorer
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message

# The form of Llama 3.1's: a date that may be given, else the clock's, else one of its own.
DATED = (
    "{%- if not date_string is defined -%}{%- if strftime_now is defined -%}"
    '{%- set date_string = strftime_now("%d %b %Y") -%}'
    "{%- else -%}{%- set date_string = '26 Jul 2024' -%}{%- endif -%}{%- endif -%}"
    "{{- '<|im_start|>system\\nToday: ' + date_string + '<|im_end|>\\n' -}}"
)
QUESTION = (Message("user", "Hi"),)


@pytest.fixture
def dated() -> Any:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.chat_template = DATED + BUILT_IN_TEMPLATES["chatml"].jinja
    return tokenizer


def test_a_template_that_reads_the_clock_writes_one_date_whatever_the_day(dated: Any) -> None:
    chat = ChatFormat(dated)
    plain = [{"role": "user", "content": "Hi"}]
    own = dated.apply_chat_template(plain, tokenize=False, add_generation_prompt=True)
    assert chat.reads_clock and "26 Jul 2024" not in own
    assert chat.render_prompt(QUESTION).startswith("<|im_start|>system\nToday: 26 Jul 2024<|im_end|>\n")
    assert dated.chat_template.startswith(DATED), "what is saved still asks for the day"


def test_a_template_among_named_ones_writes_one_date_too(dated: Any) -> None:
    alone = ChatFormat(dated).render_prompt(QUESTION)
    dated.chat_template = {"default": dated.chat_template, "tool_use": "{{- strftime_now(form) -}}"}
    chat = ChatFormat(dated)
    assert chat.reads_clock and chat.render_prompt(QUESTION) == alone
    assert "26 Jul 2024" in alone


def test_named_templates_of_which_none_is_the_default_are_refused(dated: Any) -> None:
    dated.chat_template = {"chat": dated.chat_template}
    with pytest.raises(ModelError, match=r"multiple chat templates with no default"):
        ChatFormat(dated)


def test_an_exported_reward_model_keeps_of_named_templates_the_one_that_it_was_trained_with(dated: Any) -> None:
    dated.chat_template = {"default": dated.chat_template, "tool_use": "{{- messages -}}"}
    changes = as_text_scorer(tiny_llama(dated), dated)
    assert changes[0] == "of the named chat templates only `default` is left, with which the model was trained"
    text = dated.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "Today: 26 Jul 2024" in text


def test_other_templates_are_left_as_they_are(dated: Any) -> None:
    dated.chat_template = BUILT_IN_TEMPLATES["chatml"].jinja
    assert not ChatFormat(dated).reads_clock


def test_every_format_in_quotes_is_dated() -> None:
    assert (
        with_one_date("{{ strftime_now('%Y-%m-%d') }} {{ strftime_now( \"%B\" ) }}")
        == "{{ '2024-07-26' }} {{ 'July' }}"
    )


def test_a_clock_that_cannot_be_told_from_the_text_is_refused(dated: Any) -> None:
    dated.chat_template = "{%- set form = '%H:%M' -%}{{- strftime_now(form) -}}" + BUILT_IN_TEMPLATES["chatml"].jinja
    with pytest.raises(ModelError, match=r"calls strftime_now with something else than a text"):
        ChatFormat(dated)


def test_an_exported_reward_model_reads_the_date_that_it_was_trained_with(dated: Any) -> None:
    changes = as_text_scorer(tiny_llama(dated), dated)
    assert changes[0] == "the chat template writes 26 Jul 2024 for today's date, as in training"
    text = dated.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert "Today: 26 Jul 2024" in text
