"""From a duel to a page on this machine that answers."""

import secrets
from collections.abc import Callable

from boresight.feedback.duel import Duel
from boresight.web.duel.pages import build_duel
from boresight.web.duel.stage import Stage
from boresight.web.link_token import FIELD, Link
from boresight.web.serving import bind, link_of, open_in_browser, serve

HOST = "127.0.0.1"


def open_duel(duel: Duel, port: int, *, open_page: bool, say: Callable[[str], None]) -> None:
    """Serve the page on loopback until Ctrl-C; `say` is given the link once it answers. The link holds a token, since
    what is sent there is written to a file: others on this machine have no business in it.

    Raises ServiceError where the port is taken.
    """
    with bind(HOST, port) as bound:
        link = Link(secrets.token_urlsafe(32), f"boresight_duel_{bound.getsockname()[1]}")
        page = link_of(bound, HOST, f"/?{FIELD}={link.token}")

        def ready() -> None:
            say(page)
            if open_page:
                open_in_browser(page)

        serve(build_duel(Stage(duel), link), bound, ready)
