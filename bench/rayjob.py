"""A RayJob's command on a Ray cluster of this machine that is made as its manifest says, submitted as KubeRay does.

python bench/rayjob.py                      # a trainer, a reference, one actor for rollouts and one for scores
python bench/rayjob.py --trainers 2 --rollouts 2

Head and workers are started with the rayStartParams of `rayjob.yaml` (GPUs are promised, not there: actors compute on
processors), with token authentication; the command is submitted once every worker answers its readinessProbe. What is
not tried is Kubernetes and KubeRay themselves. Takes minutes and some 3 GB. The last line is one JSON object.
"""

import argparse
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from boresight.launch.kubernetes.cluster import Cluster
from boresight.launch.kubernetes.render import render

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.launch.ray import pipelines

STARTED_WITHIN = 120.0
KNOCK_SECONDS = 1.0
HERE = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainers", type=int, default=1)
    parser.add_argument("--rollouts", type=int, default=1)
    parser.add_argument("--scorers", type=int, default=1)
    asked = parser.parse_args()
    cluster = Cluster(
        image="registry.example/boresight:0.1.0", engine="ray", trainers=asked.trainers, rollouts=asked.rollouts,
        scorers=asked.scorers, gpus=2, cpus=1,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="rj-", dir="/tmp") as place:  # sockets lie there, whose names must be short
        folder = Path(place)
        files = render(pipelines.load(folder / "project"), cluster)
        spec = yaml.safe_load(files["rayjob.yaml"])["spec"]
        began = time.monotonic()
        with cluster_of(spec["rayClusterSpec"], folder) as (dashboard, environment):
            ready = time.monotonic()
            done = subprocess.run(submission(spec, dashboard, folder), env=environment, check=False)
        stages = sorted(path.name for path in folder.glob("artifacts/runs/*/stages/*"))
        found = {
            "exit_code": done.returncode,
            "workers": sum(group["replicas"] for group in spec["rayClusterSpec"]["workerGroupSpecs"]),
            "stages": stages,
            "seconds_to_ready": round(ready - began),
            "seconds": round(time.monotonic() - ready),
        }
    print(json.dumps(found))
    sys.exit(done.returncode)


def submission(spec: Any, dashboard: int, folder: Path) -> list[str]:
    """`ray job submit` of the manifest's command, with folders of this machine for those of the volumes."""
    text = spec["entrypoint"].replace("/artifacts/project", f"{folder}/project")
    text = text.replace("/etc/boresight", f"{folder}/project").replace("/artifacts", f"{folder}/artifacts")
    return ["ray", "job", "submit", "--address", f"http://{HERE}:{dashboard}", "--", *shlex.split(text)]


@contextmanager
def cluster_of(spec: Any, folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The port of the dashboard and the environment, once head and workers are ready; all are ended with the block."""
    gcs, dashboard, client = free_port(), free_port(), free_port()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {"RAY_AUTH_MODE": spec["authOptions"]["mode"], "RAY_AUTH_TOKEN": "t" * 32, "RAY_USAGE_STATS_ENABLED": "0"}
    environment = {**os.environ, **told, "PATH": programs, "RAY_TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with ExitStack() as started:

        def start(params: dict[str, str], *more: str) -> int:
            agent = free_port()
            words = [f"--{name}={value}" for name, value in params.items() if name not in OTHERWISE]
            words += [f"--dashboard-agent-listen-port={agent}", f"--metrics-export-port={free_port()}", *more]
            words += ["--block", f"--node-ip-address={HERE}", "--object-store-memory=100000000"]
            process = subprocess.Popen(["ray", "start", *words], env=environment, stdout=subprocess.DEVNULL)
            started.callback(end, process)
            return agent

        head = start(
            spec["headGroupSpec"]["rayStartParams"], "--head", f"--port={gcs}", f"--dashboard-port={dashboard}",
            f"--ray-client-server-port={client}",
        )  # fmt: skip
        await_answer(head, "/api/local_raylet_healthz")
        for group in spec["workerGroupSpecs"]:
            probe = group["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
            for _ in range(group["replicas"]):
                await_answer(start(group["rayStartParams"], f"--address={HERE}:{gcs}"), probe)
        yield dashboard, environment


OTHERWISE = ("dashboard-host", "object-store-memory")
"""Parameters that one machine cannot take from several pods."""


def await_answer(port: int, path: str) -> None:
    """Until somebody says 200 there."""
    ends = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(f"http://{HERE}:{port}{path}", timeout=KNOCK_SECONDS):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(KNOCK_SECONDS)
    sys.exit(f"nothing answers at port {port} after {STARTED_WITHIN:g} seconds")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ray ends its own children on SIGTERM."""
    process.terminate()
    process.wait(60)


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HERE, 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    main()
