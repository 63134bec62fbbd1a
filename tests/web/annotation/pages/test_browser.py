"""The whole flow in a browser, by the keyboard."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from boresight.web.annotation.projects import NewTask
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.made import task
from tests.web.annotation.pages.conftest import Team
from tests.web.browsing import Visit, chromium, served, visit
from tests.web.tiny_face import PASSWORD

pytestmark = pytest.mark.browser

CRITERIA = ({"name": "helpful", "question": "Which is more helpful?"},)
PAGES = (
    "/", "/projects/1", "/review", "/review/1", "/review/1/1", "/quality/1",
    "/admin", "/admin/projects/1", "/admin/people", "/admin/log", "/account",
)  # fmt: skip
HARM = "<script>document.title = 'owned'</script> **bold** ![x](http://evil.example/x.png)"


def log_in(page: Visit, address: str, name: str) -> None:
    page.tab.goto(f"{address}/login")
    page.tab.locator("input[name=name]:focus").wait_for()  # the page puts the cursor there
    page.tab.keyboard.type(name)
    page.tab.keyboard.press("Tab")
    page.tab.keyboard.type(PASSWORD)
    page.tab.keyboard.press("Enter")
    page.tab.wait_for_url(f"{address}/")


def buttons_in_line(page: Visit) -> list[tuple[float, float]]:
    row = page.tab.locator("main .row", has_text="Audit log")
    boxes = [one.bounding_box() for one in row.locator("a, button").all()]
    return [(box["y"], box["height"]) for box in boxes]


def ready(page: Visit, kind: str) -> Any:
    """The task on the page, once it is there."""
    found = page.tab.locator(f"[data-kind={kind}]")
    found.wait_for()
    return found.get_attribute("data-task")


def harmful() -> NewTask:
    made = task("t0")
    return NewTask(key="t0", prompt=made.prompt, responses=[{"text": HARM}, {"text": "plain"}])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_pairs_and_a_ranking_are_labelled_by_keys_taken_back_reloaded_and_exported(
    make_team: Callable[..., Team], width: int, scheme: str
) -> None:
    team = make_team(harmful(), task("t1"), task("r", 4), overlap=1, criteria=CRITERIA)
    with (
        chromium() as browser,
        served(team.app) as address,
        visit(browser, address, width=width, scheme=scheme) as page,
    ):
        tab = page.tab
        log_in(page, address, "ann")
        page.check()
        shown_after = []
        for _ in range(3):  # a server at work; what else the machine does may hold up one load, but not all
            tab.goto(f"{address}/label/1")
            first = ready(page, "pair")
            shown_after.append(tab.evaluate("performance.getEntriesByName('task shown')[0].startTime"))
        assert min(shown_after) < 1000, f"milliseconds from the navigation to the first task: {shown_after}"
        page.check()
        assert "bold" in tab.locator(".candidate strong").inner_text() and tab.locator(".candidate img").count() == 0

        tab.keyboard.press("2")  # two keys are a vote
        assert tab.get_by_text("Which is more helpful?").is_visible(), "criteria are asked one by one"
        tab.keyboard.press("Enter")
        tab.wait_for_function("first => document.querySelector('.task').dataset.task !== first", arg=first)
        page.check()

        tab.keyboard.press("u")
        tab.wait_for_function("first => document.querySelector('.task').dataset.task === first", arg=first)
        assert tab.locator("[name=choice]:checked").get_attribute("value") == "-2", "undo shows what was answered"
        tab.keyboard.press("4")
        tab.keyboard.press("7")
        tab.keyboard.press("c")
        tab.keyboard.type("about the same, 1 2 3")
        tab.reload()  # before the draft can have reached the server
        assert ready(page, "pair") == first
        assert tab.locator("[name=choice]:checked").get_attribute("value") == "0", "reload keeps the draft"
        assert tab.locator("#comment").input_value() == "about the same, 1 2 3"
        tab.keyboard.press("Enter")
        tab.wait_for_function("first => document.querySelector('.task').dataset.task !== first", arg=first)

        tab.keyboard.press("b")
        tab.keyboard.press("Enter")
        ready(page, "ranking")
        tab.keyboard.type("31=2")  # what is left is the last
        assert tab.locator("#order").inner_text() == "3 > 1 = 2 > 4"
        page.check()
        tab.keyboard.press("Enter")
        tab.get_by_text("Nothing left for you now").wait_for()
        page.check()
        assert tab.title() != "owned"
    pair, other, ranking = (one.labelled.votes[0] for one in voted_tasks(team.store, 1))
    assert (pair.verdict, pair.comment, set(pair.criteria.values())) == ("tie", "about the same, 1 2 3", {3}) or (
        pair.criteria == {"helpful": -3}
    )
    assert other.verdict == "both_bad"
    assert [ranking.ranks[response] for response in ranking.shown] == [2, 2, 1, 3]


@pytest.mark.slow
def test_a_reviewer_decides_by_keys_and_an_admin_downloads_the_result(make_team: Callable[..., Team]) -> None:
    team = make_team(task("t0"))
    for name, best in (("ann", 0), ("ben", 1)):
        held = claim(team.store, 1, team.person(name))
        assert held is not None
        step = -2 if held.responses[0] == f"t0 answer {best}" + "!" * best else 2
        submit(team.store, held.task_id, team.person(name), {"preference": step}, key="k")
    with chromium() as browser, served(team.app) as address:
        with visit(browser, address) as page:
            log_in(page, address, "rey")
            page.tab.goto(f"{address}/review/1/next")
            page.check()
            page.tab.keyboard.press("1")
            page.tab.keyboard.press("Enter")
            page.tab.get_by_text("No task waits for a decision").wait_for()
        with visit(browser, address, scheme="dark", width=375) as page:
            log_in(page, address, "ada")
            for path in ("/admin", "/admin/projects/1", "/admin/people", "/admin/log", "/account", "/quality/1"):
                page.tab.goto(f"{address}{path}")
                page.check()
            page.tab.goto(f"{address}/admin/projects/1")
            with page.tab.expect_download() as download:
                page.tab.get_by_role("button", name="Download").click()
            pairs = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert len(pairs) == 1 and pairs[0].get("p_chosen", 1.0) == 1.0, "the decision is the label"
    assert pairs[0]["chosen"][0]["content"] == "t0 answer 0"


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_every_page_has_names_contrast_and_an_order_of_focus(
    make_team: Callable[..., Team], width: int, scheme: str
) -> None:
    team = make_team(harmful(), task("t1"), task("r", 4), overlap=2, criteria=CRITERIA, guidelines="# Be *kind*")
    for name, step in (("ben", -3), ("rey", 3)):
        held = claim(team.store, 1, team.person(name))
        assert held is not None
        submit(
            team.store, held.task_id, team.person(name), {"verdict": "tie"} if step < 0 else {"preference": 1}, key="k"
        )
    with (
        chromium() as browser,
        served(team.app) as address,
        visit(browser, address, width=width, scheme=scheme) as page,
    ):
        page.tab.goto(f"{address}/login")
        page.check()
        page.check_focus_order()
        log_in(page, address, "ada")
        for path in (*PAGES, "/label/1"):
            page.tab.goto(f"{address}{path}")
            if path == "/label/1":
                ready(page, "pair")
            page.check()
            page.check_focus_order()
            if path == "/admin" and width > 1000:
                places = buttons_in_line(page)
                assert len(places) == 3 and len(set(places)) == 1, "buttons and links that look like them stand in line"
