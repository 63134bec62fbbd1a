"""Instructions that a program can verify, under the names of IFEval (Zhou et al. 2023, arXiv:2311.07911, table 1).

Each check reads an answer and the instruction's arguments. What they count as a word, a paragraph or a highlighted
part follows that paper's rules. Two things differ: sentences are told by their punctuation, and the language of an
answer by its script alone, so that a language written in Latin letters cannot be verified (None).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boresight.errors import DataError

Arguments = Mapping[str, Any]
Check = Callable[[str, Arguments], bool | None]

_CLOSING = r"[\"')\]]*"
_SENTENCE_END = re.compile(rf"(?:[.!?]*[!?]{_CLOSING}(?=\s|$)|\.+{_CLOSING}(?=\s+[\"'(\[]?[A-Z0-9]|\s*$))|\n{{2,}}")
SCRIPTS = {
    "ar": "\u0600-\u06ff", "fa": "\u0600-\u06ff", "ur": "\u0600-\u06ff", "bn": "\u0980-\u09ff",
    "bg": "\u0400-\u04ff", "ru": "\u0400-\u04ff", "uk": "\u0400-\u04ff", "gu": "\u0a80-\u0aff",
    "he": "\u0590-\u05ff", "hi": "\u0900-\u097f", "mr": "\u0900-\u097f", "ne": "\u0900-\u097f",
    "ja": "\u3040-\u30ff\u4e00-\u9fff", "kn": "\u0c80-\u0cff", "ko": "\uac00-\ud7af\u1100-\u11ff",
    "ml": "\u0d00-\u0d7f", "pa": "\u0a00-\u0a7f", "ta": "\u0b80-\u0bff", "te": "\u0c00-\u0c7f",
    "th": "\u0e00-\u0e7f", "zh": "\u4e00-\u9fff", "el": "\u0370-\u03ff",
}  # fmt: skip
"""Character ranges of the scripts by ISO 639-1 code of the language."""


def follows(instruction: str, arguments: Arguments, answer: str) -> bool | None:
    """Whether an answer follows one instruction; None where a program cannot tell.

    An empty answer follows none. Raises DataError for an unknown instruction or one whose arguments are missing.
    """
    if instruction not in CHECKS:
        raise DataError(
            f"instruction {instruction!r} is not known; known are: {', '.join(sorted(CHECKS))}."
            " Take one of these, or leave the probe out."
        )
    if not answer.strip():
        return False
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return CHECKS[instruction](answer, given)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"instruction {instruction!r}: its arguments {given!r} cannot be used ({error}).") from error


def follows_all(instructions: Sequence[tuple[str, Arguments]], answer: str) -> bool | None:
    """Whether an answer follows every one of them; None where none is broken and one cannot be verified."""
    found = [follows(name, arguments, answer) for name, arguments in instructions]
    return False if False in found else None if None in found else True


def count_sentences(text: str) -> int:
    parts = [part for part in _SENTENCE_END.split(text.strip()) if part and re.search(r"\w", part)]
    return len(parts)


def _relates(count: int, relation: str, bound: int) -> bool:
    if relation not in ("at least", "less than"):
        raise ValueError(f"relation {relation!r}")
    return count >= bound if relation == "at least" else count < bound


def _existence(answer: str, a: Arguments) -> bool:
    return all(re.search(re.escape(word), answer, re.IGNORECASE) for word in a["keywords"])


def _forbidden(answer: str, a: Arguments) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in a["forbidden_words"])


def _frequency(answer: str, a: Arguments) -> bool:
    found = len(re.findall(re.escape(a["keyword"]), answer, re.IGNORECASE))
    return _relates(found, a["relation"], int(a["frequency"]))


def _letters(answer: str, a: Arguments) -> bool:
    return _relates(answer.lower().count(a["letter"].lower()), a["let_relation"], int(a["let_frequency"]))


def _language(answer: str, a: Arguments) -> bool | None:
    script = SCRIPTS.get(a["language"])
    if script is None:
        return None
    letters = [letter for letter in answer if letter.isalpha()]
    inside = sum(re.match(f"[{script}]", letter) is not None for letter in letters)
    return inside > len(letters) / 2


def _sentences(answer: str, a: Arguments) -> bool:
    return _relates(count_sentences(answer), a["relation"], int(a["num_sentences"]))


def _words(answer: str, a: Arguments) -> bool:
    return _relates(len(re.findall(r"\w+", answer)), a["relation"], int(a["num_words"]))


def _paragraphs(answer: str, a: Arguments) -> bool:
    """Paragraphs are parted by ***; empty ones at either end do not count, an empty one between is an error."""
    parts = [part.strip() for part in re.split(r"\s?\*\*\*\s?", answer)]
    inner = parts[bool(not parts[0]) : len(parts) - bool(len(parts) > 1 and not parts[-1])]
    return all(inner) and len(inner) == int(a["num_paragraphs"])


def _first_word(answer: str, a: Arguments) -> bool:
    paragraphs = [part.strip() for part in re.split(r"\n\n", answer) if part.strip()]
    place = int(a["nth_paragraph"]) - 1
    if len(paragraphs) != int(a["num_paragraphs"]) or not 0 <= place < len(paragraphs):
        return False
    word = paragraphs[place].split()[0].lstrip("'\"")
    return re.split(r"[.,?!'\"]", word)[0].lower() == str(a["first_word"]).lower()


def _placeholders(answer: str, a: Arguments) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= int(a["num_placeholders"])


def _postscript(answer: str, a: Arguments) -> bool:
    marker = a["postscript_marker"].strip()
    letters = [re.escape(letter) for letter in marker.replace(".", "").lower()]
    spelled = marker.upper().replace(".", "") in ("PS", "PPS")
    pattern = r"\.\s?".join(letters) if spelled else re.escape(marker.lower())
    return re.search(rf"\s*{pattern}", answer.lower()) is not None


def _bullets(answer: str, a: Arguments) -> bool:
    found = re.findall(r"^\s*(?:\*[^*].*|-.*)$", answer, re.MULTILINE)
    return len(found) == int(a["num_bullets"])


def _constrained(answer: str, a: Arguments) -> bool:
    return any(f"My answer is {word}." in answer for word in ("yes", "no", "maybe"))


def _highlights(answer: str, a: Arguments) -> bool:
    single = [part for part in re.findall(r"\*([^\n*]*)\*", answer) if part.strip()]
    double = [part for part in re.findall(r"\*\*([^\n*]*)\*\*", answer) if part.strip()]
    return len(single) + len(double) >= int(a["num_highlights"])


def _sections(answer: str, a: Arguments) -> bool:
    found = re.findall(rf"\s?{re.escape(a['section_spliter'].strip())}\s?\d+\s?", answer)
    return len(found) >= int(a["num_sections"])


def _json(answer: str, a: Arguments) -> bool:
    text = re.sub(r"^```(?:json)?|```$", "", answer.strip(), flags=re.IGNORECASE).strip()
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _title(answer: str, a: Arguments) -> bool:
    return any(title.strip("<> ") for title in re.findall(r"<<[^\n]+>>", answer))


def _two_responses(answer: str, a: Arguments) -> bool:
    parts = [part.strip() for part in answer.split("******")]
    filled = [part for part in parts if part]
    return all(parts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def _repeat_prompt(answer: str, a: Arguments) -> bool:
    return answer.strip().lower().startswith(str(a["prompt_to_repeat"]).strip().lower())


def _end(answer: str, a: Arguments) -> bool:
    return answer.strip().strip('"').lower().endswith(str(a["end_phrase"]).strip().lower())


def _quotation(answer: str, a: Arguments) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def _capital_words(answer: str, a: Arguments) -> bool:
    found = sum(word.isupper() for word in re.findall(r"[\w'-]+", answer))
    return _relates(found, a["capital_relation"], int(a["capital_frequency"]))


CHECKS: Mapping[str, Check] = {
    "keywords:existence": _existence,
    "keywords:forbidden_words": _forbidden,
    "keywords:frequency": _frequency,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_words": _words,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda answer, a: answer.isupper(),
    "change_case:english_lowercase": lambda answer, a: answer.islower(),
    "punctuation:no_comma": lambda answer, a: "," not in answer,
}
"""Name -> check; the names and their arguments are those of the public files."""
