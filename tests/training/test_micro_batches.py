import itertools

from hypothesis import given
from hypothesis import strategies as st

from boresight.training.micro_batches import micro_batches


def test_without_a_budget_rows_are_cut_in_their_order() -> None:
    rows, tokens = [5, 3, 8, 1, 2], [4, 4, 4, 9, 1]
    assert micro_batches(rows, size=2, tokens=tokens, budget=None) == [[5, 3], [8, 1], [2]]
    assert micro_batches(rows, size=None, tokens=tokens, budget=None) == [rows]
    assert micro_batches(rows, size=1, tokens=tokens, budget=100) == [[5], [3], [8], [1], [2]]


def test_a_budget_is_filled_by_rows_that_do_not_follow_each_other() -> None:
    rows, tokens = [5, 3, 8, 1, 2], [4, 4, 4, 9, 1]
    assert micro_batches(rows, size=None, tokens=tokens, budget=8) == [[5, 3], [8, 2], [1]]  # one is over the budget
    assert micro_batches([0, 1, 2, 3], size=None, tokens=[6, 5, 4, 3], budget=9) == [[0, 3], [1, 2]]  # in order: three


@given(tokens=st.lists(st.integers(1, 40), min_size=1, max_size=5), budget=st.integers(1, 60))
def test_pieces_hold_every_row_once_keep_the_budget_and_are_nearly_as_few_as_can_be(
    tokens: list[int], budget: int
) -> None:
    rows = [100 + place for place in range(len(tokens))]
    pieces = micro_batches(rows, size=None, tokens=tokens, budget=budget)
    assert sorted(itertools.chain(*pieces)) == rows
    assert all(list(piece) == sorted(piece) for piece in pieces)
    used = [sum(tokens[row - 100] for row in piece) for piece in pieces]
    assert all(total <= budget or len(piece) == 1 for total, piece in zip(used, pieces, strict=True))
    assert len(pieces) <= fewest(tokens, budget) + 1


def fewest(tokens: list[int], budget: int) -> int:
    """By trying every way of putting the rows into pieces."""
    best = len(tokens)
    for places in itertools.product(range(len(tokens)), repeat=len(tokens)):
        loads = [[t for t, place in zip(tokens, places, strict=True) if place == piece] for piece in set(places)]
        if all(sum(load) <= budget or len(load) == 1 for load in loads):
            best = min(best, len(loads))
    return best
