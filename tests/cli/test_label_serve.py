"""The real command: what it prints, what answers, and what is there after it was ended or killed."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import boresight
from boresight.cli.label_serve import secret_file, store_beside
from boresight.web.annotation.people import add_person, all_people, invited_role
from boresight.web.annotation.projects import all_projects, progress
from boresight.web.annotation.queue import claim
from boresight.web.annotation.store import open_store
from tests.cli.conftest import Call, TinyRun, write_lines

SOURCES = str(Path(boresight.__path__[0]).parent)
TASKS = [{"id": f"t{n}", "prompt": f"Question {n}?", "responses": [f"yes {n}", f"no, not {n}"]} for n in range(3)]


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the link that it prints once it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "boresight", "label", "serve", *arguments, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": SOURCES},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_serve_makes_the_store_invites_the_first_admin_and_ends_cleanly(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl"
    write_lines(tasks, TASKS)
    place = tmp_path / "tasks.labels.db"
    with serving(str(tasks), "--overlap", "2") as (process, link):
        with urllib.request.urlopen(link) as page:
            assert "Join as admin" in page.read().decode()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in told and "3 tasks added to tasks" in told
    assert place.stat().st_mode & 0o077 == 0 and Path(f"{place}.key").stat().st_mode & 0o077 == 0
    store = open_store(place)
    code = re.findall(r"/join/([\w-]+)$", link)[0]
    assert invited_role(store, code) == "admin" and all_people(store) == []
    project = all_projects(store)[0]
    assert (project.settings.overlap, progress(store, project.id)["tasks"]) == (2, 3)
    store.close()


def test_serve_without_tasks_and_store_or_with_a_header_from_anywhere_is_refused(call: Call, tmp_path: Path) -> None:
    assert call("label", "serve").code == 2
    missing = call("label", "serve", "--store", tmp_path / "none.db")
    assert missing.code == 2 and "there is no such file" in missing.err and not (tmp_path / "none.db").exists()
    tasks = tmp_path / "tasks.jsonl"
    write_lines(tasks, TASKS)
    header = call("label", "serve", tasks, "--user-header", "X-User")
    assert header.code == 2 and "--user-network" in header.err and not (tmp_path / "tasks.labels.db").exists()
    bad = call("label", "serve", tasks, "--user-header", "X-User", "--user-network", "everywhere")
    assert bad.code == 2 and "10.0.0.0/8" in bad.err


def test_the_store_lies_beside_the_tasks_and_the_key_beside_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_beside(Path("a/tasks.jsonl.gz")) == Path("a/tasks.labels.db")
    assert secret_file("a/tasks.labels.db") == Path("a/tasks.labels.db.key")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert secret_file("postgresql://u@h/n") == Path("/state/boresight/label.key")


@pytest.mark.slow
def test_a_model_answers_prompts_while_the_pages_are_served(tmp_path: Path, tiny_run: TinyRun) -> None:
    prompts = tmp_path / "prompts.jsonl"
    write_lines(prompts, [{"id": f"p{n}", "prompt": f"Question {n}?"} for n in range(2)])
    model = str(tiny_run.folder / "stages/base")
    options = ("--model", model, "--responses", "3", "--max-new-tokens", "8", "--temperature", "1.5")
    with serving(str(prompts), *options) as (process, link):
        with urllib.request.urlopen(link) as page:
            assert page.status == 200, "the pages do not wait for the model"
        store = open_store(tmp_path / "prompts.labels.db")
        person = add_person(store, "p")
        deadline = time.monotonic() + 120
        while (held := claim(store, 1, person.id)) is None:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.2)  # the server is another process: there is no event to wait on
        assert len(set(held.responses)) in (2, 3)
        store.close()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0 and "Traceback" not in told


def test_a_folder_without_a_model_is_told_before_anything_is_made(call: Call, tmp_path: Path) -> None:
    write_lines(tmp_path / "prompts.jsonl", [{"prompt": "Why?"}])
    ended = call("label", "serve", tmp_path / "prompts.jsonl", "--model", tmp_path / "none")
    assert (
        ended.code == 2 and "no such folder" in ended.err and list(tmp_path.iterdir()) == [tmp_path / "prompts.jsonl"]
    )
    assert call("label", "serve", "--store", tmp_path / "s.db", "--model", tmp_path).code == 2
