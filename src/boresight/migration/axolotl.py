"""Settings of an Axolotl config as a pipeline. Names and defaults: Axolotl of July 2026."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boresight.errors import ConfigError
from boresight.migration.counterparts import AXOLOTL, ONLY_TEXTS
from boresight.migration.data_files import WHOLE_FILE, DataFile, all_rows, data_file, distinct, model_place, parts
from boresight.migration.preference_losses import dpo_loss
from boresight.migration.settings import Settings, read_settings
from boresight.migration.training_arguments import (
    DIFFERS,
    Batches,
    Names,
    arithmetic,
    batch_fields,
    batches,
    low_rank,
    optimizer_fields,
    passes,
    run_length,
    run_section,
    unjoined,
)
from boresight.migration.translation import NEVER_TRUNCATED, Translation, stages_of, translation

TOOL = "Axolotl"
METHODS = {"dpo": "dpo", "ipo": "dpo", "orpo": "orpo", "kto": "kto", "simpo": "simpo"}
NAMES = Names(
    batch="micro_batch_size",
    batch_default=1,
    epochs="num_epochs",
    epochs_default=1.0,
    schedule="lr_scheduler",
    schedule_default="cosine",
    optimizer="optimizer",
    warmup_default=0.03,
    bf16=True,
    rslora="peft_use_rslora",
    dora="peft_use_dora",
)
TEMPLATES = {"tokenizer_default": "tokenizer", "chatml": "chatml", "llama3": "llama3"}
NO_LIKELIHOOD = f"SimPO has no likelihood term here; {DIFFERS}"
NO_STAGE = {
    "pretraining_dataset": "training on plain text goes on from no model here (a `pretrain` stage begins from nothing)",
    "process_reward_model": "a reward model here scores whole responses, not steps",
    "processor_type": f"{ONLY_TEXTS}. For texts alone take the setting out",
}


def from_axolotl(path: Path, folder: Path) -> Translation:
    """Translate a config of Axolotl for a pipeline file in `folder`; ConfigError for bad values, with lines."""
    settings = read_settings(path)
    kind = _kind(settings)
    assumed: list[str] = []
    files = distinct(_files(settings, folder), assumed)
    batch = _batches(settings, all_rows(files))
    limit = _limit(settings)
    if kind == "sft":
        batch = unjoined(settings, ("sample_packing",), batch, limit["max_length"])
    epochs, steps = run_length(settings, NAMES, batch)
    fields = passes(settings, kind, epochs, steps, batch)
    fields |= limit
    fields |= optimizer_fields(settings, NAMES, rate=None, total=batch.total(epochs, steps), assumed=assumed)
    fields |= batch_fields(batch, assumed)
    fields |= _objective(settings, kind, assumed)
    fields |= _adapters(settings, kind, assumed)
    held_out = settings.number("val_set_size", 0.0)
    if held_out and (held_out >= 1 or kind in ("sft", "kto")):
        settings.name(
            "val_set_size", "a share of pairs can be held out here; cut the file itself: `boresight data split`"
        )
        held_out = 0.0
    template = _template(settings)
    sections = {
        "run": run_section(settings, f"{kind}-from-axolotl"),
        "model": {"path": _model(settings, folder), "dtype": _dtype(settings), "chat_template": template},
        "stages": stages_of(kind, files, fields, held_out, assumed),
    }
    settings.finish(AXOLOTL, TOOL)
    return translation(settings, TOOL, sections, assumed, files)


def _kind(settings: Settings) -> str:
    for key, why in NO_STAGE.items():
        if settings.raw(key):
            raise ConfigError(f"{settings.path}: {key}: {why}; there is no pipeline to write")
    method = settings.word("rl")
    if method is None:
        return "reward_model" if settings.flag("reward_model") else "sft"
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise ConfigError(
            f"{settings.path}: rl: {method}: no such method here; there are {known}, and ppo and rloo of our own"
        )
    settings.flag("reward_model")
    return METHODS[method]


def _model(settings: Settings, folder: Path) -> str:
    found = settings.word("base_model")
    if found is None:
        settings.fault(("base_model",), None, "the model's folder or hub name")
        return "missing"
    settings.name("revision_of_model", "give the revision's folder in model.path")
    return model_place(found, folder)


def _files(settings: Settings, folder: Path) -> list[DataFile]:
    entries = settings.raw("datasets")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        settings.fault(("datasets",), entries, "a list of mappings, each with a path")
        return [DataFile("data/missing.jsonl", None, None)]
    found = []
    for index, entry in enumerate(entries):
        named = parts(entry.get("path"), entry.get("data_files"))
        if not named:
            settings.fault(("datasets", index, "path"), entry.get("path"), "the path or name of a data set")
            continue
        split, subset = str(entry.get("split") or "train"), entry.get("name")
        found += [data_file(text, folder, split=split, subset=subset, member=member) for text, member in named]
        for key in ("split", "name") if found[-1].is_whole else ():
            settings.name(("datasets", index, key), WHOLE_FILE)
        for key in entry:
            if key == "type":
                settings.name(("datasets", index, key), _form(entry[key]))
            elif key not in ("path", "split", "name", "data_files", "ds_type"):
                settings.name(
                    ("datasets", index, key), "rows are read by their form; `boresight data inspect FILE` shows which"
                )
    return found or [DataFile("data/missing.jsonl", None, None)]


def _form(told: Any) -> str:
    if isinstance(told, str) and told.startswith(("completion", "pretrain")):
        return f"rows of plain text, which no sft stage reads; write them as a prompt and a response ({DIFFERS})"
    if isinstance(told, str) and told.startswith("alpaca"):
        return "Alpaca's rows are read, and written by the chat template in place of Alpaca's own text; the run differs"
    return "the form of rows is found by itself (docs/data.md); `boresight data inspect FILE` shows which"


def _batches(settings: Settings, rows: int | None) -> Batches:
    """`batch_size` is the whole batch, where no accumulation is given."""
    total = settings.whole("batch_size", None)
    batch = batches(settings, NAMES, rows)
    if total is None:
        return batch
    if "gradient_accumulation_steps" in settings.keys:
        settings.name("batch_size", "gradient_accumulation_steps decides, there as here")
        return batch
    return Batches(max(total // batch.micro, 1) * batch.micro, batch.micro, rows)


def _limit(settings: Settings) -> dict[str, Any]:
    what = settings.word("excess_length_strategy", "drop", ("drop", "truncate", "raise"))
    if what == "truncate":
        settings.name("excess_length_strategy", NEVER_TRUNCATED)
    return {
        "max_length": settings.whole("sequence_len", 512),
        "on_too_long": "error" if what == "raise" else "drop",
    }


def _objective(settings: Settings, kind: str, assumed: list[str]) -> dict[str, Any]:
    beta = settings.number("rl_beta", None, above=True)
    beta = settings.number(("trl", "beta"), beta, above=True)
    if kind == "orpo":
        alpha = settings.number("orpo_alpha", None)
        return {"odds_ratio_coefficient": beta or alpha or 0.1}
    if kind == "reward_model":
        return {"centering_coefficient": settings.number("center_rewards_coefficient", 0.0)}
    if kind == "kto":
        return {
            "beta": beta or 0.1,
            "desirable_weight": settings.number("kto_desirable_weight", 1.0, above=True),
            "undesirable_weight": settings.number("kto_undesirable_weight", 1.0, above=True),
        }
    if kind == "simpo":
        if settings.number("cpo_alpha", 1.0):
            settings.name("cpo_alpha", NO_LIKELIHOOD)
            if "cpo_alpha" not in settings.keys:
                assumed.append(f"cpo_alpha 1 is the tool's default: {NO_LIKELIHOOD}")
        return {"beta": beta or 0.1, "gamma": settings.number("simpo_gamma", 0.5)}
    if kind == "dpo":
        return {"beta": beta or 0.1, **_dpo(settings)}
    if beta is not None:
        for key in (("rl_beta",), ("trl", "beta")):
            settings.name(key, "there is no rl in the file, so nothing reads it, there as here")
    return {}


def _dpo(settings: Settings) -> dict[str, Any]:
    ipo = settings.raw("rl") == "ipo"
    loss = {"loss": "ipo", "log_ratio": "mean"} if ipo else dpo_loss(settings, "dpo_loss_type", "dpo_loss_weights")
    smoothing = settings.number("dpo_label_smoothing", 0.0)
    if smoothing and loss["loss"] == "ipo":
        settings.name("dpo_label_smoothing", "the ipo loss has no use for it")
        smoothing = 0.0
    if ipo:
        for key in ("dpo_loss_type", "dpo_loss_weights"):
            settings.name(key, "rl: ipo decides")
    return loss | {"label_smoothing": smoothing}


def _dtype(settings: Settings) -> str:
    """`model.dtype`: bf16 is `auto` unless it is told, which is on for every GPU of the last years."""
    found = arithmetic(settings, NAMES)
    for key in ("bfloat16", "float16"):
        if settings.flag(key):
            settings.name(key, "weights stay in float32 here, and matrix products are in bfloat16")
            found = "bfloat16"
    return found


def _template(settings: Settings) -> str:
    found = settings.word("chat_template", "tokenizer_default")
    if found in TEMPLATES:
        return TEMPLATES[found]
    settings.name(
        "chat_template", f"the tokenizer's own is taken; built in are chatml and llama3 ({DIFFERS} if they are others)"
    )
    return "tokenizer"


def _adapters(settings: Settings, kind: str, assumed: list[str]) -> dict[str, Any]:
    adapter = settings.word("adapter", None, ("lora", "qlora"))
    four, eight = settings.flag("load_in_4bit"), settings.flag("load_in_8bit")
    if adapter is None:
        for key, wanted in (("load_in_4bit", four), ("load_in_8bit", eight)):
            if wanted:
                settings.name(key, "weights of few bits can only be kept under adapters")
        for key in sorted(key for key in settings.keys if key.startswith("lora_")):
            settings.name(key, "without adapter: lora there are no adapters, there as here")
        return {}
    targets: Any = settings.words("lora_target_modules")
    if settings.flag("lora_target_linear") or targets == ["all-linear"]:
        if targets and targets != ["all-linear"]:
            settings.name("lora_target_modules", "lora_target_linear takes these too, there as here")
        targets = "all-linear"
    lora = low_rank(
        settings,
        NAMES,
        kind=kind,
        rank=settings.whole("lora_r", 8),
        alpha=settings.whole("lora_alpha", 8),
        dropout=settings.number("lora_dropout", 0.0),
        targets=targets or ["q_proj", "v_proj"],
        assumed=assumed,
    )
    if eight:
        settings.name("load_in_8bit", "frozen weights are kept in 4 bits or whole; whole is taken")
    return {"lora": lora} | ({"quantization": "4bit"} if four or adapter == "qlora" else {})
