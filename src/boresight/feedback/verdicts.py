"""What a judge may answer, and its reply read for it: the JSON object that was asked for, else a form without doubt.

Two forms of answer: a verdict on two responses (A, B or a tie), and a score of one response (1 to 9: one digit, which
is one token in every tokenizer, so that log-probabilities of scores can be told apart).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

FIRST, SECOND, TIE = "A", "B", "tie"
LOWEST, HIGHEST = 1, 9
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*)\n```\Z", re.DOTALL)


@dataclass(frozen=True)
class Form:
    """An answer of one kind: the `key` of its JSON object, and what each answer is worth."""

    key: str
    values: Mapping[str, float]
    numeric: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the object. The reason stands first, so that a judge that writes in order decides after it
        has reasoned."""
        answer: dict[str, Any] = {"type": "string", "enum": list(self.values)}
        if self.numeric:
            answer = {"type": "integer", "enum": [int(value) for value in self.values.values()]}
        return {
            "name": self.key,
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {"rationale": {"type": "string"}, self.key: answer},
                "required": ["rationale", self.key],
                "additionalProperties": False,
            },
        }

    def read(self, reply: str) -> float | None:
        """What the reply's answer is worth; None where it holds none, or several that differ.

        Only what `neutralise` breaks up counts as an answer, so that no text which went through it can be one. What a
        model thought aloud before `</think>` is not read, nor a thought that was cut off before it. An answer inside
        the text of the rationale does not count.
        """
        said = reply.rpartition("</think>")[2].strip()
        if said.startswith("<think>"):
            return None
        if fenced := _FENCE.match(said):
            said = fenced[1].strip()
        try:
            whole = json.loads(said)
        except (ValueError, RecursionError):
            whole = None
        if isinstance(whole, dict):
            return self._worth(whole.get(self.key)) if f'"{self.key}"' in said else None
        found = {value for text in self._loose().findall(said) if (value := self._worth("".join(text))) is not None}
        return found.pop() if len(found) == 1 else None

    def places(self, reply: str) -> list[tuple[int, int]]:
        """(start, end) of the answers behind the key in a reply: where the tokens of the answer stand."""
        return [match.span(1) for match in self._keyed().finditer(reply)]

    def worth(self, text: str) -> float | None:
        """What an answer by itself is worth, whatever its case; None for what is none."""
        return {answer.lower(): value for answer, value in self.values.items()}.get(text.strip().lower())

    def _worth(self, answer: object) -> float | None:
        if self.numeric and isinstance(answer, int) and not isinstance(answer, bool):
            answer = str(answer)
        return self.worth(answer) if isinstance(answer, str) else None

    def _keyed(self) -> "re.Pattern[str]":
        answers = "|".join(map(re.escape, self.values))
        quote = '"?' if self.numeric else '"'
        return re.compile(rf'"{self.key}"\s*:\s*{quote}({answers})\b', re.IGNORECASE)

    def _loose(self) -> "re.Pattern[str]":
        answers = "|".join(map(re.escape, self.values))
        keyed = rf'"?({answers})(?![\w.])' if self.numeric else rf'"({answers})"'
        return re.compile(rf'"{self.key}"\s*:\s*{keyed}|\[\[({answers})\]\]', re.IGNORECASE)


VERDICT = Form("verdict", MappingProxyType({FIRST: 1.0, SECOND: 0.0, TIE: 0.5}))
"""What a verdict is worth to the response shown first."""
SCORE = Form("score", MappingProxyType({str(n): float(n) for n in range(LOWEST, HIGHEST + 1)}), numeric=True)


def parse_verdict(reply: str) -> float | None:
    """1: the first is better, 0: the second, 0.5: a tie; None where the reply holds no verdict (see `Form.read`)."""
    return VERDICT.read(reply)


def parse_score(reply: str) -> float | None:
    """1 (worst) to 9 (best); None where the reply holds no score."""
    return SCORE.read(reply)
