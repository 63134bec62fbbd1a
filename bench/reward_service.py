"""The reward service under load: all requests in batches against one by one, on this machine.

    python bench/reward_service.py --documented --json docs/figures/reward_service.json
    python bench/reward_service.py --responses 60 --rounds 1                # a short look

`boresight serve reward` runs as a process of its own, once with its defaults and once with `--batch-responses 1`, on
one thread each, with a reward model of random weights and texts of the lengths of real pairs (bench/work.py). A client
keeps so many requests under way, each with one response or more, over connections that stay open; every prompt has some
responses, which come one after another, as a policy samples them. Rounds of the two take turns. Before that, answers of
both are held against in-process scores. A rate is of processor seconds of the service, tokenizing and HTTP included,
since other work takes part of the machine; seconds on the clock are told beside. A ratio is of one round; above 1
batching is the faster. What batching can give at most is measured in process: the model's forward alone, on the same
rows in the service's own batches against one by one, without HTTP, tokenizing or waiting.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import torch
from work import SHAPES, make_model, make_pairs, make_tokenizer

from boresight.models.loading import start_reward_model
from boresight.models.roles import build_reward_model
from boresight.records import Message
from boresight.web.reward_service.batching import Waiting, cut
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.model import load_served_model

START_SECONDS = 300.0
DOCUMENTED = (
    {"shape": "example", "tokens": 12, "per_prompt": 8, "together": 16, "at_once": 32, "responses": 768},
    {"shape": "example", "tokens": 24, "per_prompt": 4, "together": 1, "at_once": 256, "responses": 768},
    {"shape": "example", "tokens": 24, "per_prompt": 4, "together": 16, "at_once": 32, "responses": 768},
    {"shape": "example", "tokens": 24, "per_prompt": 8, "together": 16, "at_once": 32, "responses": 768},
    {"shape": "tiny", "tokens": 24, "per_prompt": 4, "together": 16, "at_once": 32, "responses": 512},
    {"shape": "tiny", "tokens": None, "per_prompt": 4, "together": 16, "at_once": 16, "responses": 192},
)
"""The rows of docs/reward_service.md."""


class Service(NamedTuple):
    url: str
    pid: int

    def processor_seconds(self) -> float:
        """Of all its threads since its start."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_reward_model(shape: str, folder: Path) -> Path:
    tokenizer = make_tokenizer(shape)
    make_model(shape, tokenizer).save_pretrained(folder / "language_model")
    model = start_reward_model(folder / "language_model", seed=0)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def questions(shape: str, count: int, tokens: int | None, per_prompt: int) -> list[tuple[str, str]]:
    """Prompts and responses; the responses to a prompt follow each other. `tokens`: of each, None for real lengths."""
    pairs = list(make_pairs(make_tokenizer(shape), count, prompt_tokens=tokens, response_tokens=tokens))
    rng = random.Random(0)
    texts = [rng.choice([pair["chosen"], pair["rejected"]]) for pair in pairs]
    return [(pairs[place // per_prompt]["prompt"], text) for place, text in enumerate(texts)]


@contextmanager
def service(model: Path, *options: str) -> Iterator[Service]:
    """One that is ready."""
    words = [sys.executable, "-m", "boresight", "serve", "reward", str(model), "--port", "0", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout is not None
        yield Service(process.stdout.readline().strip(), process.pid)
    finally:
        process.kill()
        process.communicate()


async def load(url: str, asked: list[tuple[str, str]], at_once: int, together: int = 1) -> tuple[float, list[float]]:
    """Seconds of all, and the scores; `together` responses in a request."""
    scores = [0.0] * len(asked)
    waiting = iter(range(0, len(asked), together))
    limits = httpx2.Limits(max_connections=at_once)

    async def client(session: httpx2.AsyncClient) -> None:
        for start in waiting:
            part = asked[start : start + together]
            prompts = [[{"role": "user", "content": prompt}] for prompt, _ in part]
            answer = await session.post("/score", json={"prompts": prompts, "responses": [text for _, text in part]})
            answer.raise_for_status()
            scores[start : start + together] = answer.json()["scores"]

    async with httpx2.AsyncClient(base_url=url, timeout=600.0, limits=limits, trust_env=False) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(at_once)))
        return time.perf_counter() - began, scores


def differences(model: Path, services: dict[str, Service], asked: list[tuple[str, str]]) -> dict[str, float]:
    """The largest difference from in-process scores, each response by itself there."""
    reward = build_reward_model(model)
    torch.set_num_threads(1)
    own = [float(reward.score([(Message("user", prompt),)], [response])) for prompt, response in asked]
    found = {}
    for name, one in services.items():
        _, scores = asyncio.run(load(one.url, asked, at_once=len(asked)))
        found[name] = max(abs(a - b) for a, b in zip(own, scores, strict=True))
    return found


def of_the_model_alone(model: Path, asked: list[tuple[str, str]]) -> dict[str, float]:
    """Responses that forward passes by themselves score in a processor second, in the service's batches and singly."""
    torch.set_num_threads(1)
    served = load_served_model(model, "cpu")
    rows = served.rows([(Message("user", prompt),) for prompt, _ in asked], [response for _, response in asked])
    loop = asyncio.new_event_loop()
    batches_of_all = cut([Waiting(row, 0.0, loop.create_future()) for row in rows], Limits())
    loop.close()
    ways = {
        "one_by_one": [[row] for row in rows],
        "batched": [[waiting.row for waiting in batch] for batch in batches_of_all],
    }
    rates = {}
    for name, batches in ways.items():
        served.scores(batches[0])
        took = []
        for _ in range(2):
            began = time.process_time()
            for batch in batches:
                served.scores(batch)
            took.append(time.process_time() - began)
        rates[name] = len(rows) / min(took)
    return rates


def measure(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model = make_reward_model(given.shape, Path(folder))
        asked = questions(given.shape, given.responses, given.tokens, given.per_prompt)
        services = {
            "batched": stack.enter_context(service(model)),
            "one_by_one": stack.enter_context(service(model, "--batch-responses", "1")),
        }
        apart = differences(model, services, asked[:64])
        alone = of_the_model_alone(model, asked[:256])
        rates: dict[str, list[float]] = {name: [] for name in services}
        clocked: dict[str, list[float]] = {name: [] for name in services}
        for number in range(given.rounds):
            for name, one in services.items():
                before = one.processor_seconds()
                seconds, _ = asyncio.run(load(one.url, asked, given.at_once, given.together))
                rates[name].append(len(asked) / (one.processor_seconds() - before))
                clocked[name].append(len(asked) / seconds)
                print(
                    f"round {number + 1} {name}: {rates[name][-1]:.1f} responses a processor second, "
                    f"{clocked[name][-1]:.1f} on the clock",
                    file=sys.stderr,
                )
    ratios = [fast / slow for fast, slow in zip(rates["batched"], rates["one_by_one"], strict=True)]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "shape": given.shape,
        "tokens": given.tokens,
        "responses": given.responses,
        "responses_per_request": given.together,
        "requests_at_once": given.at_once,
        "rounds": given.rounds,
        "responses_per_prompt": given.per_prompt,
        "responses_per_processor_second": {name: statistics.median(values) for name, values in rates.items()},
        "responses_per_second_on_the_clock": {name: statistics.median(values) for name, values in clocked.items()},
        "model_alone": {**alone, "ratio": alone["batched"] / alone["one_by_one"]},
        "ratio": {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)},
        "largest_difference": apart,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="tiny")
    parser.add_argument("--tokens", type=int, help="Of each prompt and of each response; by default real lengths.")
    parser.add_argument("--responses", type=int, default=384)
    parser.add_argument("--together", type=int, default=1, help="Responses in one request.")
    parser.add_argument("--per-prompt", type=int, default=4, help="Responses to each prompt.")
    parser.add_argument("--at-once", type=int, default=128, help="Requests under way.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documented", action="store_true", help="All rows of docs/reward_service.md, one by one.")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    for changed in DOCUMENTED if given.documented else ({},):
        one = argparse.Namespace(**{**vars(given), **changed})
        found = measure(one)
        if given.json is not None:
            known = json.loads(given.json.read_text()) if given.json.exists() else {}
            name = f"{one.shape}, {one.tokens or 'real'} tokens, {one.per_prompt} a prompt, {one.together} a request"
            given.json.write_text(json.dumps(known | {name: found}, indent=1, sort_keys=True) + "\n")
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
