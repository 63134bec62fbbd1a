"""A local model as judge: the answers' log-probabilities at the place where the model would begin to answer.

Each answer (A, B, tie; 1 to 9) is written as an assistant's turn would be in training, with and without a space before
it, as tokenizers and templates differ in which of them a model has seen; an answer has the probability of all its
tokens, over both writings. Tokens are those of `encode_response`, so that a tokenizer that puts a mark before the first
word, or cuts an answer into several tokens, is compared with itself.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from boresight.data.batches import pad_rows
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import encode_prompt, encode_response
from boresight.errors import JudgeError, ModelError
from boresight.feedback.chat_endpoint import Messages, Reply
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import Estimate, Failure, Ledger, Outcome, Prices, Question
from boresight.feedback.verdicts import Form
from boresight.models.loading import context_length
from boresight.models.roles import FrozenPolicy, build_frozen_policy
from boresight.records import Message
from boresight.records import Messages as Conversation
from boresight.storage import canonical_json, hash_text, hash_tree

PROBE = (Message("user", "Which is better?"),)
WRITINGS = ("", " ")
"""What may stand before an answer."""


class Scored(NamedTuple):
    """Log-probability of each answer, nats, and the tokens of the prompt."""

    logps: dict[str, float]
    prompt_tokens: int


@dataclass(slots=True)
class LocalJudge:
    """Asks a frozen model; `address` and `content_hash` say which one. Answers are kept as an endpoint's are."""

    policy: FrozenPolicy
    name: str
    address: str
    content_hash: str
    cache: JudgeCache
    batch_size: int = 8
    """Questions in one forward pass."""
    progress: Callable[[int, int, Ledger], None] = lambda done, total, ledger: None
    prices: Prices | None = None
    ledger: Ledger = field(default_factory=Ledger)
    _entered: set[str] = field(default_factory=set)
    _answers: dict[str, dict[str, list[list[int]]]] = field(default_factory=dict)

    def key(self, question: Question) -> str:
        """Hash of all that decides an answer; a model that is not sampled gives every sample the same."""
        return hash_text(canonical_json([self.content_hash, [dict(m) for m in question.messages]]))

    def cost(self) -> float | None:
        """Nobody sends a bill."""
        return None

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        """How many questions are new, and the tokens of their prompts."""
        distinct = {self.key(question): question for question in questions}
        missing = [question for key, question in distinct.items() if self.cache.get(key) is None]
        tokens = sum(len(self._prompt(question.messages)) for question in missing)
        return Estimate(len(missing), len(distinct) - len(missing), tokens, 0)

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """One outcome a question, in order; equal questions are computed once, and those known before not at all."""
        keys = [self.key(question) for question in questions]
        outcomes: dict[str, Outcome] = {}
        missing: dict[str, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            if key not in outcomes and (known := self.cache.get(key)) is not None:
                outcomes[key] = known
                self._enter(key, known, known_before=True)
            elif key not in outcomes:
                missing[key] = question
        for done, (key, outcome) in enumerate(self._computed(missing), 1):
            outcomes[key] = outcome
            if isinstance(outcome, Reply):
                self.cache.put(key, outcome)
                self._enter(key, outcome, known_before=False)
            self.progress(done, len(missing), self.ledger)
        return [outcomes[key] for key in keys]

    def _enter(self, key: str, reply: Reply, *, known_before: bool) -> None:
        if key not in self._entered:
            self._entered.add(key)
            self.ledger.enter(reply)
            self.ledger.known += known_before
            self.ledger.asked += not known_before

    def _computed(self, questions: Mapping[str, Question]) -> Iterator[tuple[str, Outcome]]:
        """Short prompts first, so that a batch holds little padding; what does not fit the context is a failure."""
        prompts = {key: self._prompt(question.messages) for key, question in questions.items()}
        limit = context_length(self.policy.model)
        waiting: list[str] = []
        for key, prompt in sorted(prompts.items(), key=lambda item: len(item[1])):
            longest = max(len(ids) for forms in self._tokens(questions[key]).values() for ids in forms)
            if limit is not None and len(prompt) + longest > limit:
                reason = f"the question has {len(prompt)} tokens, and the context of {self.address} is {limit}"
                yield key, Failure("too_long", reason)
            else:
                waiting.append(key)
        for start in range(0, len(waiting), self.batch_size):
            part = waiting[start : start + self.batch_size]
            scored = answer_logps(self.policy, [(prompts[key], self._tokens(questions[key])) for key in part])
            for key, found in zip(part, scored, strict=True):
                yield key, reply_of(found, _form(questions[key]))

    def _tokens(self, question: Question) -> dict[str, list[list[int]]]:
        form = _form(question)
        if form.key not in self._answers:
            self._answers[form.key] = answer_tokens(self.policy.chat, form)
        return self._answers[form.key]

    def _prompt(self, messages: Messages) -> list[int]:
        return encode_prompt(self.policy.chat, conversation(self.policy.chat, messages))


def build_local_judge(
    path: Path, cache: JudgeCache, *, template: str = "tokenizer", batch_size: int = 8, device: str = "cpu"
) -> LocalJudge:
    """Load the model in a folder to judge, `batch_size` prompts at a time; JudgeError where there is none."""
    if not path.is_dir():
        raise JudgeError(f"{path}: no folder with a model; expected one that transformers loads. Correct the path.")
    policy = build_frozen_policy(path, template, device=device)
    return LocalJudge(policy, path.name, str(path), hash_tree(path), cache, batch_size)


def conversation(chat: ChatFormat, messages: Messages) -> Conversation:
    """Messages as this template can write them: without the model's control tokens in their text, and with what the
    system says at the head of the user's message where the template knows no system."""
    given = tuple(Message(m["role"], chat.without_control_tokens(m["content"])) for m in messages)
    if given[0].role == "system" and len(given) > 1 and not _takes_system(chat):
        return (Message(given[1].role, f"{given[0].content}\n\n{given[1].content}"), *given[2:])
    return given


def answer_tokens(chat: ChatFormat, form: Form) -> dict[str, list[list[int]]]:
    """Token ids of each answer in every way of writing it, without what stands behind it.

    Raises JudgeError where the tokens of one answer are, or begin, those of another.
    """
    found: dict[str, list[list[int]]] = {}
    for answer in form.values:
        ways = [_before_the_end(chat, encode_response(chat, PROBE, before + answer)) for before in WRITINGS]
        found[answer] = [ids for place, ids in enumerate(ways) if ids not in ways[:place]]
    for answer, other in ((a, b) for a in found for b in found if a != b):
        if any(theirs[: len(ids)] == ids for ids in found[answer] for theirs in found[other]):
            raise JudgeError(
                f"{chat.name}: the tokens of the answer {answer!r} begin those of {other!r}, so their probabilities "
                "cannot be told apart. Use a judge with another tokenizer, or serve it and ask it over HTTP."
            )
    return found


@torch.no_grad()
def answer_logps(
    policy: FrozenPolicy, asked: Sequence[tuple[Sequence[int], Mapping[str, Sequence[Sequence[int]]]]]
) -> list[Scored]:
    """For each prompt (token ids) with its answers (see `answer_tokens`) the log-probability of every answer."""
    rows = [
        (number, answer, [*prompt, *ids], len(ids))
        for number, (prompt, answers) in enumerate(asked)
        for answer, ways in answers.items()
        for ids in ways
    ]
    device = next(policy.model.parameters()).device
    input_ids, mask = pad_rows([ids for _, _, ids, _ in rows])
    starts = torch.tensor([len(ids) - length for _, _, ids, length in rows])[:, None]
    mask &= torch.arange(input_ids.shape[1])[None] >= starts
    sums = policy.logps(input_ids.to(device), mask.to(device)).logp.double().sum(dim=1).tolist()
    ways: list[dict[str, list[float]]] = [{} for _ in asked]
    for (number, answer, _, _), logp in zip(rows, sums, strict=True):
        ways[number].setdefault(answer, []).append(logp)
    return [
        Scored({answer: _logsumexp(logps) for answer, logps in found.items()}, len(prompt))
        for found, (prompt, _) in zip(ways, asked, strict=True)
    ]


def reply_of(scored: Scored, form: Form) -> Reply:
    """The likeliest answer, with what all of them are worth on average and the probability that they have together."""
    logps = scored.logps
    total = _logsumexp(list(logps.values()))
    if not math.isfinite(total):
        raise ModelError("the judge gives none of its answers a finite log-probability; its weights are broken.")
    expected = math.fsum(form.values[answer] * math.exp(logp - total) for answer, logp in logps.items())
    likeliest = max(logps, key=lambda answer: logps[answer])
    said = json.dumps({form.key: int(likeliest) if form.numeric else likeliest})
    return Reply(said, "stop", scored.prompt_tokens, 1, True, expected, min(1.0, math.exp(total)))


def _form(question: Question) -> Form:
    assert question.form is not None  # free text is sampled, not scored
    return question.form


def _before_the_end(chat: ChatFormat, ids: Sequence[int]) -> list[int]:
    stops = [place for place, token in enumerate(ids) if token in chat.stop_token_ids]
    return list(ids[: stops[0]] if stops else ids)


def _takes_system(chat: ChatFormat) -> bool:
    try:
        chat.prompt_segments((Message("system", "s"), *PROBE))
    except ModelError:
        return False
    return True


def _logsumexp(values: Sequence[float]) -> float:
    largest = max(values)
    return (
        largest + math.log(math.fsum(math.exp(value - largest) for value in values)) if largest > -math.inf else largest
    )
