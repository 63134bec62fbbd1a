"""Conversations as token ids with a response mask.

Each segment of a conversation is tokenised on its own and the ids are joined. The boundary between prompt and
response is then the boundary between two tokens, and the ids of a prompt are the same whether a response follows
(training) or is to be sampled: tokenising the joined text could merge across it ("\\n" + "\\n" -> "\\n\\n").
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Generic, Literal, TypeVar

from boresight.data.chat_template import ChatFormat, Segment
from boresight.data.preferences import pair_weight
from boresight.errors import DataError, ModelError
from boresight.records import Demonstration, Message, Messages, PreferencePair, RatedResponse
from boresight.storage import hash_text

T = TypeVar("T")
OnTooLong = Literal["error", "drop"]
PROBE_DIALOGUE = (
    Message("user", "Which colour has the sky?"),
    Message("assistant", "Blue, by day."),
    Message("user", "And at night?\nIn one word."),
    Message("assistant", "Black."),
)


class TooLongError(DataError):
    """A conversation with more tokens than the limit; it is never truncated."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation. `response_mask[t]` is True where `input_ids[t]` is trained; both have one entry a token."""

    input_ids: list[int]
    response_mask: list[bool]
    id: str = ""


@dataclass(frozen=True, slots=True)
class EncodedPair:
    """A preference pair: two responses to one prompt, each ending with the stop token."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]
    id: str = ""
    p_chosen: float = 1.0
    strength: float | None = None
    ranking_id: str | None = None
    weight: float = 1.0  # of its loss

    @property
    def tokens(self) -> int:
        """Tokens of the longer of the two conversations: what length limits and length buckets look at."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))


@dataclass(frozen=True, slots=True)
class EncodedResponse:
    """A response with a verdict of its own; it ends with the stop token."""

    prompt_ids: list[int]
    response_ids: list[int]
    desirable: bool
    id: str = ""

    @property
    def tokens(self) -> int:
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True)
class EncodedSet(Generic[T]):
    """The rows within the length limit, and how many were left out for which reason."""

    rows: list[T]
    dropped: dict[str, int] = field(default_factory=dict)


def encode_conversation(
    chat_format: ChatFormat, messages: Messages, *, record_id: str = "", max_length: int | None = None
) -> Encoded:
    """Token ids and response mask of a whole conversation.

    Raises TooLongError over `max_length` tokens, DataError where no assistant message is in it or a message cannot
    be written, ModelError where the template breaks its rules.
    """
    input_ids: list[int] = []
    mask: list[bool] = []
    segments: list[Segment] = _located(record_id, lambda: chat_format.segments(messages))
    for place, (_, trained) in enumerate(segments):
        ids = _encode(chat_format, segments, place)
        input_ids += ids
        mask += [trained] * len(ids)
    if not any(mask):
        roles = ", ".join(m.role for m in messages) or "none"
        raise DataError(
            f"{_prefix(record_id)}the conversation has no assistant message (roles: {roles}), so there is nothing to "
            "train on. Give it one, or leave the record out."
        )
    _check_length(len(input_ids), max_length, record_id, "conversation")
    return Encoded(input_ids, mask, record_id)


def encode_prompt(
    chat_format: ChatFormat, messages: Messages, *, record_id: str = "", max_length: int | None = None
) -> list[int]:
    """Token ids of a prompt, up to where the assistant's answer starts; errors as for `encode_conversation`."""
    segments: list[Segment] = _located(record_id, lambda: chat_format.prompt_segments(messages))
    ids = [token for place in range(len(segments)) for token in _encode(chat_format, segments, place)]
    _check_length(len(ids), max_length, record_id, "prompt")
    return ids


def encode_response(chat_format: ChatFormat, prompt: Messages, response: str, *, record_id: str = "") -> list[int]:
    """Token ids of one response to a prompt, the stop token included."""
    messages = (*prompt, Message("assistant", response))
    segments: list[Segment] = _located(record_id, lambda: chat_format.segments(messages))
    return _encode(chat_format, segments, max(place for place, (_, trained) in enumerate(segments) if trained))


def encode_pair_response(chat_format: ChatFormat, prompt: Messages, response: str, *, record_id: str = "") -> list[int]:
    """Token ids of a prompt with one response, ending with the stop token: what a reward model scores."""
    response_ids = encode_response(chat_format, prompt, response, record_id=record_id)
    return encode_prompt(chat_format, prompt, record_id=record_id) + response_ids


