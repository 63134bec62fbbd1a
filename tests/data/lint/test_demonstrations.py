"""Narrow demonstrations."""

import pytest

from boresight.data.lint.run import lint
from boresight.records import Demonstration, Message
from tests.data.lint.making import demonstration

TURNS = (Message("user", "Open gate 1."), Message("assistant", "Done."), Message("user", "And gate 2?"))


def tasks(count: int) -> list[Demonstration]:
    return [demonstration(n, f"Open gate {n} of the lower hall.", f"Gate {n} is open.") for n in range(count)]


def severities(records: list[Demonstration]) -> dict[str, str]:
    names = ("prompt_kinds", "no_small_talk", "no_multi_turn")
    return {f.id: f.severity for f in lint({"data": records}).findings if f.id in names}


def test_one_kind_of_prompt_is_narrow() -> None:
    assert severities(tasks(60)) == dict.fromkeys(("prompt_kinds", "no_small_talk", "no_multi_turn"), "warning")


def test_a_mixed_set_is_not() -> None:
    talk = [demonstration(100 + n, "Hello there!", "Hello.") for n in range(20)]
    dialogues = [demonstration(200 + n, TURNS, f"Gate {n} too.") for n in range(20)]
    assert severities(tasks(40) + talk + dialogues) == {"prompt_kinds": "note"}


def test_kinds_of_the_records_come_first() -> None:
    records = [demonstration(n, f"Open gate {n}.", "Done.", kind="a" if n < 57 else "b") for n in range(60)]
    finding = lint({"data": records}).finding("prompt_kinds")
    assert finding is not None and finding.effect["shares"] == pytest.approx({"a": 0.95, "b": 0.05})
    assert finding.severity == "warning"


def test_few_demonstrations_are_not_judged() -> None:
    assert severities(tasks(10)) == {}
