"""What a reward model learns from in one piece: a pair, or a ranking with all its pairs and each response once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.data.tokenize import EncodedPair


@dataclass(frozen=True, slots=True)
class Comparison:
    """Responses to one prompt, each to be scored once, and the pairs made of them."""

    prompt_ids: list[int]
    responses: list[list[int]]
    pairs: list[EncodedPair]
    places: list[tuple[int, int]]  # of each pair the numbers of its chosen and of its rejected response

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation: what length buckets look at."""
        return len(self.prompt_ids) + max(map(len, self.responses))

    @property
    def tokens(self) -> int:
        """Tokens that are computed, the prompt's once."""
        return len(self.prompt_ids) + sum(map(len, self.responses))


@dataclass(frozen=True, slots=True)
class ComparisonBatch:
    """Responses in rows, ready to be scored, and which scores to hold against each other."""

    rows: list[list[int]]  # prompt and response; the first responses of all examples, then the second ones, and so on
    prompt_lengths: list[int]
    row_of: Tensor  # (examples, responses) int64, the row of each response; any row where an example has fewer
    preferred: Tensor  # (examples, responses, responses) bool, [n, i, j]: response i was preferred to j
    example: Tensor  # (pairs,) int64, the example that the pair belongs to
    chosen: Tensor  # (pairs,) int64, the row of its chosen response
    rejected: Tensor  # (pairs,) int64
    weight: Tensor  # (pairs,) float32, the pair's own weight / pairs of its example
    p_chosen: Tensor  # (pairs,) float32
    strength: Tensor  # (pairs,) float32, 0 where the record has none
    ids: list[str]  # of the pairs


def comparisons(pairs: Sequence[EncodedPair], *, together: bool) -> list[Comparison]:
    """One example for each pair; or, with `together`, one for each ranking (pairs of one `ranking_id` and prompt).

    Examples stand in the order in which they are first met. A response of a ranking is known by its token ids.
    """
    if not together:
        return [Comparison(p.prompt_ids, [p.chosen_ids, p.rejected_ids], [p], [(0, 1)]) for p in pairs]
    rankings: dict[tuple[object, ...], list[EncodedPair]] = {}
    for number, pair in enumerate(pairs):
        key = (number,) if pair.ranking_id is None else (pair.ranking_id, *pair.prompt_ids)
        rankings.setdefault(key, []).append(pair)
    return [_ranking(members) for members in rankings.values()]


def collate_comparisons(examples: Sequence[Comparison]) -> ComparisonBatch:
    """One batch: each response once, and which of them each pair compares, (pairs,)."""
    rows: list[list[int]] = []
    prompt_lengths: list[int] = []
    most = max(len(example.responses) for example in examples)
    row_of = torch.zeros(len(examples), most, dtype=torch.long)
    for place in range(most):
        for number, example in enumerate(examples):
            if place < len(example.responses):
                row_of[number, place] = len(rows)
                rows.append([*example.prompt_ids, *example.responses[place]])
                prompt_lengths.append(len(example.prompt_ids))
    preferred = torch.zeros(len(examples), most, most, dtype=torch.bool)
    pairs = [
        (number, i, j, pair)
        for number, example in enumerate(examples)
        for (i, j), pair in zip(example.places, example.pairs, strict=True)
    ]
    for number, i, j, pair in pairs:
        preferred[number, i, j] |= pair.p_chosen > 0.5
        preferred[number, j, i] |= pair.p_chosen < 0.5
    example_of = torch.tensor([number for number, *_ in pairs])
    return ComparisonBatch(
        rows=rows,
        prompt_lengths=prompt_lengths,
        row_of=row_of,
        preferred=preferred,
        example=example_of,
        chosen=row_of[example_of, torch.tensor([i for _, i, _, _ in pairs])],
        rejected=row_of[example_of, torch.tensor([j for _, _, j, _ in pairs])],
        weight=torch.tensor([pair.weight / len(examples[number].pairs) for number, _, _, pair in pairs]),
        p_chosen=torch.tensor([pair.p_chosen for *_, pair in pairs]),
        strength=torch.tensor([pair.strength or 0.0 for *_, pair in pairs]),
        ids=[pair.id for *_, pair in pairs],
    )


def _ranking(pairs: list[EncodedPair]) -> Comparison:
    number_of: dict[tuple[int, ...], int] = {}
    places = []
    for pair in pairs:
        sides = tuple(pair.chosen_ids), tuple(pair.rejected_ids)
        chosen, rejected = (number_of.setdefault(side, len(number_of)) for side in sides)
        places.append((chosen, rejected))
    return Comparison(pairs[0].prompt_ids, [list(ids) for ids in number_of], pairs, places)
