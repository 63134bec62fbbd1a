"""Conversations in one string, as in HH-RLHF (Bai et al. 2022): "\\n\\nHuman: …\\n\\nAssistant: …"."""

import re

from boresight.errors import DataError
from boresight.records import Message, Messages

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
MARKERS = {"user": HUMAN, "assistant": ASSISTANT}
_MARKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_NAMES = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}


def is_transcript(text: str) -> bool:
    """Whether a text opens like a transcript and has an assistant's turn."""
    return _MARKER.match(_opened(text)) is not None and ASSISTANT in _opened(text)


def parse_transcript(text: str, where: str) -> Messages:
    """Messages of a transcript, contents stripped of white space at both ends.

    The last assistant marker begins the last message, and all that follows belongs to it: a human turn after it was
    written by the model, so it is part of the answer. Raises DataError for text in front of the first turn and where
    no assistant turn is in it.
    """
    text = _opened(text)
    cut = text.rfind(ASSISTANT)
    if cut < 0:
        raise DataError(
            f'{where}: found no turn that begins with "Assistant:" after a blank line (the text begins '
            f"{text.strip()[:40]!r}); expected a transcript of Human and Assistant turns."
            " Correct the row, or leave it out."
        )
    pieces = _MARKER.split(text[:cut])  # text in front of the first marker, then name and content by turns
    if pieces[0].strip():
        raise DataError(
            f'{where}: the transcript begins with {pieces[0].strip()[:40]!r}; expected "Human:" or "Assistant:" first.'
            " Correct the row, or leave it out."
        )
    turns = [Message(_ROLES[name], content.strip()) for name, content in zip(pieces[1::2], pieces[2::2], strict=True)]
    return (*turns, Message("assistant", text[cut + len(ASSISTANT) :].strip()))


def render_transcript(messages: Messages) -> str:
    """The conversation as plain text, turns parted by blank lines."""
    return "\n\n".join(f"{_NAMES[m.role]}: {m.content}" for m in messages)


def _opened(text: str) -> str:
    """Some copies of the data have lost the two line ends in front of the first turn."""
    return text if text.startswith("\n\n") else "\n\n" + text.lstrip("\n")
