"""Where the machines of a run meet: a store that torch keeps on one of them, or on this one alone."""

import os
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress

from torch.distributed.elastic.rendezvous import (
    RendezvousClosedError,
    RendezvousError,
    RendezvousHandler,
    RendezvousParameters,
    RendezvousTimeoutError,
)
from torch.distributed.elastic.rendezvous.registry import get_rendezvous_handler

from boresight.errors import ClusterError, ConfigError
from boresight.launch.torchrun.layout import Layout
from boresight.launch.torchrun.reports import EndedError

LOOPBACK = "127.0.0.1"
LAST_PORT = 65535
KNOCK, ANSWERED_WITHIN = 2.0, 10.0  # seconds
ASKING = "asking at the rendezvous"
INDEX = "JOB_COMPLETION_INDEX"
"""Which of its pods this is, told by an indexed Job of Kubernetes."""
TRY_AGAIN = 75
"""Exit code where other machines did not come, or are gone: EX_TEMPFAIL of sysexits.h."""


def meeting_place(layout: Layout, name: str, say: Callable[[str], None]) -> RendezvousHandler:
    """Where the machines of the run meet.

    Raises ClusterError where that place belongs to another program, EndedError where it cannot be reached in time.
    """
    if layout.rendezvous is None:
        return get_rendezvous_handler(_parameters(layout, f"{LOOPBACK}:0", str(uuid.uuid4())))
    parameters = _parameters(layout, layout.rendezvous, f"boresight-{name}")
    try:
        socket.create_connection(place_of(layout.rendezvous), KNOCK).close()
    except socket.gaierror as error:  # of a machine that a cluster is still starting, or a typing error
        why = f"that name is not known here ({error.strerror}); waiting for it"
    except OSError:
        why = "waiting for machines"
    else:
        return _answering(parameters, layout.rendezvous)
    say(f"rendezvous at {layout.rendezvous}: {why}, {layout.join_within} seconds at most")
    try:
        return get_rendezvous_handler(parameters)
    except RendezvousError as error:
        raise not_met(layout, error) from error


def place_of(rendezvous: str) -> tuple[str, int]:
    """HOST and PORT. Raises ConfigError where it is neither."""
    host, _, port = rendezvous.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= LAST_PORT:
        raise ConfigError(f"--rendezvous {rendezvous}: expected HOST:PORT, as node0.example:29500.")
    return host, int(port)


def _parameters(layout: Layout, endpoint: str, name: str) -> RendezvousParameters:
    least, most = layout.nodes
    patience = {"timeout": layout.join_within, "join_timeout": layout.join_within, "read_timeout": layout.join_within}
    local, here = (LOOPBACK, None) if layout.rendezvous is None else (None, _held_here())
    return RendezvousParameters("c10d", endpoint, name, least, most, local_addr=local, is_host=here, **patience)


def _held_here() -> bool | None:
    """Whether the rendezvous is on this machine: of an indexed Job's pods on the first. None for any other machine:
    torch asks DNS, which may not know the name of a pod yet."""
    index = os.environ.get(INDEX)
    return None if index is None else index == "0"


def _answering(parameters: RendezvousParameters, place: str) -> RendezvousHandler:
    """The rendezvous at a place where somebody listens; torch would wait forever for an answer of another program."""
    found: list[RendezvousHandler] = []

    def ask() -> None:
        with suppress(RendezvousError):
            found.append(get_rendezvous_handler(parameters))

    asking = threading.Thread(target=ask, name=ASKING, daemon=True)
    asking.start()
    asking.join(ANSWERED_WITHIN)
    if not found:
        raise ClusterError(
            f"--rendezvous {place}: another program listens there, or a run that has ended. Nothing was started. "
            "Choose a port that is free on that machine, the same for all machines."
        )
    return found[0]


def not_met(layout: Layout, error: RendezvousError) -> EndedError:
    """The same in words: closed by another machine, too few came, or out of reach."""
    where = "the rendezvous on this machine" if layout.rendezvous is None else f"--rendezvous {layout.rendezvous}"
    if isinstance(error, RendezvousClosedError):
        said = "another machine has ended the run; what it was stands there."
    elif isinstance(error, RendezvousTimeoutError):
        said = (
            f"fewer than {layout.nodes[0]} machines came within {layout.join_within} seconds. Start the same command "
            "on each of them, or ask for fewer (--nodes MIN:MAX). The last checkpoint is kept."
        )
    else:
        said = (
            "cannot be reached, or not any more. The machine of that name holds the rendezvous: see that the command "
            "runs there and that no firewall is between. The last checkpoint is kept."
        )
    return EndedError(f"{where}: {said}", TRY_AGAIN)
