"""How a conversation becomes text: a tokenizer's chat template, cut into parts that are trained and parts that are not.

A model is trained on what it would have to write itself: everything after the generation prompt, up to and including
the stop token. That part is found by comparing rendered text, never by looking for token ids, so a pad token that
equals the stop token cannot hide it, and a template without `generation` markers serves as well as one with them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from jinja2 import TemplateError

from boresight.data.template_date import reads_clock, with_one_date
from boresight.data.text_parts import TextParts
from boresight.errors import DataError, ModelError
from boresight.records import Message, Messages

Segment = tuple[str, bool]  # text, and whether it is trained

USE_BUILT_IN = "set `model.chat_template: chatml`"
PROBE_QUESTION, PROBE_ANSWER = "Which colour has the sky?", "Blue, by day."


class ChatTokenizer(Protocol):
    """What is asked of a tokenizer; every transformers tokenizer has it."""

    chat_template: Any
    bos_token: Any
    bos_token_id: Any
    eos_token_id: Any
    all_special_tokens: list[str]

    def apply_chat_template(
        self, conversation: Any, *, tokenize: bool, add_generation_prompt: bool, **others: Any
    ) -> Any: ...
    def encode(self, text: Any, *, add_special_tokens: bool) -> list[int]: ...
    def decode(self, token_ids: Any) -> Any: ...
    def get_added_vocab(self) -> dict[str, int]: ...


@dataclass(frozen=True, slots=True)
class BuiltInTemplate:
    """A template for base models that have none. `stop_token` ends every message, the assistant's too."""

    jinja: str
    special_tokens: tuple[str, ...]
    stop_token: str


CHATML = BuiltInTemplate(
    jinja=(
        "{%- for message in messages -%}"
        "{{- '<|im_start|>' + message['role'] + '\\n' -}}"
        "{%- if message['role'] == 'assistant' -%}"
        "{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}"
        "{%- else -%}{{- message['content'] + '<|im_end|>' -}}{%- endif -%}"
        "{{- '\\n' -}}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
    ),
    special_tokens=("<|im_start|>", "<|im_end|>"),
    stop_token="<|im_end|>",
)

# Text as in Meta's published prompt format for Llama 3; contents are written as they are, not trimmed.
LLAMA3 = BuiltInTemplate(
    jinja=(
        "{{- '<|begin_of_text|>' -}}"
        "{%- for message in messages -%}"
        "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}"
        "{%- if message['role'] == 'assistant' -%}"
        "{%- generation -%}{{- message['content'] + '<|eot_id|>' -}}{%- endgeneration -%}"
        "{%- else -%}{{- message['content'] + '<|eot_id|>' -}}{%- endif -%}"
        "{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}"
    ),
    special_tokens=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    stop_token="<|eot_id|>",
)

BUILT_IN_TEMPLATES: Mapping[str, BuiltInTemplate] = MappingProxyType({"chatml": CHATML, "llama3": LLAMA3})


def template_taken(tokenizer: ChatTokenizer) -> Any:
    """The template that conversations are written with: of several named ones `default`, as transformers takes it."""
    template = tokenizer.chat_template
    return template.get("default") if isinstance(template, dict) else template


