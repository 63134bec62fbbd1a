"""Settings of TRL's command line (`trl sft --config FILE`) as a pipeline. Names and defaults: TRL 1.x."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boresight.errors import ConfigError
from boresight.migration.counterparts import TRL
from boresight.migration.data_files import all_rows, distinct, model_place
from boresight.migration.preference_losses import dpo_loss
from boresight.migration.settings import Settings, read_settings
from boresight.migration.training_arguments import (
    DIFFERS,
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
from boresight.migration.translation import NEVER_TRUNCATED, PAIRED, Translation, stages_of, translation
from boresight.migration.trl_data import data_files

TOOL = "TRL"
METHODS = {"sft": "sft", "reward": "reward_model", "dpo": "dpo", "orpo": "orpo", "kto": "kto"}
RATES = {"sft": 2e-5, "reward": 1e-4, "dpo": 1e-6, "orpo": 1e-6, "kto": 1e-6}
TELLING: Mapping[str, tuple[str, ...]] = {
    "kto": ("desirable_weight", "undesirable_weight"),
    "reward": ("center_rewards_coefficient",),
    "dpo": ("loss_weights", "label_smoothing", "precompute_ref_log_probs", "f_divergence_type", "ld_alpha",
            "use_weighting", "discopop_tau"),
    "sft": ("packing", "assistant_only_loss", "completion_only_loss", "dataset_text_field", "eval_packing",
            "max_seq_length", "packing_strategy"),
}  # fmt: skip
"""Settings that one of the trainers alone has."""
NAMES = Names(recomputes=True, bf16=True)


def from_trl(path: Path, folder: Path, method: str | None = None) -> Translation:
    """Translate a config of TRL for a pipeline file in `folder`.

    `method`: the sub-command that it was for, where no setting tells. Raises ConfigError for bad values, with lines.
    """
    settings = read_settings(path)
    method = method or _method(settings)
    kind = METHODS[method]
    assumed: list[str] = []
    files = distinct(data_files(settings, folder), assumed)
    batch = batches(settings, NAMES, all_rows(files))
    limit = _limit(settings, assumed)
    if kind == "sft" and limit["max_length"]:
        batch = unjoined(settings, ("packing",), batch, limit["max_length"])
    epochs, steps = run_length(settings, NAMES, batch)
    fields = passes(settings, kind, epochs, steps, batch)
    fields |= limit
    fields |= optimizer_fields(settings, NAMES, rate=RATES[method], total=batch.total(epochs, steps), assumed=assumed)
    fields |= batch_fields(batch, assumed)
    fields |= _objective(settings, kind)
    fields |= _adapters(settings, kind, assumed)
    if kind == "sft":
        assumed.append("the assistant's tokens alone are trained; TRL trains prompts too unless it is told otherwise")
    held_out = settings.number("test_split_size", 0.0)
    if held_out and (held_out >= 1 or kind not in PAIRED):
        settings.name("test_split_size", "a share of pairs can be held out here; cut the file itself")
        held_out = 0.0
    sections = {
        "run": run_section(settings, f"{method}-from-trl"),
        "model": {"path": _model(settings, folder), "dtype": arithmetic(settings, NAMES)},
        "stages": stages_of(kind, files, fields, held_out, assumed),
    }
    settings.finish(TRL, TOOL)
    return translation(settings, TOOL, sections, assumed, files)


def _method(settings: Settings) -> str:
    found = [method for method, keys in TELLING.items() if settings.keys & set(keys)]
    if len(found) == 1:
        return found[0]
    why = f"settings of {' and '.join(found)} stand in it" if found else "no setting in it tells"
    raise ConfigError(
        f"{settings.path}: for which of TRL's commands is it? {why}. Give --method {', --method '.join(METHODS)}; "
        "configs of grpo and rloo are not translated: write a `ppo` or `rloo` stage (docs/ppo.md)."
    )


def _model(settings: Settings, folder: Path) -> str:
    found = settings.word("model_name_or_path")
    if found is None:
        settings.fault(("model_name_or_path",), None, "the model's folder or hub name")
        return "missing"
    if {"dtype", "torch_dtype"} & settings.keys:
        for key in ("dtype", "torch_dtype"):
            settings.name(key, "weights stay in float32 here; model.dtype is the number format of matrix products")
    return model_place(found, folder)


def _limit(settings: Settings, assumed: list[str]) -> dict[str, Any]:
    if settings.is_null("max_length"):
        return {"max_length": None}
    older = settings.whole("max_seq_length", 1024)
    limit = settings.whole("max_length", older)
    if "max_length" in settings.keys:
        settings.name("max_seq_length", "the older name of max_length, which decides")
    assumed.append(NEVER_TRUNCATED)
    return {"max_length": limit, "on_too_long": "drop"}


def _objective(settings: Settings, kind: str) -> dict[str, Any]:
    if kind == "dpo":
        fields = {"beta": settings.number("beta", 0.1, above=True), **dpo_loss(settings, "loss_type", "loss_weights")}
        smoothing = settings.number("label_smoothing", 0.0)
        if smoothing and fields["loss"] == "ipo":
            settings.name("label_smoothing", "the ipo loss has no use for it")
            smoothing = 0.0
        return fields | {"label_smoothing": smoothing}
    if kind == "orpo":
        return {"odds_ratio_coefficient": settings.number("beta", 0.1)}
    if kind == "kto":
        if settings.word("loss_type", "kto") != "kto":
            settings.name("loss_type", f"kto is the only loss of unpaired responses here; {DIFFERS}")
        return {
            "beta": settings.number("beta", 0.1, above=True),
            "desirable_weight": settings.number("desirable_weight", 1.0, above=True),
            "undesirable_weight": settings.number("undesirable_weight", 1.0, above=True),
        }
    if kind == "reward_model":
        return {"centering_coefficient": settings.number("center_rewards_coefficient", 0.0)}
    if settings.word("loss_type", "nll") not in ("nll", "chunked_nll"):
        settings.name("loss_type", f"cross-entropy is the only loss of demonstrations here; {DIFFERS}")
    return {}


def _adapters(settings: Settings, kind: str, assumed: list[str]) -> dict[str, Any]:
    four, eight = settings.flag("load_in_4bit"), settings.flag("load_in_8bit")
    if settings.word("bnb_4bit_quant_type", "nf4") != "nf4":
        settings.name("bnb_4bit_quant_type", "4-bit weights are nf4 here")
    if not settings.flag("use_peft"):
        for key in sorted(key for key in settings.keys if key.startswith("lora_")):
            settings.name(key, "without use_peft: true there are no adapters, there as here")
        for key, wanted in (("load_in_4bit", four), ("load_in_8bit", eight)):
            if wanted:
                settings.name(key, "weights of few bits can only be kept under adapters")
        return {}
    targets = settings.words("lora_target_modules")
    if not targets:
        targets = ["q_proj", "v_proj"]
        assumed.append(
            "adapters go into q_proj and v_proj: what PEFT takes for Llama, Qwen and Mistral where none is named"
        )
    lora = low_rank(
        settings,
        NAMES,
        kind=kind,
        rank=settings.whole("lora_r", 16),
        alpha=settings.whole("lora_alpha", 32),
        dropout=settings.number("lora_dropout", 0.05),
        targets="all-linear" if targets == ["all-linear"] else targets,
        assumed=assumed,
    )
    if eight:
        settings.name("load_in_8bit", "frozen weights are kept in 4 bits or whole; whole is taken")
    return {"lora": lora} | ({"quantization": "4bit"} if four else {})
