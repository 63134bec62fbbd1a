"""Text that should not be as it is: turns out of order, special tokens, broken encodings."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from boresight.data.lint.finding import Finding, Marks, by_share, of_rows
from boresight.data.lint.row import Row
from boresight.data.transcripts import HUMAN
from boresight.data.wording import counted
from boresight.records import Messages

SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_]{2,40}\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|</s>|<s>|<(?:bos|eos|pad|unk|mask)>"
    r"|\[(?:CLS|SEP|PAD|MASK)\]"
)
MOJIBAKE = re.compile("[ÃÂ][\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]|â€|[ÐÑ][\x80-\xbf]")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
MANY = 0.01
SOME = 0.001


@dataclass(slots=True)
class TurnOrder:
    """A prompt that does not end with a user or tool message, two turns of one role in a row, a system message that
    is not the first, a response that does not begin with the assistant."""

    marks: Marks = field(default_factory=Marks)
    faults: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        fault = prompt_fault(row.prompt)
        if fault is None and any(answer.messages[0].role != "assistant" for answer in row.answers()):
            fault = "a response does not begin with the assistant"
        if fault:
            self.faults[fault] += 1
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            listed = "; ".join(f"{fault} ({count:,})" for fault, count in self.faults.most_common())
            message = f"{counted(len(self.marks), 'row')} with turns out of order: {listed}"
            severity = by_share(len(self.marks), len(ids), MANY)
            yield of_rows("turn_order", severity, self.marks, ids, message, effect={"faults": dict(self.faults)})


def prompt_fault(prompt: Messages) -> str | None:
    if not prompt:
        return "the prompt is empty"
    if any(not message.content.strip() for message in prompt):
        return "a message of the prompt is empty"
    if prompt[-1].role not in ("user", "tool"):
        return f"the prompt ends with a message of the role {prompt[-1].role}"
    if any(message.role == "system" for message in prompt[1:]):
        return "a system message stands after the first turn"
    if any(a.role == b.role and a.role != "tool" for a, b in pairwise(prompt)):
        return "two messages of one role in a row"
    return None


@dataclass(slots=True)
class TurnInAnswer:
    """A response that goes on with a turn of the human's, or holds more than one message."""

    marks: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        if any(HUMAN in answer.text or len(answer.messages) > 1 for answer in row.answers()):
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            message = (
                f"{counted(len(self.marks), 'row')} with another turn in an answer: a model learns to speak for both"
            )
            severity = by_share(len(self.marks), len(ids), MANY)
            yield of_rows("turn_in_answer", severity, self.marks, ids, message)


@dataclass(slots=True)
class SpecialTokens:
    """Texts that contain the markers of a chat template."""

    marks: Marks = field(default_factory=Marks)
    tokens: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        text = row.everything
        if ("<" in text or "[" in text) and (found := set(SPECIAL_TOKEN.findall(text))):
            self.marks.add(row.position)
            if len(self.tokens) < 1000:
                self.tokens.update(found)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            common = dict(self.tokens.most_common(5))
            message = f"{counted(len(self.marks), 'row')} with special tokens of a model as text: {', '.join(common)}"
            yield of_rows("special_tokens", "warning", self.marks, ids, message, effect={"tokens": common})


@dataclass(slots=True)
class EncodingDamage:
    """Texts that were decoded with the wrong encoding, or hold characters that stand for what was lost."""

    marks: Marks = field(default_factory=Marks)
    kinds: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        if found := encoding_damage(row.everything):
            self.marks.add(row.position)
            self.kinds.update(found)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.marks:
            listed = ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.most_common())
            message = f"{counted(len(self.marks), 'row')} with damaged text: {listed}"
            severity = by_share(len(self.marks), len(ids), SOME)
            yield of_rows("encoding_damage", severity, self.marks, ids, message, effect={"kinds": dict(self.kinds)})


def encoding_damage(text: str) -> set[str]:
    """What is broken in a text: replacement characters, control characters, UTF-8 read as Windows-1252 (mojibake)."""
    found = {"replacement characters"} if "\ufffd" in text else set()
    if not text.isascii() and MOJIBAKE.search(text):
        found.add("mojibake")
    elif not text.replace("\n", " ").isprintable() and CONTROL.search(text):
        found.add("control characters")
    return found
