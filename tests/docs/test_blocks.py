"""Every code block of the pages runs, in the order of its page, or says why no test can run it."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import TypeAdapter

from boresight.config.load import load_pipeline
from boresight.config.reward_sections import Reward
from boresight.feedback.rubric import load_rubric
from tests.docs.blocks import REASONS, ROOT, Block, blocks_in, blocks_of, pages, unfenced
from tests.docs.commands import Done, Shell, commands, decided_by, reads
from tests.docs.endpoints import Endpoints
from tests.docs.long_blocks import CLONE, distinct, run_long
from tests.docs.world import build_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Built once; each page works in a copy."""
    settings = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    folder = tmp_path_factory.mktemp("pages")
    build_world(folder)
    yield folder
    torch.set_num_threads(settings[0])
    torch.use_deterministic_algorithms(settings[1])


@pytest.fixture(scope="session")
def endpoints() -> Iterator[Endpoints]:
    with ExitStack() as stack:
        yield Endpoints(stack)


@pytest.fixture(scope="session")
def known() -> dict[Hashable, Done]:
    """What came of commands, by all that decides it."""
    return {}


@pytest.fixture
def shell(
    world: Path,
    endpoints: Endpoints,
    known: dict[Hashable, Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> Iterator[Shell]:
    folder = tmp_path / "work"
    shutil.copytree(world, folder, symlinks=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", "a key for the loopback address")
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):  # of the user, whose speeds and keys stay as they are
        monkeypatch.setenv(name, str(tmp_path / name))
    yield Shell(folder, endpoints, known, monkeypatch, capsys)


def run_console(block: Block, shell: Shell) -> None:
    for command in commands(block.text):
        code, said = shell.run(command)
        # 1: a check, a gate or a verdict of the doctor did not hold, as it may on a run of seconds.
        assert code in (0, 1) and "Traceback" not in said, f"{block.place}: {' '.join(command.words)}\n{said}"


def run_python(block: Block, shell: Shell) -> None:
    exec(compile(block.text, block.place, "exec"), shell.names)


def run_json(block: Block, shell: Shell) -> None:
    for line in block.text.splitlines() if block.text.lstrip().startswith('{"') else [block.text]:
        json.loads(line)


def run_yaml(block: Block, shell: Shell) -> None:
    """A whole pipeline; rewards; a rubric; or stages, which join a pipeline that has what they name."""
    text = block.text
    if text.startswith("reward:"):
        for part in text.split("reward:")[1:]:
            TypeAdapter(Reward).validate_python(yaml.safe_load("reward:" + part)["reward"], strict=True)
        return
    read = yaml.safe_load(text)
    if "criteria" in read:
        (shell.folder / "own.yaml").write_text(text)
        assert load_rubric("own.yaml", shell.folder).name == read["name"]
        return
    if "run" not in read and "stages" in read:
        read = read["stages"]
    if "stages" not in read:
        stages = STAND_INS | {name: stage for name, stage in read.items() if name not in ("run", "model", "data")}
        read = {"run": {"name": "page"}, "model": {"path": "models/base"}} | {
            name: read[name] for name in ("run", "model", "data") if name in read
        } | {"stages": stages}  # fmt: skip
        text = yaml.safe_dump(read)
    for name in data_files(read):
        if not (shell.folder / name).exists():
            (shell.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (shell.folder / name).touch()
    (shell.folder / "pipeline.yaml").write_text(text)
    assert set(load_pipeline(shell.folder / "pipeline.yaml").stages) == set(read["stages"])


STAND_INS: dict[str, dict[str, Any]] = {
    "demo": {"kind": "sft", "data": "demonstrations.jsonl", "steps": 1},
    "drafts": {"kind": "sample", "policy": "demo", "prompts": "prompts.jsonl"},
    "pairs": {"kind": "preferences", "sources": ["pairs.csv"]},
    "scorer": {"kind": "reward_model", "start": "demo", "data": "pairs"},
    "other_scorer": {"kind": "reward_model", "start": "demo", "data": "pairs", "epochs": 2},
    "ppo": {
        "kind": "ppo",
        "policy": "demo",
        "reference": "demo",
        "reward": "scorer",
        "prompts": "prompts.jsonl",
        "steps": 1,
    },
    "dpo": {"kind": "dpo", "policy": "demo", "reference": "demo", "data": "pairs"},
}
"""Stages that a part of a pipeline may name."""


def data_files(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from data_files(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from data_files(inner)
    elif isinstance(value, str) and value.endswith((".jsonl", ".csv", ".json", ".txt", ".parquet")):
        yield value


RUNNERS = {
    "console": run_console, "bash": run_console, "sh": run_console, "python": run_python, "json": run_json,
    "yaml": run_yaml,
}  # fmt: skip


def check_marked(block: Block, shell: Shell) -> None:
    """A mark gives a reason of the list; commands of ours below it are read all the same, so that options exist."""
    assert block.reason in REASONS, f"{block.place}: not run for {block.reason!r}; expected one of {sorted(REASONS)}"
    if RUNNERS.get(block.language) is run_console:
        for command in commands("\n".join(ours(block))):
            code, said = reads(command, shell.run)
            assert code == 0, f"{block.place}: {' '.join(command.words)}\n{said}"


def ours(block: Block) -> list[str]:
    """The commands of a block that are Boresight's own."""
    lines = re.sub(r"\\\n\s*", " ", block.text).splitlines()
    return [line for line in lines if re.match(r"(\$ )?([A-Z_]+=\S+ )*boresight ", line)]


@pytest.mark.parametrize(
    "page", [page for page in pages() if blocks_of(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_block_of_the_page_runs(page: Path, shell: Shell) -> None:
    for block in blocks_of(page):
        if block.reason is not None:
            check_marked(block, shell)
        elif block.language in RUNNERS:
            RUNNERS[block.language](block, shell)
        else:
            language = block.language or "no language"
            pytest.fail(f"{block.place}: no way to run a block of {language}; name its language or mark it")


def test_what_can_run_is_fenced() -> None:
    assert {str(page.relative_to(ROOT)): found for page in pages() if (found := unfenced(page.read_text()))} == {}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("Then:\n\n    boresight run a.yaml\n", True),
        ("Then:\n\n    stages:\n      a: 1\n", True),
        ("So:\n\n    run: {name: a}\n", True),
        ("1. So:\n\n       kubectl get pods\n", True),
        ("So:\n\n    one = bs.load('a')\n", True),
        ("By:\n\n    data error: a\n", True),
        ("By:\n\n    loss = - log sigmoid(beta d)\n", False),
        ("By:\n\n    P(m wins) = sigmoid(strength)\n", False),
        ("```console\n\n    boresight run a.yaml\n```\n", False),
        ("- one line,\n    boresight run\n", False),
    ],
)
def test_commands_are_told_from_formulas(text: str, seen: bool) -> None:
    assert bool(unfenced(text)) == seen


PAGE = Path("page.md")
MINUTES = "<!-- not run: minutes of training -->\n"


def test_a_long_block_runs_once_in_the_clone_with_what_its_page_wrote_before(tmp_path: Path) -> None:
    one, other = "test -f NAME", "touch second"
    page = tmp_path / "page.md"
    blocks = ("boresight init mine  # at first\nboresight check mine", f"{one}  # why", one, f"{other}\nfalse")
    page.write_text(MINUTES.join(f"```console\n{text}\n```\n" for text in blocks))
    first, second = distinct(blocks_of(page))
    assert (first.text, second.text) == (f"{one}  # why\n", f"{other}\nfalse\n")
    (tmp_path / CLONE).mkdir()
    run_long(first, tmp_path, {"NAME": Path("mine/pipeline.yaml")})
    page.write_text("")  # what the page wrote is there, and is not written over
    with pytest.raises(subprocess.CalledProcessError):
        run_long(second, tmp_path, {})
    assert (tmp_path / CLONE / "second").exists()


def test_what_a_command_found_is_known_until_its_files_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("ratings.csv", "pipeline.yaml"):
        Path(name).write_text("before")
    words = ["eval", "agreement", "ratings.csv"]
    before = decided_by(words)
    assert before is not None and before == decided_by(words) != decided_by([*words, "--json"])
    Path("ratings.csv").write_text("after")
    assert decided_by(words) != before
    for other in ([*words, "--report", "page.html"], ["data", "inspect", "ratings.csv"], ["check", "pipeline.yaml"]):
        assert decided_by(other) is None


def test_blocks_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    found = [block for page in pages() for block in blocks_of(page)]
    marked = Counter(block.reason for block in found if block.reason is not None)
    with capsys.disabled():
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(marked.items(), key=str))
        print(f"\ncode blocks: {len(found) - marked.total()} executed, {marked.total()} marked ({told})")
    left_out = [block for block in found if block.reason is not None and ours(block)]  # kubectl and curl are not ours
    assert 5 * len(left_out) < len(found) - marked.total(), "what is marked is meant to be the exception"


@pytest.mark.parametrize(
    ("text", "language", "reason"),
    [
        ("```console\nboresight demo\n```\n", "console", None),
        ("<!-- not run: needs a GPU -->\n```console\nboresight demo\n```\n", "console", "needs a GPU"),
        ("<!-- not run: because -->\n\n```text\n1\n```\n", "text", "because"),
        ("- item\n\n  ```yaml\n  a: 1\n  ```\n", "yaml", None),
        ("```\nno language\n```\n", "", None),
    ],
)
def test_blocks_are_found_with_language_and_mark(text: str, language: str, reason: str | None) -> None:
    (block,) = blocks_in(text, PAGE)
    assert (block.language, block.reason) == (language, reason)


@pytest.mark.parametrize(
    "text",
    [
        "boresight nosuchverb", "boresight run", "boresight run absent.yaml", "boresight data inspect --nosuch 1",
        "boresight data inspect absent.csv", "make nosuchtarget", "pip install 'boresight[nosuch]'", "rm -r folder",
    ],
)  # fmt: skip
def test_a_block_that_does_not_run_is_seen(text: str, shell: Shell) -> None:
    with pytest.raises((AssertionError, ValueError)):
        run_console(Block(PAGE, 1, "console", text + "\n", None), shell)


@pytest.mark.parametrize("text", ["boresight nosuchverb", "boresight plan --nosuch 1", "boresight judge batch nosuch"])
def test_a_marked_block_is_read_all_the_same(text: str, shell: Shell) -> None:
    check_marked(Block(PAGE, 1, "console", "boresight demo\n", "minutes of training"), shell)
    with pytest.raises(AssertionError):
        check_marked(Block(PAGE, 1, "console", text + "\n", "needs a GPU"), shell)
    with pytest.raises(AssertionError):
        check_marked(Block(PAGE, 1, "console", "boresight demo\n", "no time"), shell)
