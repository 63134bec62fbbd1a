"""A judge that holds a response against the rules of its prompt: exact, free, and the same for everybody.

A prompt carries them as `expect: {"rules": [...]}`. A rule is an object with the `name` of a measure, a `weight`, and
exactly one test, which the response passes or not:

    starts_with: text          the stripped response begins with it
    contains: text             it stands somewhere in the response
    contains_any: [texts]      at least one of them does
    code_equals: text          the first `back-quoted` span equals it, runs of white space counting as one space
    matches: pattern           the regular expression matches the whole stripped response
    stopped: true              the response ended with the stop token, not at the length limit

The score of a response is the sum of the weights of the rules that hit; a weight may be negative.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boresight.errors import DataError
from boresight.feedback.judge import Answer, Comparison, Verdict, verdict_of
from boresight.records import Prompt

TEXT_TESTS = ("starts_with", "contains", "code_equals", "matches")
TESTS = (*TEXT_TESTS, "contains_any", "stopped")

CODE_SPAN = re.compile(r"`([^`]*)`")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of what is expected: `test` is one of TESTS, `values` what it is tested with (one text but for
    `contains_any`; none for `stopped`)."""

    name: str
    weight: float
    test: str
    values: tuple[str, ...]

    def hits(self, text: str, stopped: bool) -> bool:
        if self.test == "stopped":
            return stopped
        if self.test == "starts_with":
            return text.strip().startswith(self.values[0])
        if self.test == "matches":
            return re.fullmatch(self.values[0], text.strip()) is not None
        if self.test == "code_equals":
            span = CODE_SPAN.search(text)
            return span is not None and _single_spaced(span.group(1)) == _single_spaced(self.values[0])
        return any(value in text for value in self.values)


def _single_spaced(text: str) -> str:
    return " ".join(text.split())


def parse_rules(prompt: Prompt) -> tuple[Rule, ...]:
    """The rules of a prompt. Raises DataError, naming the prompt and the rule, where they cannot be used."""
    rules = (prompt.expect or {}).get("rules")
    if not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        raise DataError(
            f'prompt {prompt.id!r}: "expect" is {prompt.expect!r}; the rule judge needs {{"rules": [{{"name": text, '
            '"weight": number, and one test}]}. Add rules to the prompt, or choose another judge.'
        )
    return tuple(_parse_rule(rule, f"prompt {prompt.id!r}: expect.rules[{i}]") for i, rule in enumerate(rules))


def _parse_rule(rule: Any, where: str) -> Rule:
    if not isinstance(rule, Mapping):
        raise DataError(
            f"{where}: found {rule!r}, expected an object with name, weight and one test. Correct the rule."
        )
    unknown = sorted(set(rule) - {"name", "weight", *TESTS})
    if unknown:
        raise DataError(
            f"{where}: unknown key {unknown[0]!r}; a rule has name, weight and one of {', '.join(TESTS)}."
            " Correct it, or take it out."
        )
    tests = [test for test in TESTS if test in rule]
    if len(tests) != 1:
        found = " and ".join(tests) or "none"
        raise DataError(
            f"{where}: found {found} as test, expected exactly one of {', '.join(TESTS)}. Correct the rule."
        )
    name, weight = rule.get("name"), rule.get("weight")
    if not isinstance(name, str) or not name:
        raise DataError(f"{where}: name is {name!r}; give the measure a name (text).")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
        raise DataError(f"{where} ({name}): weight is {weight!r}, expected a finite number. Correct the rule.")
    return Rule(name, float(weight), tests[0], _test_values(tests[0], rule[tests[0]], f"{where} ({name})"))


def _test_values(test: str, value: Any, where: str) -> tuple[str, ...]:
    if test == "stopped":
        if value is not True:
            raise DataError(
                f"{where}: stopped is {value!r}; the only value is true (use a negative weight for the rest)."
            )
        return ()
    if test == "contains_any":
        if not isinstance(value, Sequence) or isinstance(value, str) or not value or not all(map(_is_text, value)):
            raise DataError(
                f"{where}: contains_any is {value!r}, expected a list of at least one text, none empty."
                " Correct the rule."
            )
        return tuple(value)
    if not _is_text(value):
        raise DataError(f"{where}: {test} is {value!r}, expected a text that is not empty. Correct the rule.")
    if test == "matches":
        try:
            re.compile(value)
        except re.error as error:
            raise DataError(f"{where}: {value!r} is no regular expression ({error}). Correct the pattern.") from error
    return (value,)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def score(prompt: Prompt, text: str, stopped: bool) -> float:
    """Sum of the weights of the rules that the response hits. Raises DataError for a prompt without usable rules."""
    return math.fsum(rule.weight for rule in parse_rules(prompt) if rule.hits(text, stopped))


def hits(prompt: Prompt, text: str, stopped: bool) -> dict[str, bool]:
    """For each measure that the prompt has a rule of, whether the response hits it (any of them, where several are)."""
    found: dict[str, bool] = {}
    for rule in parse_rules(prompt):
        found[rule.name] = rule.hits(text, stopped) or found.get(rule.name, False)
    return found


class RuleJudge:
    """The answer with the higher score wins; scores that differ by at most `tie_margin` are a tie.

    `noise` is the share of verdicts that are turned round, to imitate people who err. Which ones is a function of the
    seed, the prompt's id and the two texts, so that order, batch and resume change nothing: shown in the other order,
    a couple gets the same winner. Ties are never turned.
    """

    def __init__(self, *, tie_margin: float = 0.0, noise: float = 0.0, seed: int = 0) -> None:
        self._tie_margin = tie_margin
        self._noise = noise
        self._seed = seed

    def verdict(self, prompt: Prompt, first: Answer, second: Answer) -> Verdict:
        """1: the first is better, 0: the second, 0.5: a tie; with both scores, which noise leaves as they are."""
        first_score = score(prompt, first.text, first.stopped)
        second_score = score(prompt, second.text, second.stopped)
        value = verdict_of(first_score, second_score, self._tie_margin)
        if self._is_turned_round(prompt.id, first.text, second.text):
            value = 1.0 - value
        return Verdict(value, first_score, second_score)

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [self.verdict(c.prompt, c.first, c.second) for c in comparisons]

    def _is_turned_round(self, prompt_id: str, first: str, second: str) -> bool:
        drawn = hashlib.sha256("\0".join((str(self._seed), prompt_id, *sorted((first, second)))).encode()).digest()
        return int.from_bytes(drawn[:8], "big") < self._noise * 2**64
