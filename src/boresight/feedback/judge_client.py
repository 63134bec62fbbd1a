"""Many questions to a judge over HTTP: as fast as it allows, none twice, none lost, never dearer than the budget.

Every question ends as a reply or as a failure with its reason. Replies are kept on the disk as they come, so that
after a kill the same questions cost nothing; failures are not kept, and are asked again by the next run.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from boresight.errors import JudgeError
from boresight.feedback.chat_endpoint import (
    BrokenAnswerError,
    ChatEndpoint,
    Messages,
    OutOfReachError,
    RefusedRequestError,
    Reply,
    tokens_of,
)
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.throttle import Throttle
from boresight.feedback.verdicts import VERDICT, Form
from boresight.storage import canonical_json, hash_text

TRIES_OF_BROKEN_ANSWERS = 4
FAILURES_IN_A_ROW = 20
"""After so many, the fault is taken to be the endpoint's, and no more is asked."""
LONGEST_WAIT = 60.0  # seconds between two tries, where the endpoint does not say how long
TOKENS_OF_THE_FORM = 64  # at most, around the messages of a chat


class Question(NamedTuple):
    """`sample` tells apart several replies to the same messages; `form` is that of the answer, None for free text."""

    messages: Messages
    sample: int = 0
    form: Form | None = VERDICT


class Failure(NamedTuple):
    """`refused`: the fault is of this one question, and says nothing of the endpoint."""

    kind: Literal["out_of_reach", "broken_answer", "refused", "over_budget", "unanswered", "too_long"]
    reason: str


Outcome = Reply | Failure
OVER_BUDGET = Failure("over_budget", "not asked: the budget is spent")


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(slots=True)
class Ledger:
    """What the questions cost: those of this run and, as `known`, those that had been answered before."""

    asked: int = 0
    known: int = 0
    tries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated_counts: int = 0
    """Replies whose tokens the endpoint did not count."""

    def enter(self, reply: Reply) -> None:
        """Add the tokens of a reply."""
        self.prompt_tokens += reply.prompt_tokens
        self.completion_tokens += reply.completion_tokens
        self.estimated_counts += not reply.counted


class Estimate(NamedTuple):
    """What is still to be asked. Completions are counted at their limit, so the cost is the most it can be, up to the
    estimate of prompt tokens from characters."""

    questions: int
    known: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(slots=True)
class JudgeClient:
    """`patience`: seconds for which one question is tried while the endpoint is out of reach. `budget`: US dollars for
    all questions, those answered before included; it needs `prices`. `purpose`: what the questions are for, where they
    come in many rounds over several processes; what it took before is then in the ledger from the start."""

    endpoint: ChatEndpoint
    cache: JudgeCache
    most_at_once: int = 32
    patience: float = 300.0
    first_wait: float = 0.5
    prices: Prices | None = None
    budget: float | None = None
    progress: Callable[[int, int, Ledger], None] = lambda done, total, ledger: None
    clock: Callable[[], float] = time.monotonic
    purpose: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    _entered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for key, reply in self.cache.used(self.purpose).items() if self.purpose else ():
            self._enter(key, reply, paid_before=True)

    @property
    def name(self) -> str:
        return self.endpoint.model

    @property
    def address(self) -> str:
        return self.endpoint.base_url

    def key(self, question: Question) -> str:
        """Hash of all that decides a reply."""
        asked = [self.endpoint.identity(), [dict(m) for m in question.messages], question.sample]
        return hash_text(canonical_json(asked))

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        """What `ask` would have to ask. Asks nothing."""
        distinct = {self.key(question): question for question in questions}
        missing = [question for key, question in distinct.items() if self.cache.get(key) is None]
        prompt = sum(_prompt_tokens(question) for question in missing)
        return Estimate(len(missing), len(distinct) - len(missing), prompt, len(missing) * self.endpoint.max_tokens)

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """One outcome a question, in order; equal questions are asked once.

        Raises JudgeError where no question can succeed (key, address, model, an endpoint that keeps failing); what was
        answered until then is kept.
        """
        keys = [self.key(question) for question in questions]
        outcomes: dict[str, Outcome] = {}
        missing: dict[str, Question] = {}
        for key, question in zip(keys, questions, strict=True):
            if key in outcomes or key in missing:
                continue
            if (known := self.cache.get(key)) is not None:
                outcomes[key] = known
                self._enter(key, known, paid_before=True)
            else:
                missing[key] = question
        if missing:
            outcomes |= asyncio.run(_Asking(self, missing).all())
        return [outcomes[key] for key in keys]

    def _enter(self, key: str, reply: Reply, *, paid_before: bool) -> None:
        """Into the ledger, each reply once however often it is wanted."""
        if key not in self._entered:
            self._entered.add(key)
            if self.purpose:
                self.cache.note_use(self.purpose, key)
            self.ledger.enter(reply)
            self.ledger.known += paid_before
            self.ledger.asked += not paid_before

    def cost(self) -> float | None:
        """US dollars so far; None without prices."""
        if self.prices is None:
            return None
        return self.prices.cost(self.ledger.prompt_tokens, self.ledger.completion_tokens)


