"""An answer as it is sent, in the places in which the responses were shown, and as a vote on the responses listed."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from boresight.feedback.human_labels import Verdict, Vote
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.settings import Settings

Answer = Mapping[str, Any]
"""Of a pair: {"preference": -3 … 3}: below 0 the first shown is better (3 steps: slightly, clearly, much), 0 is a tie.
Of more responses: {"ranks": [1, 2, 2, …]}: the rank of each place, 1 the best. Of both: {"verdict": "both_bad"} or
"cannot_judge" instead. And, where wanted: `criteria` {name: -3 … 3}, `flags` {place: [flag]}, `comment`,
`edited` {"place", "text"}, `seconds` of work. Places count from 0."""

KEYS = ("verdict", "preference", "ranks", "criteria", "flags", "comment", "edited", "seconds")
STEPS = range(-3, 4)
LONGEST_TEXT = 200_000
LONGEST_COMMENT = 10_000


def shown_order(seed: int, task_key: str, person_id: int, count: int) -> list[int]:
    """Place on the screen -> response, drawn for this task and person alone, whoever else is shown it and when."""
    draws = [hashlib.sha256(f"{seed}\0{task_key}\0{person_id}\0{n}".encode()).digest() for n in range(count)]
    return sorted(range(count), key=draws.__getitem__)


def vote_of(answer: Answer, shown: Sequence[int], settings: Settings, *, elapsed: float) -> dict[str, Any]:
    """The vote, as JSON, on the responses as listed. `elapsed` bounds the seconds that a client may claim.

    Raises RefusedError, naming the key, for an answer that does not fit the task.
    """
    if unknown := [key for key in answer if key not in KEYS]:
        raise _bad(unknown[0], answer[unknown[0]], f"no such key; known are {', '.join(KEYS)}")
    verdict, ranks, strength = _preference(answer, shown)
    sign = 1 if list(shown) == sorted(shown) else -1
    criteria = _mapping(answer, "criteria")
    names = {one["name"] for one in settings.criteria}
    for name, step in criteria.items():
        if name not in names or not _is_step(step) or len(shown) != 2:
            raise _bad("criteria", {name: step}, f"of a pair -3 to 3 by one of {sorted(names) or 'no criteria'}")
    vote: dict[str, Any] = {"verdict": verdict, "ranks": ranks, "seconds": _seconds(answer, elapsed)}
    if strength is not None:
        vote["strength"] = strength
    if criteria:
        vote["criteria"] = {name: sign * step for name, step in criteria.items()}
    if flags := _flags(answer, shown, settings):
        vote["flags"] = flags
    if answer.get("edited") is not None:
        vote["edited"] = _edited(answer["edited"], shown)
    return vote


def comment_of(answer: Answer) -> str:
    """What the annotator added in words; an empty text where nothing was."""
    comment = answer.get("comment") or ""
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT:
        raise _bad("comment", str(comment)[:40], f"a text of at most {LONGEST_COMMENT:,} characters")
    return comment


def vote_from(body: Mapping[str, Any], annotator: str, comment: str = "") -> Vote:
    """The vote that the body of an answer's event holds."""
    vote = body["vote"]
    edited = vote.get("edited")
    return Vote(
        annotator=annotator,
        verdict=vote["verdict"],
        ranks=tuple(vote["ranks"]),
        strength=vote.get("strength"),
        criteria=vote.get("criteria", {}),
        flags={int(number): tuple(flags) for number, flags in vote.get("flags", {}).items()},
        comment=comment,
        edited=(edited["response"], edited["text"]) if edited else None,
        shown=tuple(body["shown"]),
        seconds=vote["seconds"],
    )


def known_answer(value: Any, count: int) -> dict[str, Any]:
    """A gold answer or a suggestion of a file as {"verdict", "ranks"}: the number of the best response (from 1), "tie",
    "both_bad", or the ranks of all."""
    if value in ("tie", "both_bad"):
        return {"verdict": value, "ranks": [1] * count}
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= count:
        return {"verdict": "ranked", "ranks": [1 if n + 1 == value else 2 for n in range(count)]}
    if isinstance(value, list) and len(value) == count and all(_is_rank(rank, count) for rank in value):
        return {"verdict": "ranked" if len(set(value)) > 1 else "tie", "ranks": value}
    raise _bad("answer", value, f'the best response (1 to {count}), "tie", "both_bad" or {count} ranks')


