"""A record as the checks see it: texts and words taken apart once, whatever the number of checks."""

import re
from dataclasses import dataclass
from hashlib import blake2b

from boresight.data.preferences import prompt_key, response_text
from boresight.records import Demonstration, Messages, PreferencePair

WORD = re.compile(r"\w+")
SOURCE_UNKNOWN = "imported"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: `text` is what it says last, without white space at the ends, `lower` and `words` in lower case.
    Only where the contexts of a pair differ does a response hold more than one message."""

    messages: Messages
    text: str
    lower: str
    words: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """A preference pair, or a demonstration (then `rejected` is None). `position` counts from 0 over all splits.

    `part` is what must not be pooled: the kind, else the criterion, else the source, each beside the split's name.
    `question` is the last thing the user said, `everything` all texts of the record with line ends between.
    """

    position: int
    id: str
    split: str
    part: str
    prompt: Messages
    prompt_hash: int
    question: str
    question_words: list[str]
    chosen: Answer
    rejected: Answer | None
    pair: PreferencePair | None
    everything: str

    def answers(self) -> tuple[Answer, ...]:
        return (self.chosen,) if self.rejected is None else (self.chosen, self.rejected)


def row_of(record: PreferencePair | Demonstration, position: int, split: str) -> Row:
    """A record as the checks look at it, with its place and the split that it is from."""
    if isinstance(record, PreferencePair):
        prompt, chosen, rejected, pair = record.prompt, record.chosen, answer_of(record.rejected), record
        part, messages = part_of(record), (*record.prompt, *record.chosen, *record.rejected)
    else:
        prompt, chosen, rejected, pair = record.messages[:-1], record.messages[-1:], None, None
        part, messages = str(record.meta.get("kind", "")), record.messages
    question = question_of(prompt)
    return Row(
        position=position,
        id=record.id,
        split=split,
        part=part,
        prompt=prompt,
        prompt_hash=fingerprint(prompt_key(prompt)),
        question=question,
        question_words=words_of(question),
        chosen=answer_of(chosen),
        rejected=rejected,
        pair=pair,
        everything="\n".join(message.content for message in messages),
    )


def answer_of(messages: Messages) -> Answer:
    text = response_text(messages)
    lower = text.lower()
    return Answer(messages, text, lower, WORD.findall(lower))


def question_of(messages: Messages) -> str:
    """What the user said last; "" where no user speaks."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def words_of(text: str) -> list[str]:
    """Runs of letters and digits, in lower case."""
    return WORD.findall(text.lower())


def fingerprint(*parts: str) -> int:
    """64 bits that are the same for equal texts in every process."""
    joined = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(joined, digest_size=8).digest())


def part_of(pair: PreferencePair) -> str:
    """What must not be pooled: the pair's kind, else its one criterion, else its source; "" where none is told."""
    if pair.kind:
        return pair.kind
    if len(pair.criteria) == 1:
        return str(next(iter(pair.criteria)))
    return "" if pair.source == SOURCE_UNKNOWN else pair.source
