"""Personal data and secrets, counted: e-mail addresses, telephone numbers, keys. What is found is never shown."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, by_share, of_rows
from boresight.data.lint.row import Row
from boresight.data.wording import counted

EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b")
EXAMPLE_MAIL = re.compile(r"@(?:[\w-]+\.)*example\.|@(?:localhost|test)\b", re.IGNORECASE)
PHONE = re.compile(
    r"(?<![\w.:/-])(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])"
    r"|(?<![\w.])\+\d{1,3}(?:[ -]?\d{2,4}){3,4}(?!\w)"
)
KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}\b|"
    r"\bsk-[A-Za-z0-9_-]{20,}|\bxox[abpr]-[A-Za-z0-9-]{10,}|\bAIza[0-9A-Za-z_-]{35}\b|\bhf_[A-Za-z0-9]{30,}\b"
)
KEY_BEGINNINGS = ("PRIVATE KEY", "AKIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "sk-", "xox", "AIza", "hf_")
"""What stands in every key, as `PHONE_PIECE` does in every number; to look for these first is several times faster."""
PHONE_PIECE = re.compile(r"[0-9]{3}[ .-][0-9]{4}|\+[0-9]")
MANY = 0.01


@dataclass(slots=True)
class PersonalData:
    """Texts with personal data, such as addresses and card numbers, or with keys."""

    personal: Marks = field(default_factory=Marks)
    keys: Marks = field(default_factory=Marks)
    counts: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        found = set(kinds_in(row.everything))
        self.counts.update(found)
        if "key" in found:
            self.keys.add(row.position)
        if found - {"key"}:
            self.personal.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        if self.personal:
            effect = {kind: self.counts[kind] for kind in ("email", "phone")}
            message = f"rows with e-mail addresses: {effect['email']:,}, with telephone numbers: {effect['phone']:,}"
            severity = by_share(len(self.personal), len(ids), MANY)
            yield of_rows("personal_data", severity, self.personal, ids, message, effect=effect)
        if self.keys:
            message = f"{counted(len(self.keys), 'row')} with what looks like a secret key or token"
            yield of_rows("secret_key", "warning", self.keys, ids, message)


def kinds_in(text: str) -> Iterator[str]:
    """email, phone, key: each that stands in the text."""
    if "@" in text and any(not EXAMPLE_MAIL.search(found) for found in EMAIL.findall(text)):
        yield "email"
    if PHONE_PIECE.search(text) and PHONE.search(text):
        yield "phone"
    if any(beginning in text for beginning in KEY_BEGINNINGS) and KEY.search(text):
        yield "key"
