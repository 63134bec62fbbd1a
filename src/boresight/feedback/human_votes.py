"""What people said of couples, whatever file it comes from: matched by what was compared, never by line or number."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boresight.data.preferences import prompt_key, response_text
from boresight.data.readers import read_pairs
from boresight.errors import DataError
from boresight.feedback.judged_couples import CoupleKey, JudgedCouple
from boresight.records import PreferencePair
from boresight.storage import canonical_json, hash_file, hash_text


@dataclass(frozen=True, slots=True)
class HumanLabel:
    """Votes on one couple: for `a`, for `b`, and for neither; a record that tells only a share of several votes makes
    fractions of them."""

    for_a: float
    for_b: float
    ties: float = 0.0

    @property
    def votes(self) -> int:
        return round(self.for_a + self.for_b + self.ties)

    @property
    def p_a(self) -> float:
        """The share of people who prefer `a`, ties as halves."""
        return (self.for_a + self.ties / 2) / (self.for_a + self.for_b + self.ties)

    @property
    def label(self) -> int:
        """1 or 2, the response that most prefer; 0 where most see a tie, or no word has the most votes."""
        counts = (self.ties, self.for_a, self.for_b)
        most = max(counts)
        return counts.index(most) if counts.count(most) == 1 else 0

    def turned(self) -> "HumanLabel":
        return HumanLabel(self.for_b, self.for_a, self.ties)

    def __add__(self, other: "HumanLabel") -> "HumanLabel":
        return HumanLabel(self.for_a + other.for_a, self.for_b + other.for_b, self.ties + other.ties)


class HumanVotes:
    """All votes on each couple; several records of one couple are several votes."""

    def __init__(self, pairs: Iterable[PreferencePair] = (), sha256: str = "") -> None:
        self.sha256 = sha256
        self._votes: dict[CoupleKey, HumanLabel] = {}  # `a` is the first of the two texts
        for pair in pairs:
            self._add(pair)

    def __len__(self) -> int:
        return len(self._votes)

    def of(self, couple: JudgedCouple) -> HumanLabel | None:
        """None where nobody was asked."""
        if not self._votes or (key := couple.key) not in self._votes:
            return None
        found = self._votes[key]
        return found if couple.a.strip() == key[1] else found.turned()

    def unmatched(self, couples: Iterable[JudgedCouple]) -> int:
        """Couples that people judged and that are not among these."""
        return len(self._votes.keys() - {couple.key for couple in couples})

    def _add(self, pair: PreferencePair) -> None:
        chosen, rejected = response_text(pair.chosen), response_text(pair.rejected)
        first, second = sorted((chosen, rejected))
        votes, key = pair.n_votes or 1, (prompt_key(pair.prompt), first, second)
        if pair.p_chosen == 0.5:
            said = HumanLabel(0.0, 0.0, votes)
        else:
            said = HumanLabel(pair.p_chosen * votes, (1.0 - pair.p_chosen) * votes)
            said = said if chosen == first else said.turned()
        self._votes[key] = self._votes[key] + said if key in self._votes else said


def read_human_votes(paths: Sequence[Path]) -> HumanVotes:
    """Votes of people from files of preference pairs of any form that is known (docs/data.md), rankings among them.

    Raises DataError for a judge's labels: people would be estimated from a machine.
    """
    pairs: list[PreferencePair] = []
    for path in paths:
        read = read_pairs(path)
        machine = next((pair for pair in read.pairs if pair.source == "ai"), None)
        if machine is not None:
            raise DataError(
                f"{path} (id {machine.id}): source is ai, but this file is to hold what people said. Give their labels."
            )
        pairs += read.pairs
    return HumanVotes(pairs, hash_text(canonical_json([hash_file(path) for path in paths])))


def matched(
    couples: Sequence[JudgedCouple], people: HumanVotes, needed: Mapping[str, str]
) -> list[tuple[JudgedCouple, HumanLabel]]:
    """The couples that people judged too. Raises DataError, with what is `needed`, where there are none."""
    found = [(couple, label) for couple in couples if (label := people.of(couple)) is not None]
    if not found:
        raise DataError(
            f"{needed['people']}: none of its {len(people):,} couples is among the {len(couples):,} of "
            f"{needed['judged']}; couples are matched by the text of the prompt and of both responses. Give "
            "people's labels of these couples."
        )
    return found
