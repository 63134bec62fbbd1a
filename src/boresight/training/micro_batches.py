"""A batch cut into what is computed at once: few pieces, each as full as its budget of tokens allows."""

from collections.abc import Sequence

from boresight.config.sections import BatchedStage
from boresight.data.tokenize import EncodedPair


def micro_batches(
    rows: Sequence[int], *, size: int | None, tokens: Sequence[int], budget: int | None
) -> list[Sequence[int]]:
    """Cut a batch's rows into pieces of at most `size` rows and `budget` tokens; None: no such limit.

    `tokens` has one count for each of the rows. A row longer than the budget is a piece of its own. A budget is filled
    as far as it goes, for fewer pieces; rows of a piece stand in their order, and pieces in that of their first rows.
    """
    if size is not None or budget is None:
        return _in_order(rows, size=size or len(rows), tokens=tokens, budget=budget)
    left = list(range(len(rows)))
    pieces = []
    while left:
        piece = _fullest(left, tokens, budget)
        pieces.append(piece)
        left = [place for place in left if place not in set(piece)]
    return [[rows[place] for place in piece] for piece in sorted(pieces)]


def pair_micro_batches(config: BatchedStage, pairs: Sequence[EncodedPair], rows: Sequence[int]) -> list[Sequence[int]]:
    """The same for rows of preference pairs, whose two responses share a prompt."""
    chosen = [pairs[row] for row in rows]
    tokens = [len(pair.prompt_ids) + len(pair.chosen_ids) + len(pair.rejected_ids) for pair in chosen]
    return micro_batches(rows, size=config.micro_batch_size, tokens=tokens, budget=config.micro_batch_tokens)


def _in_order(rows: Sequence[int], *, size: int, tokens: Sequence[int], budget: int | None) -> list[Sequence[int]]:
    pieces: list[list[int]] = []
    used = 0
    for row, count in zip(rows, tokens, strict=True):
        full = not pieces or len(pieces[-1]) == size or (budget is not None and used + count > budget)
        if full:
            pieces.append([])
            used = 0
        pieces[-1].append(row)
        used += count
    return [*pieces]


def _fullest(places: Sequence[int], tokens: Sequence[int], budget: int) -> list[int]:
    """The longest row and those that fill the rest of the budget best (minimum bin slack, Gupta & Ho 1999)."""
    longest = max(places, key=lambda place: tokens[place])
    others = [place for place in places if place != longest]
    room = max(0, budget - tokens[longest])
    sums = [1]  # after each row the sums that some of the rows up to it have, as the bits of a number
    for place in others:
        sums.append((sums[-1] | sums[-1] << tokens[place]) & ((1 << room + 1) - 1))
    rest, piece = sums[-1].bit_length() - 1, [longest]
    for number in reversed(range(len(others))):
        if not sums[number] >> rest & 1:
            piece.append(others[number])
            rest -= tokens[others[number]]
    return sorted(piece)
