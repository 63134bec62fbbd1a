"""The records that travel between stages: frozen data, no behaviour.

On disk each is one JSON object a line (`design` names are field names); `boresight.data.jsonl` reads and writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Source = Literal["human", "ai", "hybrid", "imported"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str


Messages = tuple[Message, ...]


UNCOVERED = "uncovered"
"""Key of a prompt's meta: it is unlike all that its reward model has learned from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A conversation that waits for the assistant. `kind` names its stratum; `expect` is what a rule judge holds
    the response against (see `boresight.feedback.rule_judge`), absent on real data."""

    id: str
    messages: Messages
    kind: str = ""
    expect: Mapping[str, Any] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """A conversation to imitate; it ends with an assistant message."""

    id: str
    messages: Messages
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response a model gave to a prompt. `stopped`: it ended by itself, not at the length limit. `scores`: where it
    is the best of several, the rewards of all of them; its own is the highest. `revision`: where it was rewritten, the
    `original`, the `critique`, the `principle` and who wrote them (`by`); `logp_sum` is then still the original's."""

    id: str
    prompt: Prompt
    text: str
    model: str
    temperature: float
    stopped: bool
    tokens: int
    logp_sum: float
    scores: tuple[float, ...] = ()
    revision: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferencePair:
    """Of two responses to one prompt the chosen one was preferred. `p_chosen` is the soft label (0..1)."""

    id: str
    prompt: Messages
    chosen: Messages
    rejected: Messages
    p_chosen: float = 1.0
    kind: str = ""
    source: str = "imported"
    strength: float | None = None
    annotators: tuple[str, ...] = ()
    n_votes: int | None = None
    criteria: Mapping[str, Any] = field(default_factory=dict)
    ranking_id: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedResponse:
    """A response that was called good or bad by itself, not against another one."""

    id: str
    prompt: Messages
    response: Messages
    desirable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """K responses to one prompt in order of preference: a lower rank is better, equal ranks are a tie, and None stands
    where nobody ranked the response. Written as a record it is read again as all its pairs (`boresight.data.votes`)."""

    id: str
    prompt: Messages
    responses: tuple[str, ...]
    ranks: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's verdict on two responses shown in one order: 1 the first is better, 0 the second, 0.5 a tie."""

    prompt_id: str
    first: str
    second: str
    verdict: float
    judge: str
    first_score: float | None = None
    second_score: float | None = None
