"""A JobSet's command as its pods run it: taken out of the manifest, once for each pod, on this machine."""

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml

from boresight.launch.kubernetes.render import render
from boresight.launch.torchrun import rendezvous
from boresight.launch.torchrun.layout import Layout
from boresight.launch.torchrun.reports import EndedError
from boresight.launch.torchrun.run import TorchrunRun
from tests.pipeline import tiny_pipeline as tiny

from .rendered import cluster

DEADLINE = 400.0  # seconds; a busy machine takes two minutes
TEXT = tiny.TEXT[: tiny.TEXT.index("  drafts:")]
"""The stages base, built by the first pod, and demo, built by all."""


class Pods:
    """Starts pods of the small pipeline's JobSet, with folders of this machine for those of the volume."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        files = render(tiny.load(folder / "project", *overrides, text=TEXT), cluster(pods=2), overrides)
        self.spec = yaml.safe_load(files["jobset.yaml"])["spec"]["replicatedJobs"][0]["template"]["spec"]
        (self._container,) = self.spec["template"]["spec"]["containers"]
        self._folder = folder
        self._port = free_port()
        self.run = folder / "artifacts/runs/tiny"

    def start(self, index: int) -> "subprocess.Popen[str]":
        """The pod of that index, by the variables of its manifest and that which the Job adds."""
        told = {one["name"]: one["value"] for one in self._container["env"]}
        told |= {"JOB_COMPLETION_INDEX": str(index), "HOME": str(self._folder), "OMP_NUM_THREADS": "1"}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.Popen(
            self.command, env={**os.environ, **told, "PATH": programs}, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    @property
    def command(self) -> list[str]:
        text = shlex.join(self._container["command"])
        for there, here in {
            "tiny-workers-0-0.tiny:29500": f"localhost:{self._port}",
            "/etc/boresight": f"{self._folder}/project",
            "/artifacts/project": f"{self._folder}/project",
            "/artifacts/runs": f"{self._folder}/artifacts/runs",
        }.items():
            assert there in text
            text = text.replace(there, here)
        return shlex.split(text)

    def final(self, exit_code: int) -> bool:
        """Whether the Job tries no pod again that ends so."""
        return any(exit_code in rule["onExitCodes"]["values"] for rule in self.spec["podFailurePolicy"]["rules"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def started(pods: Pods) -> Iterator[list["subprocess.Popen[str]"]]:
    """Both pods; the one where they meet is started when the other waits for it."""
    with ExitStack() as stack:

        def start(index: int) -> "subprocess.Popen[str]":
            process = stack.enter_context(pods.start(index))
            stack.callback(process.kill)
            return process

        second = start(1)
        assert second.stderr is not None
        waits = any("waiting for machines" in line for line in iter(second.stderr.readline, ""))
        assert waits, "the pod did not wait for the place to meet"
        yield [start(0), second]


def ended(running: list["subprocess.Popen[str]"]) -> list[tuple[int, str]]:
    """How each pod ended, and what it said."""
    said = [process.communicate(timeout=DEADLINE)[1] for process in running]
    return [(process.returncode, words) for process, words in zip(running, said, strict=True)]


@pytest.mark.slow
def test_two_pods_find_each_other_whichever_is_there_first_and_build_the_run_together(tmp_path: Path) -> None:
    pods = Pods(tmp_path)
    with started(pods) as running:
        found = ended(running)
    assert [code for code, _ in found] == [0, 0], "\n".join(said for _, said in found)
    assert "".join(said for _, said in found).count("demo (sft): building") == 1
    assert (pods.run / "stages/demo/model/model.safetensors").is_file()


@pytest.mark.slow
def test_what_a_person_has_to_mend_ends_every_pod_with_an_exit_code_that_the_job_does_not_try_again(
    tmp_path: Path,
) -> None:
    """A learning rate that no check before the start finds wrong."""
    pods = Pods(tmp_path, "stages.demo.learning_rate=1e30")
    with started(pods) as running:
        found = ended(running)
    for code, said in found:
        assert code == 2 and pods.final(code), said
        assert said.count("training error: ") == 1 and "is not finite" in said
        assert "Traceback" not in said and "start again" not in said


@pytest.mark.parametrize(("index", "said"), [("0", "fewer than 2 machines came"), ("1", "cannot be reached")])
def test_the_first_pod_alone_holds_the_rendezvous_and_one_without_others_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str, said: str
) -> None:
    """By its name alone, localhost, each would take itself for the place to meet."""
    monkeypatch.setenv(rendezvous.INDEX, index)
    pods = Pods(tmp_path)
    launched = TorchrunRun(layout=Layout(nodes=(2, 2), rendezvous=f"localhost:{free_port()}", join_within=1))
    with pytest.raises(EndedError, match=said) as raised:
        launched(tiny.load(tmp_path / "project", text=TEXT), pods.run, say=lambda line: None)
    assert raised.value.exit_code == 75 and not pods.final(75)
