"""Language: which ones the questions are in, and answers in another language than their question.

A language is told by its script, and among those in Latin letters by the commonest small words. A text in which too few
of them stand is left undecided, so the counts are a lower bound.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from boresight.data.lint.finding import Finding, Marks, by_share, of_rows
from boresight.data.lint.row import Row
from boresight.data.wording import counted

SMALL_WORDS = {
    "English": "the and is of to in that it you for are with was this have what be not how can your do",
    "German": "der die und das ist nicht ich ein eine zu den mit wie für auf es sie wir auch von",
    "French": "le la les et est une des que pour dans qui vous je pas sur avec ce au du ne",
    "Spanish": "el los las que es una por con para como del se lo su pero más está y en qué",
    "Italian": "il che di è un per non una sono con come del della anche mi questo gli alla nel ho",
    "Portuguese": "o os que é um uma não para com como do da em por mais você se são no na",
    "Dutch": "de het een en van is dat niet op zijn voor met ik je maar wat hij ook aan er",
}
LANGUAGE_OF_WORD: dict[str, list[str]] = {}
for _language, _words in SMALL_WORDS.items():
    for _word in _words.split():
        LANGUAGE_OF_WORD.setdefault(_word, []).append(_language)
SCRIPTS = {
    "Cyrillic": re.compile("[\u0400-\u04ff]"),
    "Greek": re.compile("[\u0370-\u03ff]"),
    "Hebrew": re.compile("[\u0590-\u05ff]"),
    "Arabic": re.compile("[\u0600-\u06ff]"),
    "Devanagari": re.compile("[\u0900-\u097f]"),
    "Japanese": re.compile("[\u3040-\u30ff]"),
    "Korean": re.compile("[\uac00-\ud7af]"),
    "Chinese": re.compile("[\u4e00-\u9fff]"),
}
ENOUGH_WORDS, MARGIN, ENOUGH_SIGNS = 3, 2, 4
MANY = 0.02


@dataclass(slots=True)
class LanguageMix:
    """Answers in another language than the question's, where most of the file is in one."""

    marks: Marks = field(default_factory=Marks)
    questions: Counter[str] = field(default_factory=Counter)
    switches: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        asked = language_of(row.question, row.question_words)
        if asked is None:
            return
        self.questions[asked] += 1
        answered = language_of(row.chosen.text, row.chosen.words)
        if answered is not None and answered != asked:
            self.switches[f"{asked} to {answered}"] += 1
            self.marks.add(row.position)

    def findings(self, ids: Sequence[str]) -> Iterator[Finding]:
        told = self.questions.total()
        others = told - max(self.questions.values(), default=0)
        if not told or (not self.marks and others < MANY * told):
            return
        languages = dict(self.questions.most_common(6))
        listed = ", ".join(f"{name} {count:,}" for name, count in languages.items())
        switched = counted(len(self.marks), "chosen answer")
        message = f"questions by language: {listed}; {switched} in another language than the question"
        effect = {"languages": languages, "switches": dict(self.switches.most_common(6))}
        severity = by_share(len(self.marks), told, MANY)
        yield of_rows("language_mix", severity, self.marks, ids, message, of=told, effect=effect)


def language_of(text: str, words: Sequence[str]) -> str | None:
    """A script's or a language's name; None where the text tells too little."""
    if not text.isascii():
        for script, pattern in SCRIPTS.items():
            if len(pattern.findall(text[:400])) >= ENOUGH_SIGNS:
                return script
    hits: dict[str, int] = {}
    for word in set(words[:80]) & LANGUAGE_OF_WORD.keys():
        for language in LANGUAGE_OF_WORD[word]:
            hits[language] = hits.get(language, 0) + 1
    ranked = sorted(hits.values(), reverse=True)
    if not ranked or ranked[0] < ENOUGH_WORDS or (len(ranked) > 1 and ranked[0] < ranked[1] + MARGIN):
        return None
    return max(hits, key=lambda language: hits[language])