class _Asking:
    """One round of questions, by as many workers as may ask at once."""

    def __init__(self, client: JudgeClient, questions: dict[str, Question]) -> None:
        self._client = client
        self._questions = questions
        self._waiting: Iterator[tuple[str, Question]] = iter(questions.items())
        self._outcomes: dict[str, Outcome] = {}
        self._throttle = Throttle(client.most_at_once, client.clock)
        self._pool = ThreadPoolExecutor(client.most_at_once, thread_name_prefix="judge")
        self._reserved = 0.0  # US dollars that the questions on the way may cost
        self._freed = asyncio.Event()
        self._failed_in_a_row = 0
        self._answered = 0
        self._last_reply = client.clock()
        self._fault: JudgeError | None = None

    async def all(self) -> dict[str, Outcome]:
        """Where a fault ends the round, what is on the way is still waited for: it is paid for."""
        workers = min(self._client.most_at_once, len(self._questions))
        try:
            await asyncio.gather(*(self._work() for _ in range(workers)))
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
        tried = [o for o in self._outcomes.values() if o != OVER_BUDGET]
        if self._fault is None and tried and self._client.ledger.asked + self._client.ledger.known == 0:
            self._fault = self._gives_up(len(tried), tried[-1])
        if self._fault is not None:
            raise self._fault
        return self._outcomes

    async def _work(self) -> None:
        for key, question in self._waiting:  # shared: each question goes to one worker
            most = self._most_it_costs(question)
            while not self._affordable(most) and self._reserved > 0:  # what is on the way may cost less than its most
                self._freed.clear()
                await self._freed.wait()
            if not self._affordable(most):
                self._outcomes[key] = OVER_BUDGET
                self._client.progress(len(self._outcomes), len(self._questions), self._client.ledger)
                continue
            self._reserved += most
            try:
                outcome = await self._outcome(question)
            except JudgeError as fault:
                self._fault = self._fault or fault
                return
            finally:
                self._release(most)
            self._settle(key, outcome)
            if self._fault is not None:
                return

    def _settle(self, key: str, outcome: Outcome) -> None:
        client = self._client
        self._outcomes[key] = outcome
        if isinstance(outcome, Reply):
            client.cache.put(key, outcome)
            client._enter(key, outcome, paid_before=False)
            self._answered += 1
            self._last_reply = client.clock()
            self._failed_in_a_row = 0
        elif outcome.kind != "refused" or client.ledger.asked + client.ledger.known == 0:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= FAILURES_IN_A_ROW and self._fault is None:
                self._fault = self._gives_up(self._failed_in_a_row, outcome)
        client.progress(len(self._outcomes), len(self._questions), client.ledger)

    def _gives_up(self, failures: int, last: Outcome) -> JudgeError:
        endpoint, reason = self._client.endpoint, last.reason if isinstance(last, Failure) else ""
        return JudgeError(
            f"{endpoint.base_url} (model {endpoint.model}): {failures:,} questions in a row failed, the last for this: "
            f"{reason}. Nothing more was asked; the {self._answered:,} replies of this run are kept, and the same "
            "command goes on from there. Look whether base_url ends where /chat/completions begins (often in /v1), and "
            "into the log of the endpoint."
        )

    async def _outcome(self, question: Question) -> Outcome:
        """Try until there is a reply, or no hope of one."""
        client = self._client
        started, wait, broken = client.clock(), client.first_wait, 0
        while True:
            try:
                return await self._try(question)
            except RefusedRequestError as fault:
                return Failure("refused", f"refused with {fault}")
            except BrokenAnswerError as fault:
                broken += 1
                if broken >= TRIES_OF_BROKEN_ANSWERS:
                    return Failure("broken_answer", f"{fault} ({broken} tries)")
                pause = wait * random.uniform(0.5, 1.0)
            except OutOfReachError as fault:
                pause = wait * random.uniform(0.5, 1.0) if fault.wait is None else fault.wait
                # Whoever is only asked to be slower has hope as long as others are answered.
                waited = client.clock() - (max(started, self._last_reply) if fault.overloaded else started)
                if waited + pause > client.patience:
                    return Failure("out_of_reach", f"out of reach: {fault} (tried for {waited:.0f} s)")
                if fault.overloaded:
                    self._throttle.overloaded(pause)
                    pause = 0.0  # the throttle makes all wait
            wait = min(2.0 * wait, LONGEST_WAIT)
            await asyncio.sleep(pause)

    async def _try(self, question: Question) -> Reply:
        endpoint = self._client.endpoint
        async with self._throttle.turn():
            if self._fault is not None:
                raise self._fault
            self._client.ledger.tries += 1
            loop = asyncio.get_running_loop()
            reply = await loop.run_in_executor(self._pool, endpoint.ask, *question)
        self._throttle.succeeded()
        return reply

    def _most_it_costs(self, question: Question) -> float:
        """No tokenizer makes more tokens than there are bytes; the form of a chat adds a few."""
        prices = self._client.prices
        if prices is None:
            return 0.0
        size = sum(len(message["content"].encode("utf-8")) for message in question.messages)
        return prices.cost(size + TOKENS_OF_THE_FORM, self._client.endpoint.max_tokens)

    def _affordable(self, most: float) -> bool:
        budget, spent = self._client.budget, self._client.cost()
        return budget is None or spent is None or spent + self._reserved + most <= budget

    def _release(self, most: float) -> None:
        self._reserved -= most
        if self._reserved < 1e-9:  # what is left is rounding
            self._reserved = 0.0
        self._freed.set()


def _prompt_tokens(question: Question) -> int:
    return tokens_of(sum(len(message["content"]) for message in question.messages))
