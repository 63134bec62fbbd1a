"""Numbers and times as people read them."""

import pytest

from boresight.web.monitor.wording import ago, duration, figure, percent, setting


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (0.0, "0"), (12, "12"), (1234567, "1,234,567"), (0.123456, "0.123"), (-3.14159, "-3.14"),
     (1234.56, "1235"), (98765.4, "98,765"), (1e-5, "1e-05"), (2e9, "2,000,000,000")],
)  # fmt: skip
def test_figures(value: float | None, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "0 s"), (89, "89 s"), (100, "2 min"), (89 * 60, "89 min"), (3 * 3600 + 20 * 60, "3 h 20 min"),
     (52 * 3600, "2 d 4 h"), (-3, "0 s")],
)  # fmt: skip
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_whole_percents_are_rounded_down() -> None:
    assert percent(0.999) == "99 %" and percent(1.0) == "100 %" and percent(None) == ""


def test_times_past() -> None:
    assert ago(100, 102) == "just now" and ago(100, 160) == "60 s ago" and ago(None, 5) == ""


def test_settings_are_shown_as_they_would_be_written() -> None:
    assert setting("ppo") == "ppo" and setting(None) == "null" and setting([1, "ä"]) == '[1, "ä"]'
