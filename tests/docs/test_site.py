"""The built site: dead links end the build, pages ask nobody, are readable on a phone, and can be searched as files."""

import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT
from tests.web.browsing import FAINT, chromium

BUILDER = Path(sys.executable).with_name("zensical")
needs_builder = pytest.mark.skipif(not BUILDER.exists(), reason="needs the extra docs (zensical)")

MAIN = ("index", "quickstart", "questions", "comparison", "museum", "stages/ppo", "verbs/judge", "contributing/adding")
"""Pages of each kind; that the others hold no other parts is what their common theme is for."""


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    done = subprocess.run([sys.executable, str(ROOT / "docs/build.py")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    yield ROOT / "build" / "site"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@needs_builder
@pytest.mark.parametrize("link", ["absent.md", "index.md#absent"])
def test_a_dead_link_or_anchor_ends_the_build(tmp_path: Path, link: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: s\ntheme: {name: material, font: false}\nplugins: [search, offline]\n"
    )
    (tmp_path / "docs/index.md").write_text(f"# Start\n\n[there]({link})\n")
    command = [str(BUILDER), "build", "--strict", "--clean"]
    dead = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert dead.returncode != 0 and "does not exist" in dead.stdout + dead.stderr
    (tmp_path / "docs/index.md").write_text("# Start\n\n[there](index.md#start)\n")
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_what_a_page_would_load_from_elsewhere_is_found_and_the_shim_comes_from_beside_it(tmp_path: Path) -> None:
    build = runpy.run_path(str(ROOT / "docs" / "build.py"), run_name="build")
    build["mended"].__globals__["SITE"] = tmp_path
    (tmp_path / "deep").mkdir()
    page = tmp_path / "deep" / "page.html"
    page.write_text('<script src="https://unpkg.com/iframe-worker/shim" type="text/javascript"></script>')
    assert build["mended"](page) == [] and 'src="../offline-worker.js"' in page.read_text()
    page.write_text('<link href="https://fonts.example/x.css"><a href="https://example.org">a link asks nobody</a>')
    (fault,) = build["mended"](page)
    assert "fonts.example" in fault


@pytest.mark.slow
@needs_builder
@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_pages_ask_nobody_and_are_readable(site: Path, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        tab, faults = context.new_page(), list[str]()
        tab.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else faults.append(r.url))
        for page in MAIN:
            tab.goto((site / f"{page}.html").as_uri())
            assert faults == [], page
            assert tab.evaluate("document.documentElement.scrollWidth") <= width, page
            assert tab.evaluate(FAINT) == [], page
            assert tab.evaluate("[...document.images].every((one) => one.complete && one.alt)"), page
            assert tab.evaluate("document.querySelectorAll('h1').length") == 1, page
    finally:
        context.close()


@needs_builder
@pytest.mark.browser
def test_the_site_can_be_searched_as_files(site: Path, browser: Any, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path / "carried away")
    tab = browser.new_page()
    tab.goto((tmp_path / "carried away" / "stages" / "ppo.html").as_uri())
    tab.set_default_timeout(10_000)
    tab.keyboard.press("/")
    tab.get_by_placeholder("Search").fill("kl_runaway")
    found = tab.locator("a[href*='.html?h=']").filter(has_text="kl_runaway")
    found.first.wait_for()
    assert any("museum.html" in (link.get_attribute("href") or "") for link in found.all())
    tab.close()