class ChatFormat:
    """A tokenizer's chat template with its stop token. One that writes today's date writes the same in every run.

    Raises ModelError where the tokenizer has no template, the template has no stop token or breaks the prefix rule
    (see `segments`), or the stop token is not one token.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self.tokenizer = tokenizer
        self.name = str(getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__)
        if not tokenizer.chat_template:
            raise ModelError(
                f"{self.name}: the tokenizer has no chat template, so it is unknown how a conversation is written. "
                f"To use a built-in one, {USE_BUILT_IN} (or llama3)."
            )
        template = template_taken(tokenizer)
        self.reads_clock = isinstance(template, str) and reads_clock(template)
        self._dated = {"chat_template": with_one_date(template)} if self.reads_clock else {}
        self.parts = TextParts(tokenizer)
        self.stop_token = self._find_stop_token()
        self.stop_token_id = self._single_id(self.stop_token)
        self._opened: tuple[Messages, str] | None = None  # the last prompt, written
        self._control_tokens = sorted({*tokenizer.all_special_tokens, self.stop_token} - {""})

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """Ids that end a response: the template's stop token and no other, because that is what is trained."""
        return (self.stop_token_id,)

    def without_control_tokens(self, text: str) -> str:
        """Text in which each control token, spelt letter by letter, is broken up by a space after its first letter."""
        for token in self._control_tokens:
            text = text.replace(token, f"{token[:1]} {token[1:]}")
        return text

    def render_prompt(self, messages: Messages) -> str:
        """The conversation as text that ends where the assistant's answer starts; errors as for `segments`."""
        return "".join(text for text, _ in self.prompt_segments(messages))

    def segments(self, messages: Messages) -> list[Segment]:
        """The rendered conversation in parts, each with whether it is trained; joined they give the whole text.

        Rendering the first i messages with a generation prompt must give a prefix of rendering i + 1 messages, and
        each rendering a prefix of the next. The trained part of an assistant message is its content up to and
        including the stop token; what the template writes after that is not trained.
        Raises ModelError where the template breaks this, DataError for a conversation that cannot be written.
        """
        return self._segments(messages, open_ended=False)

    def prompt_segments(self, messages: Messages) -> list[Segment]:
        """The parts of `render_prompt`: those of the history, and the generation prompt at the end."""
        return self._segments(messages, open_ended=True)

    def _segments(self, messages: Messages, *, open_ended: bool) -> list[Segment]:
        if not messages or messages[0].role == "assistant":
            found = "has no message" if not messages else "starts with an assistant message"
            raise DataError(
                f"the conversation {found}, so there is nothing that the assistant answers. Put a user or system "
                "message first, or leave the record out."
            )
        self._refuse_control_tokens(messages)
        parts: list[Segment] = []
        done = ""  # text that `parts` cover, which is a prefix of every later rendering
        for i, message in enumerate(messages):
            if message.role != "assistant":
                continue
            opened = self._render_opened(messages[:i])
            closed = self._render(messages[: i + 1], open_ended=False)
            written = self._after(done, opened, f"message {i + 1}")
            tail = self._after(opened, closed, f"message {i + 1}")
            length = self._trained_length(tail, message.content)
            parts += [(written, False), (tail[:length], True), (tail[length:], False)]
            done = closed
        if open_ended or messages[-1].role != "assistant":
            whole = self._render_opened(messages) if open_ended else self._render(messages, open_ended=False)
            parts.append((self._after(done, whole, "the end"), False))
        return _merge(parts)

    def _render_opened(self, messages: Messages) -> str:
        """Up to where the answer starts. Responses to one prompt mostly follow each other: then it is written once."""
        known, asked = self._opened, tuple(messages)
        if known is None or known[0] != asked:
            self._opened = known = (asked, self._render(messages, open_ended=True))
        return known[1]

    def _render(self, messages: Messages, *, open_ended: bool) -> str:
        plain = [{"role": m.role, "content": m.content} for m in messages]
        try:
            text = self.tokenizer.apply_chat_template(
                plain, tokenize=False, add_generation_prompt=open_ended, **self._dated
            )
        except (TemplateError, TypeError, ValueError, KeyError, IndexError) as error:
            # A template is a program of its author's; these are the ways in which it can say no.
            roles = ", ".join(m.role for m in messages) or "none"
            raise ModelError(
                f"{self.name}: the chat template cannot write a conversation of the roles {roles}: {error}. Change "
                f"the conversation to what this template allows, or {USE_BUILT_IN}."
            ) from error
        return str(text)

    def _after(self, prefix: str, text: str, place: str) -> str:
        if text.startswith(prefix):
            return text[len(prefix) :]
        same = next((i for i, (a, b) in enumerate(zip(prefix, text, strict=False)) if a != b), len(text))
        raise ModelError(
            f"{self.name}: the chat template rewrites earlier text when a conversation goes on (at {place}: "
            f"{_clip(prefix[same:])} became {_clip(text[same:])}), so prompt and response cannot be told apart. "
            f"Expected: what was written stays a prefix. Give the tokenizer a template without that, or {USE_BUILT_IN}."
        )

    def _trained_length(self, tail: str, content: str) -> int:
        """Characters of `tail` up to and including the stop token, after checking that the content comes first."""
        start = len(tail) - len(tail.lstrip()) if not tail.startswith(content) else 0
        body = content if tail.startswith(content) else content.strip()  # many templates trim the content
        if not tail.startswith(body, start):
            raise ModelError(
                f"{self.name}: after its generation prompt the chat template writes {_clip(tail)} where the answer "
                f"{_clip(body)} was expected, so sampling and training would start at different places. Give the "
                f"tokenizer a template that writes the answer there, or {USE_BUILT_IN}."
            )
        end = start + len(body)
        stop = tail.find(self.stop_token, end)
        if stop < 0 or tail[end:stop].strip():
            raise ModelError(
                f"{self.name}: the chat template does not close this assistant message with {self.stop_token!r} (it "
                f"writes {_clip(tail[end:])}), so the model would not learn to stop there. {_sentence(USE_BUILT_IN)}."
            )
        return stop + len(self.stop_token)

    def _find_stop_token(self) -> str:
        """The special token that the template writes after an assistant's content."""
        question, answer = Message("user", PROBE_QUESTION), Message("assistant", PROBE_ANSWER)
        opened = self._render((question,), open_ended=True)
        tail = self._after(opened, self._render((question, answer), open_ended=False), "message 2")
        after = tail[tail.find(PROBE_ANSWER) + len(PROBE_ANSWER) :].lstrip() if PROBE_ANSWER in tail else ""
        known = {*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()}
        known |= {token for built_in in BUILT_IN_TEMPLATES.values() for token in built_in.special_tokens}
        found = [token for token in known if token and after.startswith(token)]
        if not found:
            raise ModelError(
                f"{self.name}: the chat template writes no stop token after an assistant's message (found "
                f"{_clip(after)}; known special tokens: {', '.join(sorted(known)[:8])}), so a model trained with it "
                f"would never stop. {_sentence(USE_BUILT_IN)}."
            )
        return max(found, key=len)

    def _single_id(self, token: str) -> int:
        ids = self.tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise ModelError(
                f"{self.name}: the tokenizer writes the stop token {token!r} as {len(ids)} tokens {ids}; expected one. "
                "Add the template's special tokens to the tokenizer and resize the model's embeddings."
            )
        return int(ids[0])

    def _refuse_control_tokens(self, messages: Messages) -> None:
        for i, message in enumerate(messages):
            for token in self._control_tokens:
                if token in message.content:
                    raise DataError(
                        f"message {i + 1} ({message.role}) contains {token!r}, a control token of this tokenizer: read "
                        "as text it would end or forge a turn. Remove it from the message, or write it differently."
                    )


def _merge(parts: Sequence[Segment]) -> list[Segment]:
    """Join neighbours of one kind and leave out empty parts, so that template text is tokenised in one piece."""
    merged: list[Segment] = []
    for text, trained in parts:
        if merged and merged[-1][1] == trained:
            merged[-1] = (merged[-1][0] + text, trained)
        elif text:
            merged.append((text, trained))
    return merged


def _clip(text: str, limit: int = 40) -> str:
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
