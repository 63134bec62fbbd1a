"""What a policy is paid by: the forms that `reward` of a `ppo` or `rloo` stage takes.

A stage name alone is a reward model. A mapping with a `kind` is one of the sources below, and a list of them is their
weighted sum.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
)

from boresight.config.judge_sections import LocalModelJudge, OpenAIJudge
from boresight.config.section_bases import Section


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"no regular expression ({error}); correct the pattern") from error
    return pattern


def _is_address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("expected an address such as http://127.0.0.1:8000")
    return url.rstrip("/")


Address = Annotated[str, AfterValidator(_is_address)]
Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]


class RewardSection(Section):
    """What every source has."""

    kind: str
    weight: float = 1.0
    """Factor of the score, of which the parts of a list are summed; it may be negative."""


class ModelReward(RewardSection):
    """A reward model, which reads texts in its own template: its tokenizer may be another than the policy's."""

    kind: Literal["reward_model"]
    model: str
    """`reward_model` stage."""


class EnsembleReward(RewardSection):
    """Several reward models, so that what one of them likes by mistake pays less (Coste et al. 2023). Members of one
    base and one set of pairs err alike; vary base, data or seed."""

    kind: Literal["ensemble"]
    models: list[str] = Field(min_length=2)
    """`reward_model` stages. Scores are combined as they come, so the members should be trained alike in scale."""
    combine: Literal["mean", "min", "mean_minus_deviation"] = "mean_minus_deviation"
    """mean: the average. min: the lowest (worst-case optimisation). mean_minus_deviation: the average less
    `deviation_weight` times the standard deviation over the members."""
    deviation_weight: NonNegativeFloat = 1.0
    """How much disagreement costs, for `mean_minus_deviation`."""


class RulesReward(RewardSection):
    """The rules that stand in each prompt's `expect` (see `boresight.feedback.rule_judge`): the sum of what hits."""

    kind: Literal["rules"]


class AnswerReward(RewardSection):
    """1 where the response gives the answer that stands in its prompt's `expect.answer`, 0 elsewhere. Runs of white
    space count as one space."""

    kind: Literal["answer"]
    extract: Pattern | None = None
    """Regular expression that finds the answer in a response: its last match counts, and of that the first group if it
    has one. By default the whole response is the answer."""
    ignore_case: bool = False
    """Take `Paris` for `paris`."""


class MatchReward(RewardSection):
    """1 where a regular expression matches the response, 0 elsewhere: a form that is to be kept."""

    kind: Literal["match"]
    pattern: Pattern
    """Regular expression of Python."""
    where: Literal["anywhere", "whole"] = "anywhere"
    """whole: it must match all of the response, white space at both ends left out."""


class LengthReward(RewardSection):
    """1 where the response has a number of words within bounds, 0 elsewhere."""

    kind: Literal["length"]
    min_words: NonNegativeInt = 0
    """Fewest words."""
    max_words: PositiveInt | None = None
    """Most words; by default there is no limit."""


class ServiceReward(RewardSection):
    """A scoring service over HTTP (docs/ppo.md tells the contract). Where it stays out of reach, the stage is saved as
    it is and stops; the same command goes on from there."""

    kind: Literal["service"]
    url: Address
    """Address without the path: `http://127.0.0.1:8000`. The service is asked `GET /health` and `POST /score`."""
    batch_size: PositiveInt = 64
    """Responses in one request."""
    timeout_seconds: PositiveFloat = 60.0
    """Time for one request."""
    patience_seconds: NonNegativeFloat = 300.0
    """How long a request that fails is tried again (waits of 1 to 30 seconds, or what Retry-After says)."""


class JudgeReward(RewardSection):
    """A language model scores each response by itself, by a rubric, from 1 to 9 (direct RLAIF; Lee et al. 2023,
    arXiv:2309.00267): a local model by the mean over the probabilities of the scores, an endpoint by what it says, or
    the mean of `samples` replies. What was answered is kept, so that a resumed step asks nothing twice. Where an
    endpoint stays out of reach, the stage is saved as it is and stops; the same command goes on from there."""

    kind: Literal["judge"]
    judge: Annotated[OpenAIJudge | LocalModelJudge, Field(discriminator="kind")]
    """`{kind: openai, base_url: URL, model: NAME}` or `{kind: local_model, path: FOLDER}`, with their settings but
    for `clip`, since a score is no label."""
    on_unreadable: Literal["stop", "middle"] = "stop"
    """A response whose score cannot be read, or of which the endpoint refuses to speak: the stage is saved and stops;
    or it is paid the middle score, 5, and counted."""


RewardPart = Annotated[
    ModelReward
    | EnsembleReward
    | RulesReward
    | AnswerReward
    | MatchReward
    | LengthReward
    | ServiceReward
    | JudgeReward,
    Field(discriminator="kind"),
]


def _form(value: Any) -> str:
    """Which form a reward has, so that only faults of that one are told."""
    if isinstance(value, list):
        return "parts"
    return "part" if isinstance(value, dict | RewardSection) else "stage"


Reward = Annotated[
    Annotated[str, Tag("stage")]
    | Annotated[RewardPart, Tag("part")]
    | Annotated[list[RewardPart], Field(min_length=1), Tag("parts")],
    Discriminator(_form),
]

REWARD_CLASSES: dict[str, type[RewardSection]] = {
    "reward_model": ModelReward, "ensemble": EnsembleReward, "rules": RulesReward, "answer": AnswerReward,
    "match": MatchReward, "length": LengthReward, "service": ServiceReward, "judge": JudgeReward,
}  # fmt: skip


def reward_parts(reward: Reward) -> list[RewardSection]:
    """The sources that are summed, a stage name as the reward model that it is."""
    if isinstance(reward, str):
        return [ModelReward(kind="reward_model", model=reward)]
    return list(reward) if isinstance(reward, list) else [reward]


def reward_models(reward: Reward) -> list[str]:
    """The reward-model stages that a reward names, each once, in order."""
    return models_of(reward_parts(reward))


def models_of(parts: Iterable[RewardSection]) -> list[str]:
    """The reward-model stages that sources name, each once, in order."""
    names: dict[str, None] = {}
    for part in parts:
        if isinstance(part, ModelReward):
            names[part.model] = None
        elif isinstance(part, EnsembleReward):
            names.update(dict.fromkeys(part.models))
    return list(names)
