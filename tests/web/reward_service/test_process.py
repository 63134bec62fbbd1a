"""The command itself: killed and started again under load, ended in order, and refusals at the start."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

import boresight
from boresight.feedback.score_client import ScoreClient
from boresight.models.roles import RewardModel
from boresight.web.serving import bind

from .served import asked

SOURCES = str(Path(boresight.__path__[0]).parent)
PATIENCE = 240.0  # seconds; a start takes ten on an idle core
REQUESTS = 40


def words(model: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "boresight", "serve", "reward", str(model), "--port", str(port)]


@contextmanager
def service(model: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": SOURCES, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words(model, port), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=environment)  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with bind("127.0.0.1", 0) as bound:
        return int(bound.getsockname()[1])


class Asking(threading.Thread):
    """Asks for the scores of its share, one request after another, and keeps what was answered."""

    def __init__(self, client: ScoreClient, share: slice, halfway: threading.Semaphore) -> None:
        super().__init__()
        prompts, responses = asked(REQUESTS)
        self.client, self.prompts, self.responses = client, prompts[share], responses[share]
        self.halfway, self.scores = halfway, list[float]()

    def run(self) -> None:
        for place, (prompt, response) in enumerate(zip(self.prompts, self.responses, strict=True)):
            self.scores += self.client.score([prompt], [response]).scores
            if place == len(self.prompts) // 4:
                self.halfway.release()


def held_responses(url: str) -> int:
    text = httpx2.get(f"{url}/metrics", trust_env=False).text
    (held,) = re.findall(r"^boresight_reward_held_responses (\d+)$", text, flags=re.MULTILINE)
    return int(held)


@pytest.mark.slow
def test_a_service_that_is_killed_and_started_again_under_load_loses_nothing_and_ends_in_order(
    model_folder: Path, reward_model: RewardModel
) -> None:
    port, halfway = free_port(), threading.Semaphore(0)
    client = ScoreClient(f"http://127.0.0.1:{port}", 30.0, PATIENCE)
    held: list[float] = []
    asking = [Asking(client, slice(start, None, 4), halfway) for start in range(4)]
    with service(model_folder, port) as process:
        client.wait_until_ready()
        for thread in asking:
            thread.start()
        assert all(halfway.acquire(timeout=60) for _ in asking)
        process.kill()
    with service(model_folder, port) as process:
        for thread in asking:
            thread.join(PATIENCE)
        prompts, responses = asked(500)
        last = threading.Thread(target=lambda: held.extend(client.score(prompts, responses).scores))
        last.start()
        while held_responses(client.url) == 0 and last.is_alive():
            last.join(0.01)
        process.send_signal(signal.SIGTERM)
        last.join(60)
        assert len(held) == 500  # what was accepted before the end was asked for
        said, _ = process.communicate(timeout=60)
        assert said == f"http://127.0.0.1:{port}\n" and process.returncode in (0, -signal.SIGTERM)
    prompts, responses = asked(REQUESTS)
    expected = [float(reward_model.score([p], [r])) for p, r in zip(prompts, responses, strict=True)]
    for start, thread in enumerate(asking):
        assert thread.scores == pytest.approx(expected[start::4], abs=1e-5)
