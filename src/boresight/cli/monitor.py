"""`boresight monitor`: runs, live in the browser."""

import sys
from pathlib import Path
from typing import Annotated

import typer

PORT = 7007


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or a folder that holds several.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on. Others than this machine need the token in the link.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Watch runs live in the browser.

    KL, reward, entropy and clip fraction, and all else that a stage logs, drawn as it is logged; what the doctor finds,
    as it comes; responses with their scores; settings. It only reads, so it may be started and ended at any time,
    during a run or after it. Ctrl-C ends it.

    \b
    Example:
      boresight monitor runs
      boresight monitor runs/kube-assistant --port 0 --open
    """
    from boresight.errors import DataError

    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder. Give the folder of a run or of several; `boresight run` makes it, by default "
            "runs/NAME."
        )
    from boresight.cli.web_extra import web_packages

    with web_packages():
        from boresight.web.monitor.start import open_monitor

    def say(link: str) -> None:
        print(link, flush=True)
        print("Ctrl-C ends the monitor; the runs go on.", file=sys.stderr)

    open_monitor(folder, host, port, open_page=open_page, say=say)
