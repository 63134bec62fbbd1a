"""Rates, schedules, batches and lengths: what the three tools share, since all stand on transformers' trainer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from boresight.config.section_bases import TRACKERS
from boresight.migration.settings import Settings

SCHEDULES = {
    "linear": "linear",
    "cosine": "cosine",
    "cosine_with_min_lr": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
EXACT_ADAMW = ("adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw", "adamw_apex_fused")
DIFFERS = "the run differs"
PATTERN_SIGNS = frozenset("\\[](){}|*+?^$")
"""A name of layers that holds one of these is a regular expression."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a tool calls the settings whose names differ, and its defaults where they are its own."""

    batch: str = "per_device_train_batch_size"
    batch_default: int = 8
    epochs: str = "num_train_epochs"
    epochs_default: float = 3.0
    schedule: str = "lr_scheduler_type"
    schedule_default: str = "linear"
    optimizer: str = "optim"
    warmup_default: float = 0.0
    recomputes: bool = False
    bf16: bool = False
    targets: str = "lora_target_modules"
    rslora: str = "use_rslora"
    dora: str = "use_dora"


@dataclass(frozen=True, slots=True)
class Batches:
    """`rows`: of the data, where they could be counted."""

    size: int
    micro: int
    rows: int | None

    def steps(self, epochs: float) -> int | None:
        """Optimizer steps of so many passes, as the other tools count them: a rest makes a step."""
        return None if self.rows is None else max(1, int(epochs * -(-self.rows // self.size)))

    def total(self, epochs: float | None, steps: int | None) -> int | None:
        """Optimizer steps in all, of what `run_length` found; None where the rows are not known."""
        return steps or (self.steps(epochs) if epochs else None)


def batches(settings: Settings, names: Names, rows: int | None) -> Batches:
    """Rows of an optimizer step and of a pass, as the other tool's settings make them."""
    micro = settings.whole(names.batch, names.batch_default)
    accumulated = settings.whole("gradient_accumulation_steps", 1)
    return Batches(micro * accumulated, micro, rows)


def run_length(settings: Settings, names: Names, batch: Batches) -> tuple[float | None, int | None]:
    """(epochs, steps); steps is None where the number of passes says how long."""
    epochs = settings.number(names.epochs, names.epochs_default, above=True)
    steps = settings.number("max_steps", None, least=-1)
    if steps is None or steps <= 0:
        return epochs, None
    if names.epochs in settings.keys:
        settings.name(names.epochs, "max_steps decides, there as here")
    return None, int(steps)


def unjoined(settings: Settings, keys: tuple[str, ...], batch: Batches, limit: int) -> Batches:
    """The batch where rows are joined there up to `limit` tokens (packing): the rows of a step are not known then."""
    joined = [key for key in keys if settings.flag(key)]
    for key in joined:
        settings.name(
            key,
            f"rows are not joined here: a step there takes the rows that fill {batch.size} x {limit} tokens, here "
            f"batch_size rows. Set batch_size to {batch.size * limit} / mean tokens of a row, or {DIFFERS}",
        )
    return replace(batch, rows=None) if joined else batch


def passes(settings: Settings, kind: str, epochs: float | None, steps: int | None, batch: Batches) -> dict[str, Any]:
    """`steps` is known to sft alone; other stages count passes."""
    if steps is None:
        return {"epochs": epochs}
    if kind == "sft":
        return {"steps": steps}
    if batch.rows:
        return {"epochs": steps * batch.size / batch.rows}
    settings.name("max_steps", "this stage counts passes over the data: set epochs to max_steps x batch_size / rows")
    return {"epochs": 1.0}


def optimizer_fields(
    settings: Settings, names: Names, *, rate: float | None, total: int | None, assumed: list[str]
) -> dict[str, Any]:
    """Fields of a stage that say how weights are moved; all are written, since defaults differ between tools.

    `rate` is the tool's default learning rate (None: it has none); `total` the optimizer steps, where they are known.
    """
    learning_rate = settings.number("learning_rate", rate, above=True)
    if learning_rate is None:
        settings.fault(("learning_rate",), None, "a rate; the tool has no default")
        learning_rate = 1.0
    schedule = _schedule(settings, names)
    fields = {
        "learning_rate": learning_rate,
        "schedule": schedule,
        "warmup_fraction": _warmup(settings, names, total, assumed),
        "final_rate_fraction": _final_rate(settings, learning_rate, schedule),
        "weight_decay": settings.number("weight_decay", 0.0),
        "adam_beta1": settings.number("adam_beta1", 0.9),
        "adam_beta2": settings.number("adam_beta2", 0.999),
        "adam_epsilon": settings.number("adam_epsilon", 1e-8, above=True),
        "max_grad_norm": settings.number("max_grad_norm", 1.0, above=True),
        "activation_checkpointing": _recomputes(settings, names),
    }
    _optimizer(settings, names)
    if fields["weight_decay"]:
        assumed.append("weight_decay leaves embeddings alone here; there it does not")
    every = settings.number("save_steps", None)
    if every is not None and every >= 1:
        fields["checkpoint_every"] = int(every)
    elif every is not None:
        settings.name("save_steps", "a share of the steps has no counterpart; checkpoint_every counts steps")
    return fields


def batch_fields(batch: Batches, assumed: list[str]) -> dict[str, Any]:
    """The settings of a stage for that batch; what had to be assumed is added to `assumed`."""
    assumed.append("batch_size is that of one device: multiply it by the number of devices that the run was made on")
    return {"batch_size": batch.size, "micro_batch_size": min(batch.micro, batch.size), "micro_batch_tokens": None}


def arithmetic(settings: Settings, names: Names) -> str:
    """`model.dtype`; half precision has no counterpart."""
    half = settings.flag("fp16")
    lowered = settings.flag("bf16", names.bf16 and not half)
    if half:
        settings.name("fp16", "float32 or bfloat16 are what there is; bfloat16 is nearest")
    return "bfloat16" if lowered or half else "float32"


def run_section(settings: Settings, default: str) -> dict[str, Any]:
    """The section `run`: name, seed, trackers."""
    name = _run_name(settings, default)
    return {"name": name, "seed": settings.whole("seed", 42, least=0), **_reported(settings)}


def _run_name(settings: Settings, default: str) -> str:
    """The run's name: `run_name`, or the last part of `output_dir`."""
    told, folder = settings.word("run_name"), settings.word("output_dir")
    if told:
        settings.name("output_dir", "run_name names the run; its folder is runs/NAME, or --out of `boresight run`")
    found = told or (folder.rstrip("/").rpartition("/")[2] if folder else None) or default
    return re.sub(r"[^A-Za-z0-9._-]+", "-", found).strip("-._") or default


def _reported(settings: Settings) -> dict[str, Any]:
    """`report_to` of the run: the trackers that are known here; others are named."""
    asked = settings.words("report_to")
    known = [name for name in asked if name in TRACKERS]
    if "all" in asked or set(asked) - {*TRACKERS, "none"}:
        settings.name("report_to", f"trackers here are {', '.join(TRACKERS)}; these of them are taken: {known}")
    return {"report_to": known} if known else {}


def low_rank(
    settings: Settings,
    names: Names,
    *,
    kind: str,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Any,
    assumed: list[str],
) -> dict[str, Any]:
    """`lora` of a stage. Rank-stabilised scaling is alpha / sqrt(rank): told by another alpha, where it is whole."""
    if settings.flag(names.rslora):
        scaled = alpha * rank**0.5
        if scaled == int(scaled):
            alpha = int(scaled)
        else:
            settings.name(
                names.rslora, f"updates are scaled by alpha / rank; no whole alpha gives the same ({DIFFERS})"
            )
    if settings.flag(names.dora):
        settings.name(names.dora, f"adapters are plain LoRA here; {DIFFERS}")
    if any(PATTERN_SIGNS & set(target) for target in targets):
        settings.name(
            names.targets, f"layers are named here, not matched by a pattern; all-linear is nearest ({DIFFERS})"
        )
        targets = "all-linear"
    if dropout and kind not in ("sft", "orpo"):
        why = f"a {kind} stage trains without dropout, so that rewards are no noise; {DIFFERS}"
        settings.name("lora_dropout", why)
        if "lora_dropout" not in settings.keys:
            assumed.append(f"lora_dropout {dropout:g} is the tool's default: {why}")
        dropout = 0.0
    return {"rank": rank, "alpha": alpha, "dropout": dropout, "target_modules": targets}


def _schedule(settings: Settings, names: Names) -> str:
    found = settings.word(names.schedule, names.schedule_default)
    if found in SCHEDULES:
        return SCHEDULES[found]
    settings.name(names.schedule, f"cosine, linear and constant are what there is; cosine is nearest ({DIFFERS})")
    return "cosine"


def _warmup(settings: Settings, names: Names, total: int | None, assumed: list[str]) -> float:
    ratio: float | None = settings.number("warmup_ratio", None)
    steps: float | None = settings.number("warmup_steps", None)
    found = settings.raw(names.schedule)
    if ratio is not None and ratio > 1:
        settings.fault(("warmup_ratio",), ratio, "a share, at most 1")
    if steps:
        if ratio is not None:
            settings.name("warmup_ratio", "warmup_steps decides, there as here")
        if steps < 1:
            return steps
        if total:
            return min(1.0, steps / total)
        settings.name(
            "warmup_steps",
            "warmup_fraction is a share of all steps, whose number is not known before the data are there: divide "
            "this by it",
        )
        return 0.0
    if found == "constant":
        return 0.0
    if ratio is not None or steps is not None:
        return ratio or 0.0
    if names.warmup_default:
        assumed.append(f"warmup_fraction is {names.warmup_default:g}: the tool's default, there at most 100 steps")
    return names.warmup_default


def _final_rate(settings: Settings, rate: float, schedule: str) -> float:
    ratio = settings.number("cosine_min_lr_ratio", None)
    if ratio and schedule != "cosine":
        settings.name("cosine_min_lr_ratio", f"with a {schedule} schedule nothing reads it, there as here")
        ratio = None
    more = settings.raw("lr_scheduler_kwargs")
    if isinstance(more, Mapping):
        for key, value in more.items():
            if key in ("min_lr_rate", "min_lr") and isinstance(value, int | float):
                ratio = value if key == "min_lr_rate" else value / rate
            else:
                settings.name(("lr_scheduler_kwargs", key), f"schedules have no such parameter here; {DIFFERS}")
    elif more is not None:
        settings.name("lr_scheduler_kwargs", f"schedules have no such parameter here; {DIFFERS}")
    return min(1.0, float(ratio or 0.0))


def _recomputes(settings: Settings, names: Names) -> bool:
    if settings.flag("disable_gradient_checkpointing"):
        return False
    value = settings.raw("gradient_checkpointing")
    if isinstance(value, str) and value.startswith("offload"):
        settings.name("gradient_checkpointing", "activations are computed again, and not moved to the CPU or a disk")
        return True
    return settings.flag("gradient_checkpointing", names.recomputes)


def _optimizer(settings: Settings, names: Names) -> None:
    found = settings.word(names.optimizer, "adamw_torch")
    if found in EXACT_ADAMW:
        return
    nearest = "AdamW with states in float32 is nearest" if "adamw" in found or "8bit" in found else DIFFERS
    settings.name(names.optimizer, f"AdamW is the only optimizer here; {nearest}")
