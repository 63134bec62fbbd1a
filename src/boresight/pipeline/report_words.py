"""Numbers and names as the report prints them. Every number carries its exact value in a `<data>` element, so that
a reader (or a test) can hold the page against the files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from boresight.data.wording import noun
from boresight.data.wording import percent as percent_text

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, slots=True)
class Rate:
    """A fraction (0..1) with its 95 % interval and sample size, as far as they are known."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None

    @classmethod
    def read(cls, record: Mapping[str, Any], key: str = "value", n: int | None = None) -> "Rate":
        """From a result's object: `key` names the value, `ci95` the interval; `n` where the object has none."""
        low, high = record.get("ci95") or (None, None)
        return cls(float(record[key]), low, high, record.get("n", n))


def data(value: float | int | str, text: str) -> Markup:
    """A figure as people read it, with the exact value beside it for programs."""
    return Markup('<data value="{}">{}</data>').format(value, text)


def percent(value: float) -> Markup:
    """A share in percent."""
    return data(value, percent_text(value))


def interval_text(rate: Rate) -> str:
    """The interval of a rate in percent; an empty text where it has none."""
    if rate.low is None or rate.high is None:
        return ""
    return f"{100 * rate.low:.1f}–{100 * rate.high:.1f}%"


def rate(value: Rate) -> Markup:
    """A rate as text: 91.3% (88.4–93.5%, n = 482)."""
    facts = [interval_text(value)] if value.low is not None else []
    if value.n is not None:
        facts.append(f"n = {value.n:,}")
    if not facts:
        return percent(value.value)
    return Markup('{} <span class="ci">({})</span>').format(percent(value.value), ", ".join(facts))


def number_text(value: float) -> str:
    """Three significant digits, thousands parted by commas, small numbers as 9.1 × 10⁻¹³, a true minus sign."""
    size = abs(value)
    if size >= 999.5:
        return f"{value:,.0f}".replace("-", "−")
    if size >= 1e-3 or size == 0:
        return f"{value:.3g}".replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.replace('-', '−')}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10{str(int(exponent)).translate(_RAISED)}"


def number(value: float) -> Markup:
    """A number, rounded for reading."""
    return data(value, number_text(value))


def count(value: int) -> Markup:
    """A whole number with commas."""
    return data(value, f"{value:,}")


def counted(value: int, one: str, many: str | None = None) -> Markup:
    """1 pair, 2 pairs."""
    return Markup("{} {}").format(count(value), noun(value, one, many))


def duration_text(seconds: float) -> str:
    """42 s, 3 min 10 s, 2 h 5 min."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def duration(seconds: float) -> Markup:
    """Seconds, in the units of people."""
    return data(seconds, duration_text(seconds))


def plain(name: str) -> str:
    """agrees_with_false_premise -> agrees with false premise."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """First letter large, the rest as it is."""
    return text[:1].upper() + text[1:]


def model_name(name: str) -> Markup:
    """The name of a stage's model, set apart."""
    return Markup('<b class="model">{}</b>').format(name)


def listing(items: Sequence[Markup | str]) -> Markup:
    """a; a and b; a, b and c."""
    parts = [escape(item) for item in items]
    if len(parts) < 2:
        return parts[0] if parts else Markup("")
    return Markup(", ").join(parts[:-1]) + Markup(" and ") + parts[-1]
