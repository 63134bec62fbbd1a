"""Numbers and times as people read them."""

import json
from typing import Any


def figure(value: float | int | None) -> str:
    """Three or four significant digits; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e6):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float | None) -> str:
    """Whole percents, rounded down: 100 % is said of what is whole."""
    return "" if share is None else f"{int(100 * share)} %"


def duration(seconds: float | None) -> str:
    """Rounded to what matters: 42 s, 7 min, 3 h 20 min, 2 d 4 h."""
    if seconds is None:
        return ""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def ago(then: float | None, now: float) -> str:
    """How long ago a time was, in words; an empty text where there is none."""
    if then is None:
        return ""
    return "just now" if now - then < 5 else f"{duration(now - then)} ago"


def setting(value: Any) -> str:
    """A setting as it would stand in the pipeline file."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
