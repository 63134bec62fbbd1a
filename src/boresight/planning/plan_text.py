"""A plan as text for a person, and as one JSON object."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from boresight.planning.case import Case
from boresight.planning.choose import Option, StagePlan
from boresight.planning.families import config_shape
from boresight.planning.hardware import catalogue
from boresight.planning.known_models import known_configs
from boresight.planning.numbers import GIB
from boresight.tables import Block, Table, table

TRADES = {
    "orpo": ("1 model", "pairs", "one stage; no anchor but the data"),
    "dpo": ("1 model, its start asked beforehand", "pairs", "steady; never sees its own answers"),
    "rloo": ("policy, reference, reward", "prompts, reward", "learns from its own answers; many of them"),
    "ppo": ("policy, value, reference, reward", "prompts, reward", "the most control; the most to hold and to watch"),
}
"""What is in memory, what it learns from, and what is bought with that."""


def blocks_of(case: Case, options: Sequence[Option], written: dict[str, Any] | None) -> list[Block]:
    """The plan as people read it: the method taken, its memory by part, and the others with their reasons."""
    chosen = options[0]
    shape = case.shape
    mixture = f", {shape.active_parameters / 1e9:.2f} of them for a token" if shape.is_mixture else ""
    each = " each" if case.machine.count > 1 else ""
    head = (
        f"{case.model}: {shape.parameters / 1e9:.2f} billion parameters{mixture}; {case.machine}, "
        f"{case.machine.device.memory / GIB:.1f} GiB{each}; {case.finetune}, {case.dtype}"
    )
    blocks: list[Block] = [head, _chosen_text(chosen), _trade_table(case, options)]
    if chosen.stages:
        blocks.append(_memory_table(chosen.stages))
    blocks += [_why(option) for option in options[1:]]
    blocks.append(_footing(case))
    if written is not None:
        missing = "".join(f"\n  still needed: {file}" for file in written["missing_files"])
        blocks.append(f"wrote {written['pipeline']}{missing}")
    return blocks


def as_json(case: Case, options: Sequence[Option], written: dict[str, Any] | None) -> dict[str, Any]:
    """The contract: feasible, method, reasons, memory_gib, peak_gib, hours, cost, alternatives; and more."""
    chosen = options[0]
    return {
        "model": case.model,
        "parameters": case.shape.parameters,
        "gpus": str(case.machine),
        "finetune": case.finetune,
        "feasible": chosen.feasible,
        **_option_json(chosen),
        "alternatives": [_option_json(option) for option in options[1:]],
        "calibration": case.calibration.source if case.machine.device.is_cpu else case.calibration.gpu_source,
    } | (written or {})


def gpu_table() -> str:
    """All hardware of the catalogue as a table."""
    rows = [["GPU", "memory GiB", "TFLOP/s", "GB/s", "link GB/s", "source"]]
    for d in catalogue().values():
        figures = [f"{d.memory / GIB:.1f}", f"{d.flops / 1e12:.0f}", f"{d.bandwidth / 1e9:.0f}", f"{d.link / 1e9:.0f}"]
        rows.append([d.name, *figures, d.source])
    return table(rows, right=(1, 2, 3, 4), indent="")


def model_table() -> str:
    """All models that are known by name as a table, with their parameters."""
    rows = [["model", "billion parameters", "layers", "hidden", "vocabulary"]]
    for name, config in known_configs().items():
        shape = config_shape(config)
        assert shape is not None
        rows.append(
            [
                name,
                f"{shape.parameters / 1e9:.2f}",
                str(shape.layers),
                str(shape.hidden_size),
                f"{shape.vocabulary_size:,}",
            ]
        )
    return table(rows, right=(1, 2, 3, 4), indent="")


def _chosen_text(option: Option) -> str:
    title = f"take {option.method}" if option.feasible else f"{option.method}: {option.verdict}"
    lines = [title + (f" ({option.verdict})" if option.verdict == "marginal" else "")]
    return "\n".join([*lines, *_lines(option)])


def _why(option: Option) -> str:
    return "\n".join([f"{option.method}: {option.verdict}", *_lines(option)])


def _lines(option: Option) -> list[str]:
    return [f"  {reason}" for reason in option.reasons] + [f"  would help: {way}" for way in option.ways]


def _trade_table(case: Case, options: Sequence[Option]) -> Table:
    rows = [["method", "verdict", "peak GiB", "hours", "cost", "in memory", "learns from", "for and against"]]
    for option in options:
        if option.method not in TRADES:
            continue
        known = bool(option.stages)
        cost = "-" if option.cost is None or not known else f"{option.cost:.2f}"
        peak, hours = (f"{option.peak / GIB:.1f}", f"{option.hours:.2f}") if known else ("-", "-")
        rows.append([option.method, option.verdict, peak, hours, cost, *TRADES[option.method]])
    return Table(rows, right=(2, 3, 4))


def _memory_table(stages: Sequence[StagePlan]) -> Table:
    """Every stage at its highest phase; parts that are nowhere are left out."""
    used = [part for part in stages[0].memory.peak.parts if any(plan.memory.peak.parts[part] for plan in stages)]
    rows = [["GiB", "phase", *(part.replace("_", " ") for part in used), "together", "hours"]]
    for plan in stages:
        peak = plan.memory.peak
        figures = [f"{peak.parts[part] / GIB:.1f}" for part in used]
        rows.append([plan.name, peak.name, *figures, f"{peak.total / GIB:.1f}", f"{plan.seconds / 3600:.2f}"])
    return Table(rows, right=range(2, len(used) + 4))


def _footing(case: Case) -> str:
    source = case.calibration.source if case.machine.device.is_cpu else case.calibration.gpu_source
    work = f"{case.examples:,} examples and {case.prompts:,} prompts"
    return f"Hours are for {work}; judging is not counted. Speeds: {source}."


def _option_json(option: Option) -> dict[str, Any]:
    fullest = option.fullest
    peak = fullest.memory.peak if fullest else None
    parts = {name: round(size / GIB, 3) for name, size in peak.parts.items() if size} if peak else {}
    return {
        "method": option.method,
        "verdict": option.verdict,
        "reasons": list(option.reasons),
        "would_help": list(option.ways),
        "memory_gib": parts,
        "peak_gib": round(option.peak / GIB, 3) if peak else None,
        "peak_phase": peak.name if peak else None,
        "hours": round(option.hours, 4) if option.stages else None,
        "cost": None if option.cost is None else round(option.cost, 2),
        "stages": [_stage_json(plan) for plan in option.stages],
    }


def _stage_json(plan: StagePlan) -> dict[str, Any]:
    phases = [
        {"phase": phase.name, "gib": round(phase.total / GIB, 3)}
        | {"parts": {name: round(size / GIB, 3) for name, size in phase.parts.items() if size}}
        for phase in plan.memory.phases
    ]
    queue = (
        None if plan.reward is None else asdict(plan.reward) | {"busy": plan.reward.busy, "needed": plan.reward.needed}
    )
    return {
        "stage": plan.name,
        "kind": plan.section.kind,
        "gpus": plan.gpus,
        "hours": round(plan.seconds / 3600, 4),
        "phases": phases,
        "reward_queue": queue,
    }
