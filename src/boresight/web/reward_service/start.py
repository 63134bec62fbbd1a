"""From a model's folder and an address to a service that answers, and an orderly end."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from boresight.models.loading import default_device
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.model import load_served_model
from boresight.web.reward_service.service import Scoring, build_reward_service
from boresight.web.serving import bind, is_loopback, link_of, serve
from boresight.web.shell import LOOPBACK

SECONDS_TO_FINISH = 60
"""How long the end waits for what is held to be scored."""


def open_reward_service(
    model: Path, host: str, port: int, *, limits: Limits, token: str | None, say: Callable[[str, str], None]
) -> None:
    """Serve until Ctrl-C or SIGTERM; `say` is given the address and the model's hash once it is loaded.

    The port is taken and /health answers before the model is loaded, so that a taken port is told at once and whoever
    waits sees that there is something to wait for. What was accepted is answered before the end. Raises ServiceError
    where the address cannot be had, ModelError where the folder holds no reward model.
    """
    alone = is_loopback(host)
    if not alone and token is None:
        print(f"warning: {host}: whoever reaches this port may ask for scores; no token is set.", file=sys.stderr)
    scoring = Scoring(limits)
    faults: list[Exception] = []
    with bind(host, port) as bound:

        def load() -> None:
            try:
                served = load_served_model(model, default_device(), limits.response_tokens)
            except Exception as error:  # raised again below, in the thread that can tell it
                faults.append(error)
                os.kill(os.getpid(), signal.SIGINT)  # ends the server in order, as Ctrl-C would
                return
            scoring.serve(served)
            say(link_of(bound, host, ""), served.hash)

        app = build_reward_service(scoring, hosts=(*LOOPBACK, host.lower()) if alone else ("*",), token=token)
        loading = threading.Thread(target=load, daemon=True)
        serve(app, bound, loading.start, seconds_to_finish=SECONDS_TO_FINISH)
    if faults:
        raise faults[0]
