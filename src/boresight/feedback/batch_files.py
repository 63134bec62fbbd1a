"""Questions as OpenAI-style batch files, and their results read back into the same file of replies.

    {"custom_id": hash of all that decides the reply, "method": "POST", "url": "/v1/chat/completions", "body": {...}}
      -> {"custom_id", "response": {"status_code", "body": chat completion}, "error": null or {"code", "message"}}

What is known or on its way in an earlier file is not written again, so that nothing is asked or paid for twice.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from boresight.errors import JudgeError
from boresight.feedback.chat_endpoint import TRANSIENT, BrokenAnswerError, Reply, quoted, read_reply
from boresight.feedback.judge_client import Estimate, Failure, JudgeClient, Ledger, Outcome, Prices, Question
from boresight.storage import write_text

MOST_REQUESTS, MOST_BYTES = 50_000, 190 * 2**20
"""Of one file: what OpenAI takes (200 MB), with some room."""


class Written(NamedTuple):
    """`known`: answered before. `on_the_way`: written into an earlier file, and not read back yet."""

    files: list[Path]
    requests: int
    known: int
    on_the_way: int


def write_batch(client: JudgeClient, questions: Sequence[Question], path: Path, *, again: bool = False) -> Written:
    """Write what is still to be asked to `path`, and to `NAME.2.jsonl` and so on where one file may not hold it.

    `again`: also what an earlier file asked and nobody answered. Raises JudgeError for a file that is there already.
    """
    distinct = {client.key(question): question for question in questions}
    missing = {key: question for key, question in distinct.items() if client.cache.get(key) is None}
    waiting = set() if again else client.cache.requested() & missing.keys()
    wanted = {key: question for key, question in missing.items() if key not in waiting}
    parts = list(_parts(client, wanted))
    files = [
        path if number == 1 else path.with_suffix(f".{number}{path.suffix}") for number in range(1, len(parts) + 1)
    ]
    for file in files:
        if file.exists():
            raise JudgeError(f"{file}: is there already, and its requests may be on their way. Give another name.")
    for file, lines in zip(files, parts, strict=True):
        write_text(file, "".join(lines))
    client.cache.mark_requested(wanted)
    return Written(files, len(wanted), len(distinct) - len(missing), len(waiting))


def _parts(client: JudgeClient, questions: Mapping[str, Question]) -> Iterator[list[str]]:
    url = f"{urlsplit(client.address).path}/chat/completions"
    lines: list[str] = []
    size = 0
    for key, question in questions.items():
        body = client.endpoint.body(*question)
        line = json.dumps({"custom_id": key, "method": "POST", "url": url, "body": body}, ensure_ascii=False) + "\n"
        length = len(line.encode())
        if lines and (len(lines) == MOST_REQUESTS or size + length > MOST_BYTES):
            yield lines
            lines, size = [], 0
        lines.append(line)
        size += length
    if lines:
        yield lines


@dataclass(slots=True)
class Results:
    """What came of result files: replies taken in, failures by question, and lines that answer other questions."""

    replies: int = 0
    known: int = 0
    foreign: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        failed = Counter(failure.kind for failure in self.failures.values())
        return {"replies": self.replies, "known": self.known, "foreign": self.foreign, "failed_requests": dict(failed)}


def read_results(client: JudgeClient, questions: Sequence[Question], paths: Sequence[Path]) -> Results:
    """Take the results into the client's file of replies. A reply that is known already stays as it is.

    Raises JudgeError for a file that holds no results at all, or none of these questions'.
    """
    wanted = {client.key(question): question for question in questions}
    results = Results()
    lines = 0
    for path in paths:
        for place, line in _lines(path):
            lines += 1
            key, outcome = _outcome(line, place, wanted)
            if outcome is None:
                results.foreign += 1
            elif client.cache.get(key) is not None:
                results.known += 1
            elif isinstance(outcome, Reply):
                client.cache.put(key, outcome)
                results.replies += 1
                results.failures.pop(key, None)
            else:
                results.failures[key] = outcome
    if lines == 0 or results.foreign == lines:
        raise JudgeError(
            f"{', '.join(map(str, paths))}: none of {lines:,} results answers a question that these responses and "
            "settings make. Give the responses, the address, the model, the rubric and the settings with which the "
            "batch was written."
        )
    client.cache.clear_requested(
        [key for key in wanted if key in results.failures or client.cache.get(key) is not None]
    )
    return results


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """(file and line, text) of each line that is not empty."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except OSError as error:
        raise JudgeError(f"{path}: cannot be read ({error.strerror or error}). Correct the path.") from error


def _outcome(line: str, place: str, wanted: Mapping[str, Question]) -> tuple[str, Outcome | None]:
    """The question's key and what became of it; None for a result of another question."""
    try:
        result: Any = json.loads(line)
    except (ValueError, RecursionError):
        result = None
    key = result.get("custom_id") if isinstance(result, Mapping) else None
    if not isinstance(key, str):
        raise JudgeError(
            f'{place}: no result of a batch: {quoted(line)}. Expected one JSON object a line with "custom_id" and '
            '"response", as the endpoint wrote it; what was read until here is kept.'
            " Fetch the file again."
        )
    if key not in wanted:
        return key, None
    error, response = result.get("error"), result.get("response")
    if error or not isinstance(response, Mapping):
        return key, Failure("unanswered", f"{place}: the batch did not answer it: {quoted(json.dumps(error))}")
    body = json.dumps(response.get("body"))
    if (status := response.get("status_code")) != 200:
        kind: Literal["out_of_reach", "refused"] = "out_of_reach" if status in TRANSIENT else "refused"
        return key, Failure(kind, f"{place}: status {status}: {quoted(body)}")
    question = wanted[key]
    try:
        return key, read_reply(body, sum(len(m["content"]) for m in question.messages), question.form)
    except BrokenAnswerError as fault:
        return key, Failure("broken_answer", f"{place}: {fault}")


@dataclass(slots=True)
class KnownReplies:
    """Answers from what is known alone: a question without a reply is a failure, and is not asked."""

    client: JudgeClient
    failures: Mapping[str, Failure]
    prices: Prices | None = None
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def address(self) -> str:
        return self.client.address

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """Equal questions are counted once."""
        outcomes: dict[str, Outcome] = {}
        keys = [self.client.key(question) for question in questions]
        for key in dict.fromkeys(keys):
            known = self.client.cache.get(key)
            if known is not None:
                self.ledger.enter(known)
                self.ledger.known += 1
            missing = Failure("unanswered", "no line of the results answers it")
            outcomes[key] = known or self.failures.get(key, missing)
        return [outcomes[key] for key in keys]

    def estimate(self, questions: Sequence[Question]) -> Estimate:
        return self.client.estimate(questions)

    def cost(self) -> float | None:
        """US dollars of all replies, at the prices given."""
        if self.prices is None:
            return None
        return self.prices.cost(self.ledger.prompt_tokens, self.ledger.completion_tokens)
