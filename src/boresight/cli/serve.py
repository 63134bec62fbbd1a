"""`boresight serve`: models behind an address."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

SUBVERBS = {"reward": ("boresight.cli.serve", "reward", "Scores of a reward model over HTTP, in batches.")}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""

PORT = 7010


def command() -> None:
    """A reward model over HTTP.

    \b
    Example:
      boresight serve reward runs/NAME/stages/scorer/model
    """


def reward(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a reward model.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    batch_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tokens of one forward pass, filling included.")
    ] = 8192,
    batch_responses: Annotated[
        int, typer.Option(min=1, metavar="N", help="Responses of one forward pass; 1 scores one by one.")
    ] = 128,
    wait_ms: Annotated[
        float, typer.Option(min=0, metavar="MS", help="How long a response waits for others where the model is idle.")
    ] = 5.0,
    max_waiting: Annotated[
        int, typer.Option(min=1, metavar="N", help="Responses held at once; beyond it requests are told to come later.")
    ] = 4096,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Longest prompt with response.  [default: the model's context]"),
    ] = None,
) -> None:
    """Scores of a reward model over HTTP, for `reward: {kind: service, url: ...}`.

    Responses of all requests are scored together. Where too many wait, a request is refused with 429 and the seconds
    after which to come again. With BORESIGHT_REWARD_TOKEN in the environment scores are for those alone who send it as
    a bearer token. The address is printed once the model is loaded. Ctrl-C or SIGTERM ends it; what was accepted is
    answered first. GET /health, /ready and /metrics (Prometheus) tell how it is.

    \b
    Example:
      boresight serve reward runs/NAME/stages/scorer/model
      BORESIGHT_REWARD_TOKEN=... boresight serve reward scorer --host 0.0.0.0 --batch-tokens 32768
    """
    from boresight.errors import ServiceError

    try:
        from boresight.web.reward_service.limits import Limits
        from boresight.web.reward_service.start import open_reward_service
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("boresight"):
            raise
        raise ServiceError(
            f"the package {error.name}, which the service needs, is not installed. Install the web extra: "
            "pip install 'boresight[web]'"
        ) from error

    def say(address: str, model_hash: str) -> None:
        print(address, flush=True)
        print(f"model {model_hash[:12]}; Ctrl-C ends the service.", file=sys.stderr)

    limits = Limits(
        batch_tokens=batch_tokens, batch_responses=batch_responses, wait_seconds=wait_ms / 1000,
        waiting_responses=max_waiting, response_tokens=max_tokens,
    )  # fmt: skip
    open_reward_service(model, host, port, limits=limits, token=token(), say=say)


def token() -> str | None:
    """What clients have to send, from the environment; ServiceError for what no client can send."""
    from boresight.errors import ServiceError
    from boresight.feedback.score_client import TOKEN_VARIABLE

    found = os.environ.get(TOKEN_VARIABLE)
    if found is not None and (not found or not found.isascii() or not found.isprintable() or " " in found):
        raise ServiceError(
            f"{TOKEN_VARIABLE}: is set, but not to a token: expected visible ASCII characters without spaces."
            " Set it to a token, or unset it to let everybody ask."
        )
    return found
