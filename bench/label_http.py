"""The annotation server under load, killed while it works: how long its answers take, and whether a vote is lost.

python bench/label_http.py                                          # SQLite, 50 annotators, 10,000 tasks, ten kills
python bench/label_http.py --store postgresql://user@127.0.0.1/new  # a new database on a server
python bench/label_http.py --people 10 --tasks 200 --seconds 20 --kills 2

`boresight label serve` runs as its own process on loopback; annotators are threads of this one, with an API token each.
They wait before they ask again, as people do. Now and then the server is killed with SIGKILL and started again; who
gets no answer sends the same again, with the same key. Requests that met a kill are counted apart. Afterwards the store
is read, as `label_load.py` reads it. The last line is one JSON object.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from label_load import faults, load_options, made_tasks, milliseconds

from boresight.storage import read_json, write_json
from boresight.web.annotation.people import add_person, make_token
from boresight.web.annotation.projects import add_tasks, make_project
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import open_store

RETRY_SECONDS = 0.2


class Server:
    """The command on one port, which is the same after each kill."""

    def __init__(self, place: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.place, self.kills = place, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "boresight", "label", "serve", "--store", self.place, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline(), "the server did not start"

    def kill(self) -> None:
        self.end()
        self.kills += 1
        self.start()

    def end(self) -> None:
        with self.process as process:  # waits for its end, and closes its pipe
            process.send_signal(signal.SIGKILL)


class HttpAnnotator(threading.Thread):
    """Asks for tasks and answers them until there is nothing left; keeps the seconds, and what was acknowledged."""

    def __init__(self, port: int, token: str, number: int, pause: float, until: float) -> None:
        super().__init__()
        self.port, self.number, self.pause, self.until = port, number, pause, until
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.connection: http.client.HTTPConnection | None = None
        self.claims: list[float] = []
        self.submits: list[float] = []
        self.interrupted = 0
        self.unexpected: list[str] = []
        self.acknowledged: list[tuple[int, int]] = []

    def run(self) -> None:
        try:
            self.label()
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def label(self) -> None:
        rng = random.Random(self.number)
        while time.perf_counter() < self.until:
            time.sleep(rng.uniform(0.0, 2.0 * self.pause))
            read = self.ask("/api/projects/1/next", {}, self.claims)
            if read is None or read["task"] is None:
                return
            held = read["task"]
            count = len(held["responses"])
            ranks = rng.sample(range(1, count + 1), count)
            answer = {"preference": rng.randint(-3, 3)} if count == 2 else {"ranks": ranks}
            time.sleep(rng.uniform(0.0, 2.0 * self.pause))
            sent = {"key": f"k{held['task_id']}", "answer": answer}
            receipt = self.ask(f"/api/tasks/{held['task_id']}/answer", sent, self.submits)
            if receipt is not None:
                self.acknowledged.append((receipt["event_id"], held["task_id"]))

    def ask(self, path: str, body: Any, seconds: list[float]) -> Any:
        """What the server answers, however often it has to be asked; None for a refusal."""
        start, met_a_kill = time.perf_counter(), False
        while True:
            try:
                self.connection = self.connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
                self.connection.request("POST", path, json.dumps(body), self.headers)
                answer = self.connection.getresponse()
                read = json.loads(answer.read())
                break
            except (OSError, http.client.HTTPException):
                self.hang_up()
                met_a_kill = True
                time.sleep(RETRY_SECONDS)
        if met_a_kill:
            self.interrupted += 1
        else:
            seconds.append(time.perf_counter() - start)
        if answer.status != 200:
            self.unexpected.append(f"{answer.status} {read}")
            return None
        return read


def measure(
    place: str, *, people: int, count: int, overlap: int, pause: float, seconds: float, kills: int, kill_every: float
) -> dict[str, Any]:
    store = open_store(place)
    project = make_project(store, "load", Settings(seed=1, overlap=overlap))
    ids = [add_person(store, f"annotator {number}").id for number in range(people)]
    tokens = [make_token(store, person, "load") for person in ids]
    add_tasks(store, project.id, made_tasks(count, seed=1))
    store.close()
    server = Server(place)
    try:
        start = time.perf_counter()
        until = start + seconds
        workers = [HttpAnnotator(server.port, token, n, pause, until) for n, token in enumerate(tokens)]
        for worker in workers:
            worker.start()
        while server.kills < kills and any(worker.is_alive() for worker in workers):
            time.sleep(kill_every)
            server.kill()
        for worker in workers:
            worker.join()
        wall = time.perf_counter() - start
    finally:
        server.end()
    store = open_store(place)
    try:
        found = faults(store, overlap, workers)
    finally:
        store.close()
    submits = [one for worker in workers for one in worker.submits]
    unexpected = [one for worker in workers for one in worker.unexpected]
    return {
        "store": "postgresql" if "://" in place else "sqlite",
        "people": people,
        "tasks": count,
        "overlap": overlap,
        "pause_s": pause,
        "kills": server.kills,
        "answers": sum(len(worker.acknowledged) for worker in workers),
        "answers_per_s": round(sum(len(worker.acknowledged) for worker in workers) / wall, 1),
        "next_task": milliseconds([one for worker in workers for one in worker.claims]),
        "submit": milliseconds(submits),
        "requests_that_met_a_kill": sum(worker.interrupted for worker in workers),
        "unexpected": unexpected[:5],
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        **found,
    }


def main() -> None:
    parser = load_options(__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--kill-every", type=float, default=15.0, metavar="SECONDS")
    parser.add_argument("--json", type=Path, help="keep the figures here, beside those of other stores and kills")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = given.store or str(Path(folder) / "labels.db")
        result = measure(
            place, people=given.people, count=given.tasks, overlap=given.overlap, pause=given.pause,
            seconds=given.seconds, kills=given.kills, kill_every=given.kill_every,
        )  # fmt: skip
    print(json.dumps(result))
    if given.json:
        known = read_json(given.json) if given.json.exists() else {}
        write_json(given.json, known | {f"{result['store']}, {result['kills']} kills": result})


if __name__ == "__main__":
    main()
