"""Logging in with a real browser: its Origin and Sec-Fetch headers, its cookies, its content policy."""

import time

import pytest

from tests.web.browsing import chromium, served, visit
from tests.web.tiny_face import PASSWORD, book, tiny_face

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (375, "dark")])
def test_a_person_logs_in_by_the_keyboard(width: int, scheme: str) -> None:
    accounts = book()
    with (
        chromium() as browser,
        served(tiny_face(accounts, time.time)) as address,
        visit(browser, address, width=width, scheme=scheme) as page,
    ):
        tab = page.tab
        tab.goto(f"{address}/mine")
        assert tab.url == f"{address}/login?next=/mine"
        page.check()
        assert tab.evaluate("document.activeElement.name") == "name"
        tab.keyboard.type("ann")
        tab.keyboard.press("Tab")
        tab.keyboard.type("wrong password")
        tab.keyboard.press("Enter")
        tab.get_by_role("alert").wait_for()
        page.faults.clear()  # the browser notes the 403
        page.check()
        tab.get_by_label("Password").fill(PASSWORD)
        tab.keyboard.press("Enter")
        tab.wait_for_url(f"{address}/mine")
        assert '"ann"' in tab.locator("body").inner_text()
        assert tab.evaluate("document.cookie") == "", "no script can read the cookie"
        tab.goto(f"{address}/nowhere")
        assert tab.locator("h1").inner_text() == "Not Found"
    assert accounts.noted == ["wrong password", "login"]
