"""How a project is labelled: fixed words of one frozen record, kept in the database as JSON."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args

from boresight.feedback.rubric import Rubric
from boresight.web.annotation.refused import RefusedError

Mode = Literal["blind", "triage"]
Route = Literal["order", "uncertainty", "dispute"]
FLAGS = ("hallucination", "harm", "personal_data", "wrong_language")
MOST_OVERLAP = 100
MOST_ASKED, LONGEST_NAME = 50, 200  # what an answer may bring of criteria and flags; see `pages.bodies`


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a project is labelled."""

    seed: int = 0  # draws the order of responses, the tasks labelled twice and the places of gold questions
    overlap: int = 1  # answers wanted of every task
    more_share: float = 0.0  # share of the tasks, drawn by the seed, that get one answer more
    criteria: tuple[Mapping[str, str], ...] = ()  # {name, question}, asked one by one beside the preference
    flags: tuple[str, ...] = FLAGS
    guidelines: str = ""  # Markdown
    lease_seconds: float = 900.0  # a task that nobody saved a draft of for so long goes to others
    gold_every: int = 0  # one hidden question with a known answer in about so many; 0: none
    training_share: float = 0.0  # of the training tasks, the share to get right before real work
    mode: Mode = "blind"  # blind: AI suggestions are hidden until the vote; triage: people approve or correct them
    route: Route = "order"  # which tasks go first, among those of one priority
    deadline: float | None = None  # seconds since 1970; after it no task is given out

    def __post_init__(self) -> None:
        problems = [message for holds, message in _rules(self) if not holds]
        if problems:
            raise RefusedError("bad_request", "settings: " + "; ".join(problems) + ".")


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings of a JSON object. Raises RefusedError for an unknown key, naming the nearest, and for a bad value."""
    known = {spec.name for spec in fields(Settings)}
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(sorted(known))}."
            raise RefusedError("bad_request", f'settings: unknown key "{key}"; {hint}')
    lists = {key: tuple(values[key]) for key in ("criteria", "flags") if isinstance(values.get(key), Sequence)}
    try:
        return Settings(**{**values, **lists})
    except TypeError as error:
        raise RefusedError("bad_request", f"settings: a value is of another type than expected ({error}).") from error


def settings_json(settings: Settings) -> dict[str, Any]:
    """The settings as they are stored and shown."""
    return asdict(settings) | {"criteria": [dict(one) for one in settings.criteria], "flags": list(settings.flags)}


def criteria_of(rubric: Rubric) -> tuple[Mapping[str, str], ...]:
    """The questions of a rubric file, which people are asked as a judge would be."""
    return tuple({"name": one.name, "question": one.question} for one in rubric.criteria)


def criteria_of_lines(text: str) -> tuple[Mapping[str, str], ...]:
    """Criteria as a form has them, one a line: "helpful: Which response is more helpful?"."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, question = (part.strip() for part in line.partition(":"))
        if not (name and colon and question):
            raise RefusedError("bad_request", f"criteria: {line[:80]!r}; expected NAME: QUESTION, one a line.")
        found.append({"name": name, "question": question})
    return tuple(found)


def lines_of_criteria(settings: Settings) -> str:
    """The same way back."""
    return "\n".join(f"{one['name']}: {' '.join(one['question'].split())}" for one in settings.criteria)


def flags_of_lines(text: str) -> tuple[str, ...]:
    """Flags as a form has them, one a line; a flag twice is one."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, text.splitlines()))))


def parse_overlap(text: str) -> tuple[int, float]:
    """`3`: three answers a task. `30%`: one answer, and a second one of three tasks in ten, drawn by the seed."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number)
        whole = not text.strip().endswith("%")
        if whole and value != int(value):
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise RefusedError("bad_request", f"overlap {text!r}: expected a whole number such as 2, or 30%.") from error
    if not (1 <= value <= MOST_OVERLAP if whole else 0 <= value <= 100):
        raise RefusedError("bad_request", f"overlap {text!r}: expected 1 to {MOST_OVERLAP}, or 0% to 100%.")
    return (int(value), 0.0) if whole else (1, value / 100)


def _rules(settings: Settings) -> list[tuple[bool, str]]:
    """What must hold of each setting, and what to say where it does not."""
    names = [one.get("name") for one in settings.criteria]
    return [
        (1 <= settings.overlap <= MOST_OVERLAP, f"overlap is {settings.overlap!r}, expected 1 to {MOST_OVERLAP}"),
        (0 <= settings.more_share <= 1, f"more_share is {settings.more_share!r}, expected 0 to 1"),
        (settings.gold_every >= 0, f"gold_every is {settings.gold_every!r}, expected 0 or more"),
        (0 <= settings.training_share <= 1, f"training_share is {settings.training_share!r}, expected 0 to 1"),
        (1 <= settings.lease_seconds < math.inf, f"lease_seconds is {settings.lease_seconds!r}, expected 1 or more"),
        (settings.mode in get_args(Mode), f"mode is {settings.mode!r}, expected {' or '.join(get_args(Mode))}"),
        (settings.route in get_args(Route), f"route is {settings.route!r}, expected {' or '.join(get_args(Route))}"),
        (
            all(names) and len(set(names)) == len(names) and all(one.get("question") for one in settings.criteria),
            "each of the criteria needs a name of its own and a question",
        ),
        (all(isinstance(flag, str) and flag for flag in settings.flags), "flags are texts that are not empty"),
        (
            max(len(settings.criteria), len(settings.flags)) <= MOST_ASKED
            and all(len(name) <= LONGEST_NAME for name in (*filter(None, names), *settings.flags)),
            f"at most {MOST_ASKED} criteria and {MOST_ASKED} flags, with names of at most {LONGEST_NAME} characters",
        ),
    ]
