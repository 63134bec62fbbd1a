"""The monitor in a real browser, on a run that grows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.web.browsing import chromium, visit
from tests.web.monitor.growing_run import GrowingRun
from tests.web.monitor.server import monitor

pytestmark = pytest.mark.browser

STAGE = "/runs/helper/stages/align"
REWARD = 'figure[data-metric="reward/score"]'

DRAWN = """(metric) => {
  const figure = document.querySelector(`figure[data-metric="${metric}"]`);
  const canvases = [];
  const search = (node) => {
    if (node instanceof HTMLCanvasElement) canvases.push(node);
    if (node.shadowRoot) [...node.shadowRoot.children].forEach(search);
    [...node.children].forEach(search);
  };
  if (figure) search(figure);
  const wanted = getComputedStyle(document.querySelector('.state.running') ?? document.querySelector('.state')).color
    .match(/\\d+/g).map(Number);
  return canvases.some((canvas) => {
    if (!canvas.width || !canvas.height) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] > 200 && wanted.every((value, c) => Math.abs(data[i + c] - value) < 12)) found += 1;
    }
    return found > 50;
  });
}"""
"""Whether a curve of the colour of "under way" stands in the chart: both are the first colour of the style sheet."""

CHANGED = "([place, before]) => document.querySelector(place).textContent !== before"


class Scene(NamedTuple):
    browser: Any
    address: str
    run: GrowingRun


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder: Path = tmp_path_factory.mktemp("runs")
    run = GrowingRun(folder)
    run.grow(60)
    with chromium() as browser, monitor(folder) as (_, link):
        yield Scene(browser, link.rstrip("/"), run)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_pages_are_whole_at_a_desk_and_on_a_phone_in_light_and_dark(scene: Scene, width: int, scheme: str) -> None:
    with visit(scene.browser, scene.address, width=width, scheme=scheme) as page:
        for path in ("/", "/runs/helper", STAGE):
            page.tab.goto(scene.address + path)
            if path == STAGE:
                page.tab.wait_for_function(DRAWN, arg="reward/score")
                for summary in page.tab.locator("summary").all():
                    summary.click()
            page.check()
        background = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(250, 250, 248)", "dark": "rgb(14, 19, 23)"}[scheme]


def test_charts_findings_and_responses_grow_with_the_run(scene: Scene) -> None:
    with visit(scene.browser, scene.address) as page:
        tab = page.tab
        tab.goto(scene.address + STAGE)
        tab.wait_for_function(DRAWN, arg="reward/score")
        before = tab.locator(f"{REWARD} .latest").inner_text()
        tab.locator("#begin > summary").click()
        scene.run.grow(3, "A newer answer.")
        tab.wait_for_function(CHANGED, arg=[f"{REWARD} .latest", before])
        tab.get_by_text(f"A newer answer. ({scene.run.steps - 1}.0)").wait_for()
        tab.get_by_text(f"over {scene.run.steps} logged steps").wait_for()
        assert tab.locator("#begin").get_attribute("open") is not None, "what was folded out stays so"
        assert page.faults == []


def test_the_theme_button_changes_page_and_charts_and_is_remembered(scene: Scene) -> None:
    with visit(scene.browser, scene.address) as page:
        tab = page.tab
        tab.goto(scene.address + STAGE)
        tab.wait_for_function(DRAWN, arg="reward/score")
        tab.locator("#theme").click()
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 23)"
        tab.wait_for_function(DRAWN, arg="reward/score")
        tab.reload()
        assert tab.locator("#theme").inner_text() == "Light"
        page.check()


def test_the_keyboard_comes_first_to_the_content_then_to_the_head(scene: Scene) -> None:
    with visit(scene.browser, scene.address) as page:
        tab = page.tab
        tab.goto(scene.address + STAGE)
        order = []
        for _ in range(6):
            tab.keyboard.press("Tab")
            order.append(tab.evaluate("document.activeElement.textContent.trim()"))
        assert order == ["Skip to the content", "boresight", "Runs", "helper", "Dark", "demo"]
        tab.reload()
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"


def test_a_server_that_is_gone_is_told(scene: Scene) -> None:
    with visit(scene.browser, scene.address) as page:
        page.tab.clock.install()
        page.tab.goto(scene.address + "/")
        page.tab.route("**/part/**", lambda route: route.abort())
        for _ in range(10):
            page.tab.clock.run_for(3000)
        page.tab.get_by_text("No answer from the server.").wait_for()
        page.tab.unroute("**/part/**")
        page.tab.clock.run_for(60_000)
        page.tab.locator("#lost").wait_for(state="hidden")
