"""Counts and shares as texts for people: one wording for the lint, the commands and the reports."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """1 row, 1,204 rows."""
    return f"{number:,} {noun(number, one, many)}"


def noun(number: int, one: str, many: str | None = None) -> str:
    """The word for that number of things; `many` where the plural is not in s."""
    return one if number == 1 else many or f"{one}s"


def percent(share: float) -> str:
    """0.9125 -> 91.3%. Only an exact 0 or 1 is printed without decimals."""
    if share in (0.0, 1.0):
        return f"{share:.0%}"
    return f"{100 * share:.1f}%".replace("-", "−")
