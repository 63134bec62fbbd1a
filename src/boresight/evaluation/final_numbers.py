"""The final number of a worked answer, as GSM8K marks it (Cobbe et al. 2021, arXiv:2110.14168)."""

import re
from decimal import Decimal, InvalidOperation

_NUMBER = r"[-−]?\$?\s?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
_MARKED = re.compile(rf"(?:####|^A:)\s*({_NUMBER})", re.MULTILINE)
_SAID = re.compile(rf"\banswer\b[^.\n]{{0,20}}?\b(?:is|=|:)[^.\n\d-]{{0,12}}({_NUMBER})", re.IGNORECASE)
_ANY = re.compile(_NUMBER)


def final_number(text: str) -> Decimal | None:
    """What follows the last `####` or `A:`, else what "the answer is" says, else the last number; None without any."""
    for pattern in (_MARKED, _SAID, _ANY):
        found = pattern.findall(text)
        if found:
            return _value(found[-1])
    return None


def _value(number: str) -> Decimal | None:
    plain = number.replace(",", "").replace("$", "").replace("−", "-").replace(" ", "")
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None
