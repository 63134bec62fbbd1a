"""Preference pairs of responses that were voted on, scored or ranked: every two of them, with the share of the votes.

A tie is a pair of p_chosen 0.5: it teaches that neither is better, and filters can find it. Nothing is re-paired.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from boresight.data.pair_rows import PairRow
from boresight.records import Message, Messages, PreferencePair, Ranking

Votes = Sequence[float]
"""Of each vote: 1 where the first response was preferred, 0 where the second, 0.5 for a tie."""


def voted_pair(
    record_id: str, prompt: Messages, first: str, second: str, votes: Votes, *, source: str = "imported"
) -> PairRow:
    """The response with more of the votes as the chosen one; of a tie the first."""
    share = sum(votes) / len(votes)
    chosen, rejected = (first, second) if share >= 0.5 else (second, first)
    pair = PreferencePair(
        id=record_id,
        prompt=prompt,
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        p_chosen=max(share, 1.0 - share),
        source=source,
        n_votes=len(votes) if len(votes) > 1 else None,
    )
    return PairRow(pair)


def ranked_pairs(
    ranking_id: str,
    prompt: Messages,
    responses: Sequence[str],
    votes_of: Callable[[int, int], Votes],
    *,
    source: str = "imported",
) -> list[PairRow]:
    """All pairs of K responses that have votes, under one ranking id; a pair's id names the two by their numbers."""
    pairs = []
    for i, j in combinations(range(len(responses)), 2):
        votes = votes_of(i, j)
        if votes:
            row = voted_pair(f"{ranking_id}#{i + 1}-{j + 1}", prompt, responses[i], responses[j], votes, source=source)
            pairs.append(PairRow(replace(row.pair, ranking_id=ranking_id)))
    return pairs


def pairs_of_ranking(ranking: Ranking, *, source: str = "imported") -> list[PairRow]:
    """All pairs of the responses that have a rank; ValueError where there is not one rank for each response."""
    ranked = zip(range(len(ranking.responses)), ranking.ranks, strict=True)
    scores = {number: -rank for number, rank in ranked if rank is not None}
    return ranked_pairs(ranking.id, ranking.prompt, ranking.responses, votes_of_scores([scores]), source=source)


def votes_of_scores(scores: Sequence[Mapping[int, float]]) -> Callable[[int, int], Votes]:
    """Votes from what each judge gave each response (by its number; one that was not scored has none): more wins."""

    def votes(i: int, j: int) -> Votes:
        return [_order(given[i], given[j]) for given in scores if i in given and j in given]

    return votes


def _order(first: float, second: float) -> float:
    return 0.5 if first == second else float(first > second)
