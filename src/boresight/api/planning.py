"""`plan`: which method fits this model, data and hardware, and what it takes. This module loads neither torch nor
numpy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.errors import PlanError
from boresight.planning.calibration import load_calibration
from boresight.planning.case import Case, Elsewhere, Finetune, Layout, Preference, read_have
from boresight.planning.choose import Option, choose
from boresight.planning.hardware import find_machine
from boresight.planning.known_models import find_model
from boresight.planning.method_stages import METHODS
from boresight.planning.plan_text import as_json, blocks_of
from boresight.planning.write_pipeline import WRITTEN_BY, files_named, pipeline_text
from boresight.storage import write_text
from boresight.tables import Block


class Limits(TypedDict, total=False):
    """Further facts and limits of a case; `boresight.planning.case.Case` tells their meaning and units."""

    tuned: bool
    regulated: bool
    examples: int
    prompts: int
    prompt_tokens: int
    response_tokens: int
    longest: int
    epochs: float
    rank: int
    hours: float | None
    budget: float | None
    cost_per_gpu_hour: float | None


LIMITS = tuple(Limits.__annotations__)


@dataclass(frozen=True, repr=False)
class Plan(Result):
    """The methods in a case, the one to take first; `written` names the pipeline file that was written, if any."""

    case: Case
    options: Sequence[Option]
    written: Mapping[str, Any] | None = None

    @property
    def chosen(self) -> Option:
        """The method to take first; `feasible` says whether it fits."""
        return self.options[0]

    @property
    def feasible(self) -> bool:
        """The chosen method fits."""
        return self.chosen.feasible

    @property
    def method(self) -> str:
        """Name of the chosen method, as `method=` takes it."""
        return self.chosen.method

    def to_dict(self) -> dict[str, Any]:
        return as_json(self.case, self.options, None if self.written is None else dict(self.written))

    def blocks(self) -> Sequence[Block]:
        return blocks_of(self.case, self.options, None if self.written is None else dict(self.written))


@public
def plan(
    model: str | Path,
    *,
    gpus: str = "cpu",
    finetune: Finetune = "full",
    method: str | None = None,
    roles: Layout | None = None,
    have: str | Mapping[str, str] | Sequence[str] = "demonstrations,pairs,prompts",
    dtype: str = "bfloat16",
    prefer: Preference = "balance",
    calibration: str | Path | None = None,
    write: str | Path | None = None,
    elsewhere: Elsewhere | None = None,
    **limits: Unpack[Limits],
) -> Plan:
    """Which method fits model, data and hardware; memory by part and phase, hours and cost, from a config alone.

    `model`: folder, config.json or a common name. `gpus`: `2xA100-80GB`, or `cpu`. `have`: kinds of data, perhaps with
    their files. `method`: that one first. `write`: where the pipeline of the chosen method is written. `elsewhere`:
    memory as another framework has it. `limits` are further fields of `boresight.planning.case.Case`: tuned, regulated,
    examples, prompts, prompt_tokens, response_tokens, longest (tokens), epochs, rank, hours, budget and
    cost_per_gpu_hour (in one currency).

    Memory is in GiB (1024 ** 3 bytes); sources of the formulas and measured errors: docs/planner.md. Raises PlanError
    for what cannot be meant; where nothing fits, `feasible` is False and the options say what would help.
    """
    unknown = [name for name in limits if name not in LIMITS]
    if unknown:
        raise PlanError(
            f"plan: {unknown[0]}: no such limit; expected some of {', '.join(LIMITS)}."
            " Leave it out, or name one of these."
        )
    speeds = load_calibration(None if calibration is None else Path(calibration))
    machine = find_machine(gpus, speeds)
    name, shape = find_model(str(model))
    case = Case(
        model=name, shape=shape, machine=machine, calibration=speeds, finetune=finetune, dtype=dtype, prefer=prefer,
        roles=roles, have=_data_at_hand(have), elsewhere=elsewhere or Elsewhere(), **limits,
    )  # fmt: skip
    if write is not None and not case.elsewhere.is_here:
        raise PlanError("--write: a plan for another framework cannot be run here. Leave out what is marked Elsewhere.")
    if method is not None and method not in METHODS:
        raise PlanError(f"--method {method}: expected one of {', '.join(METHODS)}. Name one of these, or leave it out.")
    options = choose(case)
    if method is not None:
        options.sort(key=lambda option: option.method != method)
    written = _write(case, options[0], Path(write)) if write is not None and options[0].feasible else None
    return Plan(case, options, written)


def _data_at_hand(have: str | Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    if isinstance(have, Mapping):
        have = [f"{kind}={path}" for kind, path in have.items()]
    return read_have(have if isinstance(have, str) else ",".join(have))


def _write(case: Case, chosen: Option, path: Path) -> dict[str, Any]:
    if path.is_file() and not path.read_bytes().partition(b"\n")[0].endswith(WRITTEN_BY.encode()):
        raise PlanError(f"--write {path}: holds something that no plan wrote. Name another file.")
    write_text(path, pipeline_text(case, chosen))
    return {"pipeline": str(path), "missing_files": [str(file) for file in files_named(chosen, path.parent)]}