def encode_pair(chat_format: ChatFormat, pair: PreferencePair, *, max_length: int | None = None) -> EncodedPair:
    """Token ids of a preference pair; both responses are one assistant message.

    Raises TooLongError where prompt and longer response have over `max_length` tokens, and the errors of
    `encode_conversation`.
    """
    prompt_ids = encode_prompt(chat_format, pair.prompt, record_id=pair.id)
    chosen, rejected = (
        encode_response(chat_format, pair.prompt, _answer(messages, name, pair.id), record_id=pair.id)
        for name, messages in (("chosen", pair.chosen), ("rejected", pair.rejected))
    )
    encoded = EncodedPair(prompt_ids, chosen, rejected, pair.id, pair.p_chosen, pair.strength, pair.ranking_id)
    _check_length(encoded.tokens, max_length, pair.id, "prompt with its longer response")
    return encoded


def encode_rated(chat_format: ChatFormat, rated: RatedResponse, *, max_length: int | None = None) -> EncodedResponse:
    """Token ids of a rated response, one assistant message; errors as for `encode_pair`."""
    prompt_ids = encode_prompt(chat_format, rated.prompt, record_id=rated.id)
    text = _answer(rated.response, "response", rated.id)
    response_ids = encode_response(chat_format, rated.prompt, text, record_id=rated.id)
    encoded = EncodedResponse(prompt_ids, response_ids, rated.desirable, rated.id)
    _check_length(encoded.tokens, max_length, rated.id, "prompt with its response")
    return encoded


def encode_demonstrations(
    chat_format: ChatFormat,
    demonstrations: Iterable[Demonstration],
    *,
    max_length: int | None = None,
    on_too_long: OnTooLong = "error",
) -> EncodedSet[Encoded]:
    """Encode all of them; those over `max_length` tokens raise TooLongError, or are left out and counted."""
    jobs = (
        lambda d=d: encode_conversation(chat_format, d.messages, record_id=d.id, max_length=max_length)
        for d in demonstrations
    )
    return _encode_all(jobs, on_too_long)


def encode_pairs(
    chat_format: ChatFormat,
    pairs: Iterable[PreferencePair],
    *,
    max_length: int | None = None,
    on_too_long: OnTooLong = "error",
    weighted: bool = False,
) -> EncodedSet[EncodedPair]:
    """Encode all of them; those over `max_length` tokens raise TooLongError, or are left out and counted. Each weighs
    1, or, if `weighted`, what its record says (see `preferences.pair_weight`)."""

    def encode(pair: PreferencePair) -> EncodedPair:
        encoded = encode_pair(chat_format, pair, max_length=max_length)
        return replace(encoded, weight=pair_weight(pair)) if weighted else encoded

    return _encode_all((partial(encode, pair) for pair in pairs), on_too_long)


def encode_all_rated(
    chat_format: ChatFormat,
    rated: Iterable[RatedResponse],
    *,
    max_length: int | None = None,
    on_too_long: OnTooLong = "error",
) -> EncodedSet[EncodedResponse]:
    """Encode all of them; those over `max_length` tokens raise TooLongError, or are left out and counted."""
    jobs = (lambda item=item: encode_rated(chat_format, item, max_length=max_length) for item in rated)
    return _encode_all(jobs, on_too_long)


def scored_text_probe(chat_format: ChatFormat) -> dict[str, str]:
    """What a scorer of texts is given, in short: the ending of a probe conversation, and a hash over its token ids.

    Equal before and after training, or the scorer reads another text than it learnt from.
    """
    *prompt, response = PROBE_DIALOGUE
    ids = encode_pair_response(chat_format, tuple(prompt), response.content)
    return {
        "ending": str(chat_format.tokenizer.decode(ids[-1:])),
        "tokens_sha256": hash_text(" ".join(map(str, ids))),
    }


