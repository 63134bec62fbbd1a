from hypothesis import given
from hypothesis import strategies as st

from boresight.models.shared_prompt import PackedRow, Span, pack

ROWS = st.lists(
    st.tuples(st.lists(st.integers(1, 3), min_size=1, max_size=5), st.lists(st.integers(1, 3), max_size=5)),
    min_size=1,
    max_size=6,
)


def seen_by(row: PackedRow, place: int) -> list[int]:
    """Tokens that the token at a place of the packed row may look at, itself included, in order of position."""
    span = next(span for span in row.spans if span.start <= place < span.end)
    places = [*range(span.stem_start, span.stem_end), *range(span.start, place + 1)]
    assert row.position_ids[0, places].tolist() == list(range(len(places)))
    return [int(row.input_ids[0, p]) for p in places]


@given(ROWS)
def test_every_token_sees_exactly_its_own_row_up_to_itself(rows: list[tuple[list[int], list[int]]]) -> None:
    whole = [prompt + response for prompt, response in rows]
    packed = pack(whole, [len(prompt) for prompt, _ in rows], width=12)
    for number, tokens in enumerate(whole):
        for t in range(len(tokens)):
            assert seen_by(packed, int(packed.places[number, t])) == tokens[: t + 1]


def test_what_rows_of_one_prompt_begin_with_stands_once() -> None:
    rows = [[5, 6, 7, 8, 2], [9, 4, 2], [5, 6, 7, 1]]  # the first and the last answer the same prompt, and begin alike
    packed = pack(rows, [2, 2, 2], width=5)
    assert packed.input_ids.tolist() == [[5, 6, 7, 8, 2, 1, 9, 4, 2]]
    assert packed.position_ids.tolist() == [[0, 1, 2, 3, 4, 3, 0, 1, 2]]
    assert packed.spans == (Span(0, 5, 0, 0), Span(5, 6, 0, 3), Span(6, 9, 6, 6))
    assert packed.places[2].tolist()[:4] == [0, 1, 2, 5]


def test_rows_of_different_prompts_share_nothing_however_alike_they_begin() -> None:
    packed = pack([[5, 6, 7], [5, 6, 8]], [3, 3], width=3)
    assert packed.input_ids.tolist() == [[5, 6, 7, 5, 6, 8]]


def test_a_row_that_is_the_beginning_of_another_needs_no_token_of_its_own() -> None:
    packed = pack([[5, 6, 7], [5, 6]], [1, 1], width=3)
    assert packed.input_ids.tolist() == [[5, 6, 7]]
    assert packed.places[1].tolist()[:2] == [0, 1]


def test_filling_reaches_the_quantum_and_belongs_to_no_span() -> None:
    packed = pack([[5, 6, 7]], [1], width=3, quantum=8)
    assert packed.input_ids.shape == packed.position_ids.shape == (1, 8)
    assert packed.spans == (Span(0, 3, 0, 0),)
