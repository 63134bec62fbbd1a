"""Checks of a response that need no model and no judge: a pattern, a known answer, a number of words."""

import re

from boresight.errors import DataError
from boresight.records import Prompt


def matches(text: str, pattern: str, *, whole: bool) -> bool:
    """Whether a regular expression matches somewhere in the text, or all of it but white space at both ends."""
    found = re.fullmatch(pattern, text.strip()) if whole else re.search(pattern, text)
    return found is not None


def words_within(text: str, fewest: int, most: int | None) -> bool:
    """Whether the text has a number of words within both bounds; words are what stands between white space."""
    count = len(text.split())
    return fewest <= count and (most is None or count <= most)


def expected_answer(prompt: Prompt) -> str:
    """The answer in a prompt's `expect`. Raises DataError, naming the prompt, where there is none."""
    answer = (prompt.expect or {}).get("answer")
    if not isinstance(answer, str) or not answer.strip():
        raise DataError(
            f'prompt {prompt.id!r}: "expect" is {prompt.expect!r}; the answer reward needs {{"answer": text}}. Add the '
            "answer to the prompt, or take another reward."
        )
    return answer


def gives_answer(text: str, answer: str, *, extract: str | None, ignore_case: bool) -> bool:
    """Whether a response gives an answer: the last match of `extract` (its first group, if it has one), or all of it.

    Runs of white space count as one space; a response in which nothing matches gives none.
    """
    if extract is not None:
        found = list(re.finditer(extract, text))
        if not found:
            return False
        text = found[-1].group(1 if found[-1].re.groups else 0) or ""
    given, wanted = " ".join(text.split()), " ".join(answer.split())
    return given.casefold() == wanted.casefold() if ignore_case else given == wanted