def probe_mask(chat_format: ChatFormat) -> Encoded:
    """Encode a two-turn dialogue and check what every run rests on; returns it, for showing.

    Each assistant turn is trained from its first token to one stop token at its end and nothing else is; the
    tokenizer adds no BOS of its own and the template writes no two in a row. Raises ModelError otherwise.
    """
    encoded = encode_conversation(chat_format, PROBE_DIALOGUE, record_id="probe dialogue")
    _check_bos(chat_format, encoded.input_ids)
    answers = [m.content for m in PROBE_DIALOGUE if m.role == "assistant"]
    runs = _trained_runs(encoded)
    if len(runs) != len(answers):
        raise ModelError(
            f"{chat_format.name}: {len(runs)} of {len(answers)} assistant turns are trained; expected all."
            " Give the tokenizer a chat template that marks every assistant turn."
        )
    for run, answer in zip(runs, answers, strict=True):
        if run[-1] not in chat_format.stop_token_ids or len(set(run[:-1]) & set(chat_format.stop_token_ids)) > 0:
            raise ModelError(
                f"{chat_format.name}: the trained tokens of an assistant turn are {run}; expected exactly one stop "
                f"token ({chat_format.stop_token_id}, {chat_format.stop_token!r}), the last one. The tokenizer adds or "
                "splits tokens at the end of a text: load it with add_eos_token=False."
            )
        written = str(chat_format.tokenizer.decode(run[:-1]))
        if answer not in written:
            raise ModelError(
                f"{chat_format.name}: the trained tokens of an assistant turn read {written!r}; expected {answer!r}. "
                "The tokenizer does not give back what it was given: check its normaliser and its vocabulary."
            )
    return encoded


def _answer(messages: Messages, name: str, record_id: str) -> str:
    if [m.role for m in messages] != ["assistant"]:
        roles = ", ".join(m.role for m in messages) or "none"
        raise DataError(
            f"{record_id}: {name!r} holds messages of the roles {roles}; a response is one assistant message. Move "
            "what comes before the last assistant message into the prompt, or leave the record out (of pairs: "
            "`on_context_differs: drop`)."
        )
    return messages[0].content


def _check_bos(chat_format: ChatFormat, ids: list[int]) -> None:
    bos, eos = chat_format.tokenizer.bos_token_id, chat_format.tokenizer.eos_token_id
    if bos is None:
        return
    text = "".join(part for part, _ in chat_format.segments(PROBE_DIALOGUE))
    written, found = text.count(str(chat_format.tokenizer.bos_token)), ids.count(bos)
    if found > written:
        raise ModelError(
            f"{chat_format.name}: the tokenizer adds {found - written} BOS tokens of its own to a rendered dialogue, "
            f"which has {written}: a double BOS. Load it with add_bos_token=False; the template writes BOS."
        )
    doubled = any(pair == (bos, bos) for pair in pairwise(ids))
    if ids[:2] == [bos, bos] or (doubled and bos != eos):
        raise ModelError(
            f"{chat_format.name}: the chat template writes two BOS tokens ({chat_format.tokenizer.bos_token!r}) in a "
            "row, which the model has never seen. Take one out of the template, or set `model.chat_template: chatml`."
        )


def _trained_runs(encoded: Encoded) -> list[list[int]]:
    """The ids of each stretch of trained tokens, in order."""
    runs: list[list[int]] = []
    before = False
    for token, trained in zip(encoded.input_ids, encoded.response_mask, strict=True):
        if trained and not before:
            runs.append([])
        if trained:
            runs[-1].append(token)
        before = trained
    return runs


def _encode_all(jobs: Iterable[Callable[[], T]], on_too_long: OnTooLong) -> EncodedSet[T]:
    encoded: EncodedSet[T] = EncodedSet([])
    for job in jobs:
        try:
            encoded.rows.append(job())
        except TooLongError:
            if on_too_long == "error":
                raise
            encoded.dropped["too_long"] = encoded.dropped.get("too_long", 0) + 1
    return encoded


def _encode(chat_format: ChatFormat, segments: Sequence[Segment], place: int) -> list[int]:
    """Ids of the segment at `place`."""
    return chat_format.parts.ids(segments[place][0], before=segments[place - 1][0] if place else "")


def _check_length(found: int, limit: int | None, record_id: str, what: str) -> None:
    if limit is not None and found > limit:
        raise TooLongError(
            f"{_prefix(record_id)}the {what} has {found} tokens, the limit is {limit}. Shorten it, raise the limit "
            "(`max_length`, at most the model's context), or set `on_too_long: drop` to leave such records out (the "
            "count is reported); nothing is ever truncated."
        )


def _located(record_id: str, build: Callable[[], T]) -> T:
    """Name the record in the errors of `build`, which knows only its messages."""
    try:
        return build()
    except (DataError, ModelError) as error:
        raise type(error)(f"{_prefix(record_id)}{error}") from error


def _prefix(record_id: str) -> str:
    return f"{record_id}: " if record_id else ""
