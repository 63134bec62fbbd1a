"""Ten thousand comparisons against an endpoint on the loopback address that limits, drops, delays and garbles.

    python bench/judge_endpoint.py --json docs/figures/judge_endpoint.json
    python bench/judge_endpoint.py --comparisons 300 --rate 200         # a smaller one, in seconds

`boresight judge label` runs in a process of its own, is killed (SIGKILL) in the middle, and is given again. Counted is
what the endpoint saw: whether any question that had been answered and kept was asked again, how many on the way at the
kill were, and which share of the rate that the endpoint allows was used (a bucket that holds one second's requests;
its content counts as allowed). Every comparison must end labelled, tied, turned or failed with a reason.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.feedback.judge_server import Bias, Faults, JudgeServer

from boresight.data.jsonl import write_records
from boresight.records import Message, Prompt, Response
from boresight.storage import write_json

AT_ONCE = 32
KILLED_AT = 0.4  # of all questions
LONGEST = 900.0  # seconds for one run of the command
RUBRIC = "name: bench\ncriteria:\n  - {name: good, question: 'Which response is better?'}\n"
FAULTS = {"refusals": 0.01, "malformed": 0.01, "drops": 0.02, "garbled": 0.02, "errors": 0.01, "delay": 0.02}


def serve(channel: Connection, rate: float) -> None:
    """The endpoint, in a process of its own; tells what it saw when asked."""
    with JudgeServer(Bias(noise=0.1), Faults(rate=rate, **FAULTS)) as server:
        channel.send(server.url)
        while channel.recv() == "seen":
            channel.send((list(server.let_in), dict(server.answered), server.turned_away, len(server.requests)))


@contextmanager
def endpoint(rate: float) -> Iterator[tuple[str, Connection]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, rate), daemon=True)
    process.start()
    try:
        yield ours.recv(), ours
    finally:
        ours.send("end")
        process.join(10)
        process.kill()


def seen(channel: Connection) -> tuple[list[float], dict[str, int], int, int]:
    """Times at which requests were let in, replies a question, requests turned away, all requests."""
    channel.send("seen")
    found: tuple[list[float], dict[str, int], int, int] = channel.recv()
    return found


def write_work(folder: Path, comparisons: int) -> None:
    """Two responses to each prompt, of which one is better."""
    (folder / "rubric.yaml").write_text(RUBRIC, encoding="utf-8")
    rows = []
    for number in range(comparisons):
        prompt = Prompt(id=f"p{number}", messages=(Message("user", f"question {number}"),))
        for side, worth in enumerate((0.2, 0.9)):
            text = f"quality={worth} response {side} to {number}"
            rows.append(
                Response(
                    id=f"p{number}/{side}", prompt=prompt, text=text, model="policy", temperature=1.0, stopped=True,
                    tokens=8, logp_sum=-1.0,
                )
            )  # fmt: skip
    write_records(folder / "responses.jsonl", rows)


def command(folder: Path, url: str) -> list[str]:
    return [
        sys.executable, "-m", "boresight", "judge", "label", str(folder / "responses.jsonl"), "--base-url", url,
        "--model", "bench-judge", "--rubric", str(folder / "rubric.yaml"), "--out", str(folder / "pairs.jsonl"),
        "--most-at-once", str(AT_ONCE), "--json",
    ]  # fmt: skip


def killed_in_the_middle(folder: Path, url: str, channel: Connection, questions: int) -> None:
    process = subprocess.Popen(command(folder, url), stdout=subprocess.DEVNULL)
    ends = time.monotonic() + LONGEST
    while len(seen(channel)[1]) < KILLED_AT * questions:
        if process.poll() is not None or time.monotonic() > ends:
            process.kill()
            raise SystemExit(f"the command ended before it was killed (status {process.returncode})")
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def kept_replies(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "pairs.jsonl.replies.sqlite")) as connection:
        return int(connection.execute("select count(*) from replies").fetchone()[0])


def share_of_rate(let_in: list[float], rate: float) -> float:
    """Requests let in, of those that the endpoint would have let in between the first of them and the last."""
    return len(let_in) / (rate * (max(let_in) - min(let_in)) + rate)


def measure(comparisons: int, rate: float) -> dict[str, Any]:
    questions = 2 * comparisons
    with tempfile.TemporaryDirectory() as name, endpoint(rate) as (url, channel):
        folder = Path(name)
        write_work(folder, comparisons)
        killed_in_the_middle(folder, url, channel, questions)
        time.sleep(1.0)  # what is on the way ends before it is counted
        kept, before = kept_replies(folder), seen(channel)
        done = subprocess.run(command(folder, url), capture_output=True, text=True, timeout=LONGEST, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        summary = json.loads(done.stdout)
        let_in, answered, turned_away, requests = seen(channel)
    twice = sum(times - 1 for times in answered.values())
    on_the_way = sum(before[1].values()) - kept
    after = let_in[len(before[0]) :]
    return {
        "comparisons": comparisons,
        "faults": FAULTS,
        "requests_a_second_allowed": rate,
        "most_at_once": AT_ONCE,
        "ended": {
            name: summary[name] for name in ("labelled", "ties", "verdict_flips", "failed", "failed_by_reason")
        },
        "all_ended": sum(summary[name] for name in ("labelled", "ties", "verdict_flips", "failed")) == comparisons,
        "killed_with": kept,
        "kept_and_asked_again": kept - summary["cost"]["known_before"],
        "on_the_way_at_the_kill": on_the_way,
        "answered_twice": twice,
        "requests": requests,
        "turned_away": turned_away,
        "seconds_before_and_after_the_kill": [
            round(max(part) - min(part), 1) for part in (before[0], after)
        ],
        "share_of_the_allowed_rate": [round(share_of_rate(part, rate), 3) for part in (before[0], after)],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second that the endpoint allows")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    figures = measure(arguments.comparisons, arguments.rate)
    if arguments.json is not None:
        write_json(arguments.json, figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
