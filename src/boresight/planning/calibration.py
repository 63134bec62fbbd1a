"""How much of a device's speed training and sampling reach: measured figures, shipped or of the user's own machine.

`boresight plan --calibrate` measures the processor that it runs on; figures of GPUs are published ones until somebody
measures there.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from boresight.errors import PlanError
from boresight.storage import write_json

SHIPPED = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Shares are of the peak that stands in the catalogue, or that was measured beside them."""

    source: str
    gpu_training: float
    """Share of a GPU's arithmetic that training reaches, gradients and optimizer included."""
    gpu_scoring: float
    """The same of a forward pass alone."""
    gpu_sampling: float
    """Share of a GPU's bandwidth that sampling reaches, weights and cache read once a token."""
    gpu_source: str
    cpu_flops: float
    """Of one thread in float32, products of the sizes that training has, operations a second."""
    cpu_lowered: float
    """How many times as fast training is in bfloat16."""
    cpu_bandwidth: float
    """Bytes a second, one thread."""
    cpu_training: float
    cpu_scoring: float
    cpu_sampling: float
    """Tokens a second of a small model, as a share of what bandwidth would allow."""
    cpu_step_seconds: float
    """What a step takes beside arithmetic."""
    cpu_adapted: float = 1.0
    """Training with adapters, whose products are thin: how many times as long as its arithmetic would take at the
    speed of training all weights."""
    cpu_process_bytes: int
    """Resident memory of a process that trains, beside its tensors."""
    cpu_lowered_bytes: int
    """What products in bfloat16 add to that: the library keeps a kernel for every shape."""
    cpu_adapter_bytes: int
    """What adapters add to that: more shapes of products, and their library."""
    cpu_heap_factor: float
    """What tensors that come and go take of a process's memory, in multiples of their size."""


def own_path() -> Path:
    """Where `--calibrate` keeps what it measured."""
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "boresight" / "calibration.json"


def load_calibration(path: Path | None = None) -> Calibration:
    """The file given, or the user's own where there is one, or the shipped one; PlanError where it cannot be read."""
    chosen = path or (own if (own := own_path()).is_file() else SHIPPED)
    try:
        return Calibration(**json.loads(chosen.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise PlanError(
            f"{chosen}: no calibration ({error}). Write it anew with `boresight plan --calibrate`, or remove the file."
        ) from None


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write the measured speeds of this processor; atomic."""
    write_json(path, asdict(calibration))
