"""A judge whose faults are planted: of each verdict chance decides whether it is given for a reason or for a fault.

The first fault of these that is drawn decides, and of the rest a share is turned round:

    position      the response shown first
    length        the longer one
    sycophancy    the one that begins with "Yes"

All draws are hashes of the seed, the texts and, but for sycophancy, the order: asked again it says the same, and asked
in the other order it may not. Sycophancy is drawn for the couple, so that both orders share it: no second order finds
it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from boresight.feedback.judge import Answer, Comparison, Verdict
from boresight.feedback.rule_judge import RuleJudge
from boresight.records import Prompt


@dataclass(frozen=True)
class Faults:
    """Shares of verdicts; `noise` is of those that no fault decides."""

    position: float = 0.30
    length: float = 0.10
    sycophancy: float = 0.10
    noise: float = 0.10


class PlantedJudge:
    """The rule judge's opinion, through faults."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults, self._seed = faults, seed
        self._right = RuleJudge()

    def compare(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [Verdict(self._verdict(c.prompt, c.first, c.second)) for c in comparisons]

    def _verdict(self, prompt: Prompt, first: Answer, second: Answer) -> float:
        texts = (first.text, second.text)
        flattery = first.text.startswith("Yes") - second.text.startswith("Yes")
        if flattery and self._drawn("sycophancy", prompt.id, *sorted(texts)) < self._faults.sycophancy:
            return float(flattery > 0)
        reason = self._drawn("reason", prompt.id, *texts)
        if reason < self._faults.position:
            return 1.0
        longer = len(first.text) - len(second.text)
        if reason < self._faults.position + self._faults.length and longer:
            return float(longer > 0)
        value = self._right.verdict(prompt, first, second).value
        if value == 0.5:  # a judge that is asked for a verdict gives one
            return float(self._drawn("coin", prompt.id, *texts) < 0.5)
        return 1.0 - value if self._drawn("noise", prompt.id, *texts) < self._faults.noise else value

    def _drawn(self, *what: str) -> float:
        digest = hashlib.sha256("\0".join((str(self._seed), *what)).encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64
