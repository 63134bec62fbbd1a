"""How many processes on how many machines, and what can be told of them before any starts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from boresight.config.pipeline import Pipeline
from boresight.config.several_processes import SHARED_KINDS
from boresight.errors import ConfigError, PlanError

RESTARTS = 3
JOIN_WITHIN = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Processes of this machine, and the machines that they meet those of."""

    processes: int = 1
    nodes: tuple[int, int] = (1, 1)
    """As few machines as do, and as many as are taken."""
    rendezvous: str | None = None
    """HOST:PORT where machines meet; None: this one is alone."""
    restarts: int = RESTARTS
    """How often all processes are started again after one has died."""
    join_within: int = JOIN_WITHIN
    """Seconds that machines wait for each other."""

    @property
    def least(self) -> int:
        """Processes of as few machines as do, likewise."""
        return self.processes * self.nodes[0]

    @property
    def most(self) -> int:
        """Processes of all machines, if every machine comes with as many as this one."""
        return self.processes * self.nodes[1]


def processes_here(say: Callable[[str], None]) -> int:
    """One for each GPU; without any, one, which is said."""
    gpus = torch.cuda.device_count()
    if not gpus:
        say("note: no GPU here, so one process computes on the processor; --processes N starts N of them")
    return max(1, gpus)


def nodes_of(text: str) -> tuple[int, int]:
    """`2` or `1:4`. Raises ConfigError for anything else."""
    least, _, most = text.partition(":")
    counts = [int(count) if count.isascii() and count.isdigit() else 0 for count in (least, most or least)]
    if text.endswith(":") or not 1 <= counts[0] <= counts[1]:
        raise ConfigError(
            f"--nodes {text}: expected a number of machines, or MIN:MAX with 1 <= MIN <= MAX, as 2 or 1:4."
        )
    return counts[0], counts[1]


def refuse_what_cannot_be_met(layout: Layout, gpus: int) -> None:
    """What is asked of the machine and of the others, held against what there is.

    Raises ConfigError for options that do not go together, PlanError for fewer `gpus` than processes.
    """
    if layout.nodes[1] > 1 and layout.rendezvous is None:
        raise ConfigError(
            f"--nodes {layout.nodes[1]}: the machines have to meet somewhere. Give all of them the same --rendezvous "
            "HOST:PORT: one of them, and a port that is free there."
        )
    if 0 < gpus < layout.processes:
        raise PlanError(
            f"--processes {layout.processes}: each takes a GPU, and this machine has {gpus}: short by "
            f"{layout.processes - gpus}. Nothing was started. Take --processes {gpus}, or hide the GPUs and compute on "
            "the processor (CUDA_VISIBLE_DEVICES= before the command)."
        )


def notes(pipeline: Pipeline, layout: Layout, only: str | None) -> Sequence[str]:
    """What people should know before they wait: stages that gain nothing from more processes."""
    if layout.most == 1:
        return []
    chosen = {name: stage.kind for name, stage in pipeline.stages.items() if only in (None, name)}
    by_first = [f"{name} ({kind})" for name, kind in chosen.items() if kind not in SHARED_KINDS]
    if len(by_first) == len(chosen):
        return [f"warning: none of the stages is shared ({', '.join(SHARED_KINDS)} are): all but one process will wait"]
    told = f"note: built by the first process alone while the others wait: {', '.join(by_first)}"
    return [told] if by_first else []
