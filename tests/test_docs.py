"""What the documentation says is so: reference pages equal the code, commands exist, pipelines load."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from boresight.cli import main as cli
from boresight.data.sources import FORM_NAMES
from boresight.data.written_forms import TARGET_NAMES

ROOT = Path(__file__).parents[1]
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES = [*TOP, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]
"""What the code blocks of these hold is run in tests/docs."""


def test_reference_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", prose)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def test_commands_that_are_named_exist() -> None:
    verbs = {verb for page in PAGES for verb in re.findall(r"boresight ([a-z]+) ?[A-Z$`<]", page.read_text())}
    verbs |= {verb for page in PAGES for verb in re.findall(r"bin/boresight ([a-z]+)", page.read_text())}
    assert {"demo", "init", "check", "run", "report", "chat"} <= verbs
    assert verbs <= cli.VERBS.keys()  # that each answers to --help: tests/cli/test_main.py


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:^|`)make ([a-z-]+)(?:$|`)", page.read_text(), flags=re.MULTILINE)
    }
    assert {"demo", "test-slow", "check"} <= named <= targets


def test_the_page_on_data_names_every_form_that_is_read_or_written() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in (*FORM_NAMES, *TARGET_NAMES) if f"`{name}`" not in page] == []


def test_every_page_has_its_place_in_the_navigation() -> None:
    placed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE))
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).as_posix() for page in docs.rglob("*.md") if page.name[:4].isdigit() is False}
    assert pages - placed == set(), "put these into `nav` of mkdocs.yml"
    assert placed - pages == set(), "`nav` of mkdocs.yml names pages that are not there"
