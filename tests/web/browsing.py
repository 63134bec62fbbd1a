"""Chromium for tests of pages, and what is asked of every page: no errors, no sideways scrolling, names, contrast."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from boresight.web.serving import bind, link_of

CHROMIUM = Path("/usr/bin/chromium")

NAMELESS = """() => [...document.querySelectorAll(
    'a, button, input:not([type=hidden]), select, textarea, [role=img], progress')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.getAttribute('aria-label') || one.labels?.length || one.textContent.trim() || one.title))
  .map((one) => one.outerHTML)"""
"""Controls and pictures without a name for those who do not see them."""

LEVELS = """() => [...document.querySelectorAll('h1, h2, h3, h4')].filter((one) => one.checkVisibility())
  .map((one) => Number(one.tagName[1]))"""

FAINT = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const mix = (top, under, c) => [c, top[c] * top.a + under[c] * (1 - top.a)];
  const over = (top, under) => Object.fromEntries(['r', 'g', 'b'].map((c) => mix(top, under, c)));
  const light = ({ r, g, b }) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    if (!element) return { r: 255, g: 255, b: 255 };
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.a === 1 ? own : over(own, ground(element.parentElement));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('.skip, script')) continue;
    const style = getComputedStyle(element), under = ground(element);
    const a = light(over(parse(style.color), under)), b = light(under);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
    if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) {
      found.push(`${ratio.toFixed(2)}: ${element.className} ${walker.currentNode.data.trim().slice(0, 40)}`);
    }
  }
  return found;
}"""
"""Texts below the contrast of WCAG 2.2 AA (1.4.3), with the ratio."""


REACHABLE = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary')]
  .filter((one) => one.checkVisibility() && !one.disabled)"""
FOCUSED = f"() => ({REACHABLE})().indexOf(document.activeElement)"
ALONE = f"""() => ({REACHABLE})().map((one, place) => [one, place])
  .filter(([one]) => !(one.type === 'radio')).map(([, place]) => place)"""
"""Places of what Tab has to reach; of a group of radio buttons it reaches one."""


class Visit:
    """A tab that keeps what went wrong in it."""

    def __init__(self, tab: Any, address: str) -> None:
        self.tab, self.faults = tab, list[str]()
        tab.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: self.faults.append(str(error)))
        tab.on("request", lambda r: None if r.url.startswith(address) else self.faults.append(f"asked for {r.url}"))

    def check(self) -> None:
        """What holds for every page of ours."""
        tab = self.tab
        assert self.faults == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"]
        assert tab.evaluate(NAMELESS) == []
        assert tab.evaluate(FAINT) == []
        levels = tab.evaluate(LEVELS)
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(levels)), levels

    def check_focus_order(self) -> None:
        """Tab reaches every control, in the order in which the page is read, and shows where it is."""
        tab = self.tab
        tab.evaluate("document.querySelector('.skip').focus()")  # the first thing on every page
        wanted, met = tab.evaluate(ALONE), [0]
        for _ in range(2 * len(wanted) + 20):
            tab.keyboard.press("Tab")
            place = tab.evaluate(FOCUSED)
            if place < met[-1]:
                break  # out of the page, or at its beginning again
            if place > met[-1]:  # a date has parts, each with a stop of its own
                met.append(place)
        assert set(wanted) <= set(met), [place for place in wanted if place not in met]
        assert tab.evaluate("[...document.querySelectorAll('[tabindex]')].every((one) => one.tabIndex <= 0)")


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The app on a socket of loopback, answered from a thread of this process; its address."""
    with bind("127.0.0.1", 0) as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        yield link_of(bound, "127.0.0.1", "")  # the socket listens already: a first request waits until it is answered
        server.should_exit = True
        thread.join(10)


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visit(browser: Any, address: str, *, width: int = 1280, scheme: str = "light") -> Iterator[Visit]:
    """A tab with storage of its own."""
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    try:
        tab = context.new_page()
        tab.set_default_timeout(10_000)
        yield Visit(tab, address)
    finally:
        context.close()
