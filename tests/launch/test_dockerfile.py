"""The image's recipe, held against rules, each of which is shown to see what it should."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from boresight.launch.kubernetes.pods import USER

ROOT = Path(__file__).parents[2]


class Step(NamedTuple):
    instruction: str
    words: str


def steps(text: str) -> list[Step]:
    """Instructions with what follows them, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Step(word.upper(), rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines())]


def faults(text: str) -> set[str]:
    """Names of the rules that a recipe breaks."""
    found: set[str] = set()
    done = steps(text)
    stages = {one.words.split(" AS ")[1] for one in done if one.instruction == "FROM" and " AS " in one.words}
    last = [one for n, one in enumerate(done) if all(later.instruction != "FROM" for later in done[n + 1 :])]
    for instruction, words in done:
        image = words.split(" ")[0]
        if instruction == "FROM" and image not in stages and not re.search(r":\d+\.\d+\.\d+[\w.-]*$|@sha256:", image):
            found.add("base-version")
        if instruction == "ADD":
            found.add("add")
        if instruction == "COPY" and words.split()[0] == ".":
            found.add("copy-all")
        if instruction in ("ENV", "ARG") and re.search(r"TOKEN|PASSWORD|SECRET|API_KEY", words, re.IGNORECASE):
            found.add("secret")
        if instruction == "RUN" and "apt-get install" in words:
            if "--no-install-recommends" not in words or "rm -rf /var/lib/apt/lists" not in words:
                found.add("apt")
            if "apt-get update" not in words:
                found.add("apt")
        if instruction == "RUN" and re.search(r"\bsudo\b|curl[^|]*\|\s*(ba)?sh", words):
            found.add("shell")
        if instruction == "WORKDIR" and not words.startswith("/"):
            found.add("workdir")
        if instruction in ("ENTRYPOINT", "CMD") and not words.startswith("["):
            found.add("exec-form")
    users = [one.words for one in last if one.instruction == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        found.add("user")
    if not any(one.instruction == "ENTRYPOINT" for one in last):
        found.add("entrypoint")
    return found


def test_the_recipe_keeps_the_rules_and_its_user_is_that_of_the_manifests() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert faults(text) == set()
    assert f"USER {USER}:{USER}" in text


def test_what_the_recipe_copies_is_let_in_by_the_ignore_file_and_exists() -> None:
    copied = {
        word.rstrip("/")
        for one in steps((ROOT / "Dockerfile").read_text(encoding="utf-8"))
        if one.instruction == "COPY" and "--from" not in one.words
        for word in one.words.split()[:-1]
    }
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == let_in and all((ROOT / name).exists() for name in copied)


GOOD = 'FROM python:3.12.1-slim\nRUN true\nUSER 1000:1000\nENTRYPOINT ["x"]\n'


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("python:3.12.1-slim", "python:latest", "base-version"),
        ("python:3.12.1-slim", "python", "base-version"),
        ("USER 1000:1000", "USER root", "user"),
        ("USER 1000:1000", "USER 0:0", "user"),
        ("USER 1000:1000\n", "", "user"),
        ("USER 1000:1000", "USER 1000:1000\nFROM python:3.12.1-slim", "user"),
        ("RUN true", "ADD https://example.org/x /x", "add"),
        ("RUN true", "COPY . /x", "copy-all"),
        ("RUN true", "ENV HF_TOKEN=x", "secret"),
        ("RUN true", "RUN apt-get update && \\\n  apt-get install --yes git", "apt"),
        ("RUN true", "RUN curl https://example.org | sh", "shell"),
        ("RUN true", "WORKDIR here", "workdir"),
        ('ENTRYPOINT ["x"]', "ENTRYPOINT x", "exec-form"),
        ('ENTRYPOINT ["x"]\n', "", "entrypoint"),
    ],
)
def test_each_rule_sees_its_mistake(right: str, wrong: str, rule: str) -> None:
    assert faults(GOOD) == set() and right in GOOD
    assert rule in faults(GOOD.replace(right, wrong))
