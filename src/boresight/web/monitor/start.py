"""From a folder and an address to a monitor that answers."""

import secrets
from collections.abc import Callable
from pathlib import Path

from boresight.web.link_token import FIELD, Link
from boresight.web.monitor.pages import build_monitor
from boresight.web.serving import bind, is_loopback, link_of, open_in_browser, serve
from boresight.web.shell import LOOPBACK


def open_monitor(folder: Path, host: str, port: int, *, open_page: bool, say: Callable[[str], None]) -> None:
    """Serve the monitor until Ctrl-C; `say` is given the link once it answers.

    On loopback everybody on this machine may look; elsewhere only who has the token of the link. Raises ServiceError
    where the address is taken or the charts' package is missing.
    """
    alone = is_loopback(host)
    with bind(host, port) as bound:
        # Cookies do not tell ports apart: two monitors on one machine need two names.
        link = None if alone else Link(secrets.token_urlsafe(32), f"boresight_monitor_{bound.getsockname()[1]}")
        # Under which name others reach this machine is not known here; there the token is what protects.
        app = build_monitor(folder, hosts=(*LOOPBACK, host.lower()) if alone else ("*",), link=link)
        page = link_of(bound, host, f"/?{FIELD}={link.token}" if link else "/")

        def ready() -> None:
            say(page)
            if open_page:
                open_in_browser(page)

        serve(app, bound, ready)
