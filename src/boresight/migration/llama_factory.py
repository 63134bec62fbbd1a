"""Settings of LLaMA-Factory (`llamafactory-cli train FILE`) as a pipeline. Names and defaults: August 2026."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boresight.errors import ConfigError
from boresight.migration.counterparts import LLAMA_FACTORY, ONLY_TEXTS
from boresight.migration.data_files import DataFile, all_rows, data_file, distinct, model_place
from boresight.migration.llama_factory_ppo import ppo_fields
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
from boresight.migration.translation import NEVER_TRUNCATED, Translation, stages_of, translation
from boresight.storage import read_json

TOOL = "LLaMA-Factory"
STAGES = ("pt", "sft", "rm", "ppo", "dpo", "kto")
DPO_LOSSES = ("sigmoid", "hinge", "ipo", "kto_pair", "orpo", "simpo")
TEMPLATES = {"chatml": "chatml", "llama3": "llama3"}
NAMES = Names(targets="lora_target")
PICTURES = (
    "image_max_pixels", "image_min_pixels", "video_max_pixels", "video_min_pixels", "video_fps", "video_maxlen",
    "audio_sampling_rate", "freeze_vision_tower", "freeze_multi_modal_projector",
)  # fmt: skip
COLUMNS_OF_PICTURES = ("images", "videos", "audios")
INFO = "dataset_info.json"


def from_llama_factory(path: Path, folder: Path) -> Translation:
    """Translate a config of LLaMA-Factory for a pipeline file in `folder`; ConfigError for bad values, with lines."""
    settings = read_settings(path)
    _refuse_others(settings)
    stage = settings.word("stage", "sft", STAGES)
    if stage == "pt":
        raise ConfigError(
            f"{path}: stage: pt: training on plain text goes on from no model here (a `pretrain` stage begins from "
            "nothing); there is no pipeline to write"
        )
    kind, objective = _objective(settings, stage)
    assumed: list[str] = []
    files = distinct(_files(settings, folder, assumed), assumed)
    batch = batches(settings, NAMES, all_rows(files))
    limit = settings.whole("cutoff_len", 2048)
    if kind == "sft":
        batch = unjoined(settings, ("packing", "neat_packing"), batch, limit)
    epochs, steps = run_length(settings, NAMES, batch)
    moved = optimizer_fields(settings, NAMES, rate=5e-5, total=batch.total(epochs, steps), assumed=assumed)
    fields = moved | objective | _adapters(settings, kind, assumed)
    model = _model(settings, folder, assumed)
    held_out = _held_out(settings, kind)
    if kind == "ppo":
        fields |= ppo_fields(settings, batch, epochs, steps, assumed)
        stages: Any = {"ppo": {"kind": "ppo", "prompts": [file.place for file in files], **fields}}
        settings.name("cutoff_len", "a prompt that leaves no room for its response in the model's context is refused")
    else:
        fields |= passes(settings, kind, epochs, steps, batch) | batch_fields(batch, assumed)
        fields |= {"max_length": limit, "on_too_long": "drop"}
        assumed.append(NEVER_TRUNCATED)
        if kind == "kto":
            assumed.append(
                "a kto stage reads rows of prompt, completion and label; write rows of messages and label so"
            )
        stages = stages_of(kind, files, fields, held_out, assumed)
    sections = {
        "run": run_section(settings, f"{stage}-from-llama-factory"),
        "model": model,
        "stages": stages,
    }
    settings.finish(LLAMA_FACTORY, TOOL)
    return translation(settings, TOOL, sections, assumed, files)


def _refuse_others(settings: Settings) -> None:
    """Raise ConfigError for configs of the v1 trainer, which are others, and of runs on pictures or sound."""
    if {"model", "train_dataset"} <= settings.keys:
        raise ConfigError(
            f"{settings.path}: model, train_dataset: settings of LLaMA-Factory's v1 trainer; those of the trainer that "
            "has `model_name_or_path`, `stage` and `dataset` are translated. Write them in its terms."
        )
    for key in PICTURES:
        if key in settings.keys:
            raise ConfigError(f"{settings.path}: {key}: {ONLY_TEXTS}; for texts alone take the setting out")


def _objective(settings: Settings, stage: str) -> tuple[str, dict[str, Any]]:
    """The kind of stage and its own fields."""
    if stage == "rm":
        return "reward_model", {"centering_coefficient": 0.0}
    if stage == "kto":
        return "kto", {
            "beta": settings.number("pref_beta", 0.1, above=True),
            "desirable_weight": settings.number("kto_chosen_weight", 1.0, above=True),
            "undesirable_weight": settings.number("kto_rejected_weight", 1.0, above=True),
        }
    return _preference(settings) if stage == "dpo" else (stage, {})


def _preference(settings: Settings) -> tuple[str, dict[str, Any]]:
    """Stage dpo, which is DPO, ORPO or SimPO by its loss."""
    loss = settings.word("pref_loss", "sigmoid", DPO_LOSSES)
    beta = settings.number("pref_beta", 0.1, above=True)
    likelihood = settings.number("pref_ftx", 0.0)
    reference = settings.word("ref_model")
    if loss in ("orpo", "simpo"):
        if likelihood:
            settings.name("pref_ftx", f"{loss} has no further likelihood term here; {DIFFERS}")
        if reference:
            settings.name("ref_model", f"{loss} has no reference")
        if loss == "orpo":
            return "orpo", {"odds_ratio_coefficient": beta}
        return "simpo", {"beta": beta, "gamma": settings.number("simpo_gamma", 0.5)}
    if reference and reference != settings.raw("model_name_or_path"):
        settings.name(
            "ref_model", f"the reference is a stage or the base model here; the base model is taken ({DIFFERS})"
        )
    if loss not in ("sigmoid", "ipo"):
        settings.name("pref_loss", f"no such loss here; sigmoid is nearest ({DIFFERS})")
    smoothing = settings.number("dpo_label_smoothing", 0.0)
    if smoothing and loss == "ipo":
        settings.name("dpo_label_smoothing", "the ipo loss has no use for it")
        smoothing = 0.0
    fields = {
        "beta": beta,
        "loss": "ipo" if loss == "ipo" else "sigmoid",
        "log_ratio": "mean" if loss == "ipo" else "sum",
        "label_smoothing": smoothing,
    }
    return "dpo", fields | ({"sft_coefficient": likelihood} if likelihood else {})


def _model(settings: Settings, folder: Path, assumed: list[str]) -> dict[str, Any]:
    found = settings.word("model_name_or_path")
    if found is None:
        settings.fault(("model_name_or_path",), None, "the model's folder or hub name")
    template = settings.word("template", None)
    if template is not None and template not in TEMPLATES:
        settings.name("template", "the tokenizer's own chat template is taken; for an instruct model the two agree")
    if settings.flag("pure_bf16"):
        settings.name("pure_bf16", "weights stay in float32 here, and matrix products are in bfloat16")
        dtype = "bfloat16"
        arithmetic(settings, NAMES)
    else:
        dtype = arithmetic(settings, NAMES)
    return {
        "path": model_place(found or "missing", folder),
        "dtype": dtype,
        "chat_template": TEMPLATES.get(template or "", "tokenizer"),
    }


def _files(settings: Settings, folder: Path, assumed: list[str]) -> list[DataFile]:
    """Names of `dataset`, looked up in dataset_info.json where that is at hand."""
    place = Path(settings.word("dataset_dir", "data"))
    names = settings.words("dataset")
    if not names:
        settings.fault(("dataset",), None, "names of data sets")
        return [DataFile("data/missing.jsonl", None, None)]
    known = _known_data(place / INFO)
    found = []
    for name in names:
        entry = known.get(name) if isinstance(known, Mapping) else None
        entry = entry if isinstance(entry, Mapping) else {}
        _tell_entry(settings, place, name, entry, assumed)
        found.append(_entry_file(folder, place, name, entry))
    if settings.raw("max_samples") is not None:
        settings.name("max_samples", "all rows are used; cut the file itself, or take `limit` where a stage has it")
    if "eval_dataset" in settings.keys:
        settings.name("eval_dataset", "held-out pairs stand under held_out of a `reward_model` stage")
    return found


def _tell_entry(settings: Settings, place: Path, name: str, entry: Mapping[str, Any], assumed: list[str]) -> None:
    """Raise ConfigError for an entry with pictures; say what of it is not done here."""
    for column in COLUMNS_OF_PICTURES:
        if column in (entry.get("columns") or {}):
            raise ConfigError(f"{settings.path}: dataset: {name} has {column} ({place / INFO}): {ONLY_TEXTS}")
    for key in ("num_samples", "folder"):
        if key in entry:
            assumed.append(f"{INFO} wants {key} {entry[key]} of {name}; the data set is read whole here ({DIFFERS})")


def _entry_file(folder: Path, place: Path, name: str, entry: Mapping[str, Any]) -> DataFile:
    if "file_name" in entry:
        return data_file(str(entry["file_name"]), folder, beside=place)
    if "hf_hub_url" in entry:
        split = str(entry.get("split", "train"))
        return data_file(str(entry["hf_hub_url"]), folder, split=split, subset=entry.get("subset"))
    target = f"data/{name}.jsonl"
    return DataFile(target, f"put the rows of `{name}` ({place / INFO} names them) at {folder / target}", None)


def _known_data(path: Path) -> Any:
    try:
        return read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise ConfigError(
            f"{path}: not JSON ({error}); expected what LLaMA-Factory reads there. Correct it."
        ) from error


def _held_out(settings: Settings, kind: str) -> float:
    share = settings.number("val_size", 0.0)
    if share and (share >= 1 or kind in ("sft", "kto", "ppo")):
        settings.name("val_size", "a share of pairs can be held out here; cut the file itself: `boresight data split`")
        return 0.0
    return float(share)


def _adapters(settings: Settings, kind: str, assumed: list[str]) -> dict[str, Any]:
    how = settings.word("finetuning_type", "lora", ("lora", "oft", "freeze", "full"))
    bits = settings.whole("quantization_bit", None)
    if how != "lora":
        if how != "full":
            settings.name(
                "finetuning_type", f"all weights or LoRA adapters are trained here; all are taken ({DIFFERS})"
            )
        for key in sorted(key for key in settings.keys if key.startswith("lora_")):
            settings.name(key, f"with finetuning_type: {how} nothing reads it, there as here")
        if bits:
            settings.name("quantization_bit", "weights of few bits can only be kept under LoRA adapters")
        return {}
    rank = settings.whole("lora_rank", 8)
    targets = settings.words("lora_target", ["all"])
    lora = low_rank(
        settings,
        NAMES,
        kind=kind,
        rank=rank,
        alpha=settings.whole("lora_alpha", 2 * rank),
        dropout=settings.number("lora_dropout", 0.0),
        targets="all-linear" if targets == ["all"] else targets,
        assumed=assumed,
    )
    if bits and bits != 4:
        settings.name("quantization_bit", "frozen weights are kept in 4 bits or whole; whole is taken")
    if settings.word("quantization_type", "nf4") != "nf4":
        settings.name("quantization_type", "4-bit weights are nf4 here")
    return {"lora": lora} | ({"quantization": "4bit"} if bits == 4 else {})
