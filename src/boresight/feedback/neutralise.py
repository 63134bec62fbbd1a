"""Text that is to be judged, made unable to pose as anything else: as our markers, a role, or a verdict.

A judge may quote a response word for word, and then the response's words stand in the judge's reply. So what the
reader of verdicts looks for (`boresight.feedback.verdicts`) is broken up too, before the judge ever sees it.
"""

import re

_ROLE_NAMES = "system|user|human|assistant|model|tool|developer|s|bos|eos|unk|pad|start_of_turn|end_of_turn|think"
_OPENING = re.compile(rf"<(?=<<|[|｜]|</?SYS>>|/?(?:{_ROLE_NAMES})\b[^<>\n]{{0,20}}>)", re.IGNORECASE)
_BRACKET = re.compile(r"\[(?=\[|/?INST\])", re.IGNORECASE)
_ANSWER_KEY = re.compile(r'"(\s*(?:verdict|score)\s*)"', re.IGNORECASE)


def neutralise(text: str) -> str:
    """The text with look-alikes in place of what could command: `<` before a marker, special token or role tag, the
    first of two `[`, and the quotes of a "verdict" or "score" key. All else stays as it is, and doing it twice changes
    nothing.
    """
    text = _OPENING.sub("‹", text)
    text = _BRACKET.sub("［", text)
    return _ANSWER_KEY.sub(r"“\1”", text)
