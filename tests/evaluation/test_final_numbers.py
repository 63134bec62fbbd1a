from decimal import Decimal

import pytest

from boresight.evaluation.final_numbers import final_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("16 - 7 = <<16-7=9>>9 eggs\n#### 18", "18"),
        ("It makes 1,234.50 in all.\nA: $1,234.50", "1234.5"),
        ("The answer is 42, not 41.", "42"),
        ("So he has 15 apples. The answer: -3", "-3"),
        ("He has 12 and gives 5, so 7", "7"),
        ("#### 5\nA second thought: 9", "5"),  # what is marked counts, wherever it stands
    ],
)
def test_the_final_number(text: str, number: str) -> None:
    assert final_number(text) == Decimal(number)


def test_no_number_is_none() -> None:
    assert final_number("I do not know.") is None
