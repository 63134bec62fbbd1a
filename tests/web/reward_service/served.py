"""A small reward model with a real head, and the service around it on a port of this machine."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from boresight.models.loading import start_reward_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message, Messages
from boresight.web.reward_service.service import Scoring, build_reward_service
from boresight.web.serving import bind

WORDS = ("pods", "nodes", "a much longer answer, told at length and in whole sentences", "no", "drain it", "")


def save_reward_model(folder: Path, seed: int = 0) -> Path:
    """A reward model of random weights, as a reward_model stage saves one."""
    tokenizer = tiny_tokenizer("chatml")
    tiny_llama(tokenizer, seed=seed).save_pretrained(folder / "language_model")
    model = start_reward_model(folder / "language_model", seed)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def asked(count: int) -> tuple[list[Messages], list[str]]:
    """Prompts, each for a few of the responses, of many lengths."""
    prompts = [(Message("user", f"how to {'list ' * (n // 3 % 7)}{n // 3}"),) for n in range(count)]
    return prompts, [f"{WORDS[n % len(WORDS)]} {n % 5}" for n in range(count)]


@contextmanager
def running(scoring: Scoring, token: str | None = None) -> Iterator[str]:
    """The address of the service in a thread of this process."""
    with bind("127.0.0.1", 0) as bound:
        config = uvicorn.Config(
            build_reward_service(scoring, token=token), log_level="error", lifespan="off", ws="none", access_log=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started and time.monotonic() < deadline:
            thread.join(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