def is_right(vote: Mapping[str, Any], gold: Mapping[str, Any]) -> bool:
    """Whether a vote orders every two responses as the known answer does; what that leaves equal in a ranking of more
    than two may stand in any order. Both bad is another answer than a tie."""
    if vote["verdict"] == "cannot_judge" or (vote["verdict"] == "both_bad") != (gold["verdict"] == "both_bad"):
        return False
    known, given = gold["ranks"], vote["ranks"]
    if len(set(known)) == 1:
        return len(set(given)) == 1
    return all(given[i] < given[j] for i in range(len(known)) for j in range(len(known)) if known[i] < known[j])


def as_shown(known: Mapping[str, Any], shown: Sequence[int]) -> dict[str, Any]:
    """A known answer or a suggestion in the places on the screen."""
    return {**known, "ranks": [known["ranks"][response] for response in shown]}


def _preference(answer: Answer, shown: Sequence[int]) -> tuple[Verdict, list[int], int | None]:
    given = [key for key in ("verdict", "preference", "ranks") if answer.get(key) is not None]
    expected = "preference" if len(shown) == 2 else "ranks"
    if len(given) != 1 or given[0] not in ("verdict", expected):
        raise _bad(given[-1] if given else expected, given and answer[given[-1]], f'either "{expected}" or "verdict"')
    if given == ["verdict"]:
        verdict = answer["verdict"]
        if verdict not in ("tie", "both_bad", "cannot_judge"):
            raise _bad("verdict", verdict, "tie, both_bad or cannot_judge")
        return verdict, [] if verdict == "cannot_judge" else [1] * len(shown), None
    if expected == "preference":
        step = answer["preference"]
        if not _is_step(step):
            raise _bad("preference", step, "a whole number from -3 to 3")
        by_place = [1, 1] if step == 0 else [1, 2] if step < 0 else [2, 1]
        return ("ranked" if step else "tie"), _listed(by_place, shown), abs(step) or None
    ranks = answer["ranks"]
    if not isinstance(ranks, list) or len(ranks) != len(shown) or not all(_is_rank(r, len(shown)) for r in ranks):
        raise _bad("ranks", ranks, f"{len(shown)} whole numbers from 1 to {len(shown)}")
    order = sorted(set(ranks))
    dense = [order.index(rank) + 1 for rank in ranks]  # 1, 3, 3 says what 1, 2, 2 says
    return ("ranked" if len(order) > 1 else "tie"), _listed(dense, shown), None


def _listed(by_place: Sequence[int], shown: Sequence[int]) -> list[int]:
    ranks = [0] * len(shown)
    for place, response in enumerate(shown):
        ranks[response] = by_place[place]
    return ranks


def _flags(answer: Answer, shown: Sequence[int], settings: Settings) -> dict[str, list[str]]:
    flags = {}
    for place, marks in _mapping(answer, "flags").items():
        response = shown[_place(place, shown, "flags")]
        if not isinstance(marks, list) or not all(mark in settings.flags for mark in marks):
            raise _bad("flags", marks, f"a list of {', '.join(settings.flags) or 'nothing'}")
        if marks:
            flags[str(response)] = sorted(set(marks))
    return flags


def _edited(value: Any, shown: Sequence[int]) -> dict[str, Any]:
    text = value.get("text") if isinstance(value, Mapping) else None
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
        raise _bad("edited", str(value)[:40], f'{{"place", "text"}} with 1 to {LONGEST_TEXT:,} characters')
    return {"response": shown[_place(value.get("place"), shown, "edited")], "text": text}


def _seconds(answer: Answer, elapsed: float) -> float:
    given = answer.get("seconds")
    if given is None:
        return elapsed
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0:
        raise _bad("seconds", given, "a number, 0 or more")
    return min(float(given), elapsed)


def _place(value: Any, shown: Sequence[int], key: str) -> int:
    """A place on the screen; JSON objects have texts for keys."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 3 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(shown):
        raise _bad(key, value, f"a place from 0 to {len(shown) - 1}")
    return number


def _mapping(answer: Answer, key: str) -> Mapping[str, Any]:
    value = answer.get(key) or {}
    if not isinstance(value, Mapping):
        raise _bad(key, value, "an object")
    return value


def _is_step(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in STEPS


def _is_rank(value: Any, count: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= count


def _bad(key: str, found: Any, expected: str) -> RefusedError:
    return RefusedError("bad_answer", f'the answer\'s "{key}" is {found!r}; expected {expected}.')
