"""Style that predicts the label: whoever learns from the pairs learns the style first.

A cue counts where it stands in only one of the two answers; a warning where it does so in 2 % of the pairs or more and
the chosen answer has it at least twice as often, with an interval above one half. A cue that marks the rejected
answers is a note: what it teaches is to leave it out.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from boresight.data.lint.finding import Finding, Marks, Severity, of_rows
from boresight.data.lint.row import Row
from boresight.data.wording import percent
from boresight.stats.intervals import wilson


class Cue(NamedTuple):
    """A pattern of text in lower case, and pieces of which one stands in every match: looked for first, as that is
    fast. Without pieces every match holds a sign outside ASCII."""

    pattern: re.Pattern[str]
    pieces: tuple[str, ...] = ()

    def marks(self, text: str) -> bool:
        possible = any(piece in text for piece in self.pieces) if self.pieces else not text.isascii()
        return possible and self.pattern.search(text) is not None


CUES = {
    "list": Cue(re.compile(r"^[ \t]*(?:[-*•]|\d{1,2}[.)])[ \t]+\S", re.MULTILINE), ("- ", "* ", "• ", ". ", ") ")),
    "markdown": Cue(re.compile(r"\*\*[^*\n]+\*\*|^#{1,6} |```|^\|.+\|$", re.MULTILINE), ("**", "# ", "```", "|")),
    "apology": Cue(
        re.compile(r"\b(?:i(?:['’]m| am) (?:very |so )?sorry|i apologi[sz]e|my apologies)\b"), ("sorry", "apolog")
    ),
    "as_an_ai": Cue(re.compile(r"\bas an? (?:ai|artificial|large language|language model)\b"), ("as a",)),
    "praise": Cue(
        re.compile(
            r"\b(?:(?:great|good|excellent|lovely|wonderful) (?:question|thinking|idea|point)"
            r"|you(?: a|['’])re (?:so |very |absolutely )?(?:smart|right|brilliant|doing an? (?:amazing|great)))"
        ),
        ("question", "thinking", "idea", "point", "smart", "right", "brilliant", "doing"),
    ),
    "exclamation": Cue(re.compile("!"), ("!",)),
    "emoji": Cue(re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")),
    "question_back": Cue(re.compile(r"\?$"), ("?",)),
}
FREQUENT, ONE_SIDED = 0.02, 2 / 3
ENOUGH = 20


@dataclass(slots=True)
class StyleCues:
    """Marks of style (lists, headings, emphasis) that tell the chosen answer from the rejected one."""

    chosen_only: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CUES, 0))
    rejected_only: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CUES, 0))
    marks: dict[str, Marks] = field(default_factory=lambda: {name: Marks() for name in CUES})
    pairs: int = 0

    def see(self, row: Row) -> None:
        if row.rejected is None:
            return
        self.pairs += 1
        for name, cue in CUES.items():
            chosen, rejected = cue.marks(row.chosen.lower), cue.marks(row.rejected.lower)
            if chosen and not rejected:
                self.chosen_only[name] += 1
                self.marks[name].add(row.position)
            elif rejected and not chosen:
                self.rejected_only[name] += 1

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        effects = {name: effect for name in CUES if (effect := self._effect(name)) is not None}
        if not effects:
            return
        taught = [name for name, effect in effects.items() if effect["teaches"] == "use"]
        rows = Marks(sorted({position for name in taught for position in self.marks[name].rows}))
        message = "; ".join(_told(name, effects[name]) for name in taught or effects)
        severity: Severity = "warning" if taught else "note"
        yield of_rows("style_cue", severity, rows, ids, message, of=self.pairs, effect={"cues": effects})

    def _effect(self, name: str) -> dict[str, Any] | None:
        chosen, rejected = self.chosen_only[name], self.rejected_only[name]
        only_one = chosen + rejected
        if only_one < ENOUGH or only_one < FREQUENT * self.pairs:
            return None
        share = wilson(chosen, only_one)
        if share.value >= ONE_SIDED and share.low > 0.5:
            teaches = "use"
        elif share.value <= 1 - ONE_SIDED and share.high < 0.5:
            teaches = "avoid"
        else:
            return None
        return {
            "chosen_only": chosen, "rejected_only": rejected, "chosen_share": share.value,
            "ci95": [share.low, share.high], "teaches": teaches,
        }  # fmt: skip


def _told(name: str, effect: dict[str, Any]) -> str:
    low, high = effect["ci95"]
    only_one = effect["chosen_only"] + effect["rejected_only"]
    return (
        f"{name.replace('_', ' ')}: of {only_one:,} pairs with it in one answer only, the chosen one has it in "
        f"{percent(effect['chosen_share'])} ({100 * low:.1f}–{100 * high:.1f}%)"
    )
