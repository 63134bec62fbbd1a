"""Length: does the chosen answer win because it is longer, and is it the rejected one with padding?

A reward model learns length wherever it predicts the label, and a policy then writes longer and longer (Singhal et al.
2023). Longer-wins is a warning where it is both more frequent than chance and at least a small effect; shorter-wins is
a note unless it is strong: it ends by itself at short answers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import copysign, sqrt
from typing import Any

from boresight.data.lint.finding import Finding, Marks, Severity, by_share, of_rows
from boresight.data.lint.row import Row
from boresight.data.wording import counted, percent
from boresight.stats.intervals import wilson

SMALL_EFFECT = 0.2
"""Cohen's d (Cohen 1988) from which a difference of lengths counts."""
SHORTER_RULE = 0.75
"""Accuracy of "the shorter one wins" from which it is a warning, over pairs whose lengths clearly differ."""
CLEARLY = 0.05
"""Part of the longer answer from which a difference of lengths is clear: a "Yes" for a "No" makes no answer longer."""
LARGEST = 10.0
ENOUGH_PAIRS = 30
PARTS = 64
"""Parts told apart; further ones are pooled under one name, so that a column of ids takes no memory."""
OTHER = "(other)"
TOLD = 3
"""Parts in the message; all of them are in the effect."""
PADDING = 1.3
"""A padded answer has at least that many times the words of the answer it contains."""


@dataclass(slots=True)
class LengthSums:
    """Sums over pairs, lengths in characters."""

    pairs: int = 0
    longer: int = 0
    shorter: int = 0
    clearly_longer: int = 0
    clearly_shorter: int = 0
    chosen: float = 0.0
    rejected: float = 0.0
    chosen_squares: float = 0.0
    rejected_squares: float = 0.0

    def add(self, chosen: int, rejected: int) -> None:
        self.pairs += 1
        self.longer += chosen > rejected
        self.shorter += chosen < rejected
        clear = CLEARLY * max(chosen, rejected)
        self.clearly_longer += chosen - rejected > clear
        self.clearly_shorter += rejected - chosen > clear
        self.chosen += chosen
        self.rejected += rejected
        self.chosen_squares += chosen * chosen
        self.rejected_squares += rejected * rejected

    def standardised_difference(self) -> float:
        """Cohen's d: (mean chosen - mean rejected) / root of the mean of both variances, at most 10 either way."""
        if self.chosen == self.rejected:
            return 0.0
        n = self.pairs
        means = self.chosen / n, self.rejected / n
        variances = (self.chosen_squares / n - means[0] ** 2, self.rejected_squares / n - means[1] ** 2)
        spread = sqrt(max(sum(variances) / 2, 0.0))
        difference = means[0] - means[1]
        return max(-LARGEST, min(LARGEST, difference / spread)) if spread > 0 else copysign(LARGEST, difference)

    def effect(self) -> dict[str, Any]:
        """The rule is the better one of "longer wins" and "shorter wins"; its accuracy is over untied pairs."""
        untied = self.longer + self.shorter
        if not untied:
            return {"pairs": self.pairs, "untied": 0}
        rule = wilson(max(self.longer, self.shorter), untied)
        return {
            "pairs": self.pairs,
            "untied": untied,
            "longer_share": self.longer / untied,
            "standardised_difference": self.standardised_difference(),
            "rule": "longer" if self.longer >= self.shorter else "shorter",
            "rule_accuracy": rule.value,
            "ci95": [rule.low, rule.high],
        }

    def severity(self) -> Severity:
        untied = self.longer + self.shorter
        if untied < ENOUGH_PAIRS:
            return "note"
        longer, clear = wilson(self.longer, untied), self.clearly_longer + self.clearly_shorter
        lengthens = longer.low > 0.5 and self.standardised_difference() >= SMALL_EFFECT
        shortens = (
            clear >= ENOUGH_PAIRS
            and self.clearly_shorter >= SHORTER_RULE * clear
            and self.standardised_difference() <= -SMALL_EFFECT
        )
        return "warning" if lengthens or shortens else "note"


@dataclass(slots=True)
class LengthBias:
    """By how much the chosen answers are longer, and what "the longer one wins" would get."""

    parts: dict[tuple[str, str], LengthSums] = field(default_factory=dict)
    longer: Marks = field(default_factory=Marks)

    def see(self, row: Row) -> None:
        if row.rejected is None:
            return
        chosen, rejected = len(row.chosen.text), len(row.rejected.text)
        part = (row.split, row.part)
        if part not in self.parts and len(self.parts) >= PARTS:
            part = ("", OTHER)
        self.parts.setdefault(part, LengthSums()).add(chosen, rejected)
        if chosen > rejected:
            self.longer.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        names = self._names()
        effects = {names[part]: sums.effect() for part, sums in self.parts.items()}
        untied = sum(effect["untied"] for effect in effects.values())
        if not untied:
            return
        biased = [names[part] for part, sums in self.parts.items() if sums.severity() == "warning"]
        told = biased or sorted(effects, key=lambda name: -effects[name]["untied"])[:TOLD]
        message = "; ".join(_told(name, effects[name]) for name in told if effects[name]["untied"])
        if left := len(effects) - len(told):
            message += f"; {counted(left, 'more part', 'more parts')}{' without bias' if biased else ''}"
        severity: Severity = "warning" if biased else "note"
        yield of_rows(
            "length_bias", severity, self.longer, ids, message, of=untied, effect={"parts": effects, "biased": biased}
        )

    def _names(self) -> dict[tuple[str, str], str]:
        """A part is told by its split only where there are several."""
        several = len({split for split, _ in self.parts if split}) > 1
        return {
            (split, part): (f"{split}: {part}" if part and split else split or part) if several else part or "all pairs"
            for split, part in self.parts
        }


def _told(name: str, effect: dict[str, Any]) -> str:
    low, high = effect["ci95"]
    return (
        f"{name}: the chosen answer is longer in {percent(effect['longer_share'])} of {effect['untied']:,} untied "
        f'pairs (difference {effect["standardised_difference"]:+.2f} deviations); "the {effect["rule"]} one wins" '
        f"alone is right in {percent(effect['rule_accuracy'])} ({100 * low:.1f}–{100 * high:.1f}%)"
    )


@dataclass(slots=True)
class PaddedChosen:
    """Pairs whose chosen answer holds every word of the rejected one and at least 30 % more."""

    marks: Marks = field(default_factory=Marks)
    padded_rejected: int = 0

    def see(self, row: Row) -> None:
        if row.rejected is None:
            return
        chosen, rejected = row.chosen.words, row.rejected.words
        if _is_padded(chosen, rejected):
            self.marks.add(row.position)
        self.padded_rejected += _is_padded(rejected, chosen)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if not self.marks:
            return
        mostly = len(self.marks) > self.padded_rejected
        yield of_rows(
            "padded_chosen",
            by_share(len(self.marks), len(ids), 0.02) if mostly else "note",
            self.marks,
            ids,
            f"{counted(len(self.marks), 'chosen answer')} with every word of the rejected one and at least 30% more, "
            f"{self.padded_rejected:,} the other way round",
            effect={"padded_rejected": self.padded_rejected},
        )


def _is_padded(longer: list[str], shorter: list[str]) -> bool:
    if len(shorter) < 4 or len(longer) < PADDING * len(shorter):
        return False
    if not set(shorter) <= set(longer):
        return False
    return not Counter(shorter) - Counter(longer)
