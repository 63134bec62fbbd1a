"""What the pictures of a data page are drawn from: lengths, length gaps against the label, parts, votes."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import comb

from boresight.data.lint.finding import Finding
from boresight.data.lint.row import Row
from boresight.records import PreferencePair

LENGTH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
"""Words from which the next bin begins; the last bin is open."""
GAP_BOUNDS = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Times that the longer response has the characters of the shorter one, from which the next bin begins."""
PARTS = 64
OTHER = "(other)"


@dataclass(slots=True)
class Profile:
    """A check that finds nothing: it only counts."""

    rows: int = 0
    chosen_words: Counter[int] = field(default_factory=Counter)
    rejected_words: Counter[int] = field(default_factory=Counter)
    gap_longer: Counter[int] = field(default_factory=Counter)
    gap_untied: Counter[int] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    voted: int = 0
    unanimous: int = 0
    vote_pairs: int = 0
    agreeing_vote_pairs: int = 0

    def see(self, row: Row) -> None:
        self.rows += 1
        part = row.part or "no kind"
        self.parts[part if part in self.parts or len(self.parts) < PARTS else OTHER] += 1
        self.chosen_words[_bin(len(row.chosen.words), LENGTH_BOUNDS)] += 1
        if row.rejected is None:
            return
        self.rejected_words[_bin(len(row.rejected.words), LENGTH_BOUNDS)] += 1
        self._see_gap(len(row.chosen.text), len(row.rejected.text))
        if row.pair is not None:
            self._see_votes(row.pair)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        yield from ()

    @property
    def agreement(self) -> float | None:
        """Share of pairs of votes on one pair of responses that agree; None without any."""
        return self.agreeing_vote_pairs / self.vote_pairs if self.vote_pairs else None

    def _see_gap(self, chosen: int, rejected: int) -> None:
        if chosen == rejected:
            return
        ratio = max(chosen, rejected) / max(min(chosen, rejected), 1)
        place = _bin(ratio, GAP_BOUNDS) - 1
        self.gap_untied[place] += 1
        self.gap_longer[place] += chosen > rejected

    def _see_votes(self, pair: PreferencePair) -> None:
        votes = pair.n_votes or len(pair.annotators)
        if votes < 2:
            return
        for_chosen = round(pair.p_chosen * votes)
        self.voted += 1
        self.unanimous += for_chosen in (0, votes)
        self.vote_pairs += comb(votes, 2)
        self.agreeing_vote_pairs += comb(for_chosen, 2) + comb(votes - for_chosen, 2)


def _bin(value: float, bounds: Sequence[float]) -> int:
    """How many of the bounds a value has reached."""
    return sum(value >= bound for bound in bounds)
