"""What requests may hold: every field has its type and its bounds, so that nothing else gets as far as the store."""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from boresight.web.annotation.answers import LONGEST_COMMENT, LONGEST_TEXT
from boresight.web.annotation.projects import MOST_RESPONSES
from boresight.web.annotation.queue import LONGEST_KEY

LARGEST_ID = 2**31 - 1


def _without_nul(text: str) -> str:
    """PostgreSQL's texts hold none."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


Id = Annotated[int, Path(ge=1, le=LARGEST_ID)]
Plain = AfterValidator(_without_nul)
Name = Annotated[str, Field(min_length=1, max_length=200), Plain]
Step = Annotated[int, Field(strict=True, ge=-3, le=3)]
Rank = Annotated[int, Field(strict=True, ge=1, le=MOST_RESPONSES)]
Place = Annotated[int, Field(strict=True, ge=0, lt=MOST_RESPONSES)]
PlaceKey = Annotated[str, Field(pattern=r"^[0-8]$")]
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Edited(Strict):
    place: Place
    text: Annotated[str, Field(max_length=LONGEST_TEXT), Plain]


class Answer(Strict):
    """An answer by places on the screen, counted from 0; see `answers.Answer`. A draft may be any part of one, with
    null for the places that have no rank yet."""

    verdict: Literal["tie", "both_bad", "cannot_judge"] | None = None
    preference: Step | None = None
    ranks: Annotated[list[Rank | None], Field(max_length=MOST_RESPONSES)] | None = None
    criteria: Annotated[dict[Name, Step], Field(max_length=50)] | None = None
    flags: dict[PlaceKey, Annotated[list[Name], Field(max_length=50)]] | None = None
    comment: Annotated[str, Field(max_length=LONGEST_COMMENT), Plain] | None = None
    edited: Edited | None = None
    seconds: Seconds | None = None

    def plain(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class AnswerIn(Strict):
    """`key` is drawn by the client for each answer: one that is sent again with the same key counts once."""

    key: Annotated[str, Field(min_length=1, max_length=LONGEST_KEY), Plain]
    answer: Answer


class DraftIn(Strict):
    """An answer that is not sent yet."""

    answer: Answer


class SkipIn(Strict):
    """Why a task is left to others."""

    reason: Annotated[str, Field(max_length=LONGEST_COMMENT), Plain] = ""
