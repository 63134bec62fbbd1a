"""A model of ours, or any Hugging Face folder, for others to load: whole, with its licence and how to load it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerBase

from boresight.errors import ConfigError, ModelError
from boresight.models.adapters import CONFIG as ADAPTER_CONFIG
from boresight.models.adapters import WEIGHTS as ADAPTER_WEIGHTS
from boresight.models.adapters import merge_saved
from boresight.models.export_forms import (
    as_text_scorer,
    cast,
    cast_file,
    check_shard_size,
    saved_dtype,
    write_weights,
)
from boresight.models.loading import (
    fit_to_tokenizer,
    load_causal_lm,
    load_reward_model,
    load_tokenizer,
    start_reward_model,
)
from boresight.pipeline.export_card import export_card
from boresight.pipeline.export_source import Source, find_source
from boresight.storage import folder_at_once, occupied, read_json, write_json, write_text


@dataclass(frozen=True, kw_only=True)
class ExportWish:
    """What is asked of an export; None of `dtype` leaves the number format as it is saved."""

    adapters: Literal["merge", "keep"] = "merge"
    dtype: str | None = None
    max_shard_size: str = "5GB"
    base: str | None = None
    licence: str | None = None


def export_model(path: Path, out: Path, wish: ExportWish, *, stage: str | None = None) -> dict[str, Any]:
    """Write the model of `path` into the new folder `out`, which appears whole or not at all; what was written.

    Raises ConfigError where `out` holds something or a base is given that nothing needs, ModelError where there is no
    such model or adapter.
    """
    check_shard_size(wish.max_shard_size)
    if found := occupied(out):
        raise ConfigError(f"--out {out}: {found}; expected a new or empty folder, and nothing is overwritten.")
    source = find_source(path, stage, wish.base)
    if wish.base and wish.adapters == "merge" and source.model is not None:
        raise ConfigError(
            f"--base {wish.base}: {source.model} is a whole model, which stands on no other; expected adapters alone. "
            f"Leave --base out{', or keep the adapters apart: --adapters keep' * bool(source.adapter)}."
        )
    with folder_at_once(out.absolute()) as folder:
        told = _write_adapter(source, wish, folder) if wish.adapters == "keep" else _write_whole(source, wish, folder)
        for file in source.base.licence_files:
            shutil.copyfile(file, folder / file.name)
        licence = wish.licence or source.base.licence
        told |= {
            "kind": "reward_model" if source.is_reward_model else "policy",
            "adapters": "kept" if wish.adapters == "keep" else "merged" if source.adapter else "none",
            "base": source.base.name,
            "licence": licence,
        }
        write_text(folder / "README.md", export_card(source, told))
        files = sorted(file for file in folder.iterdir() if file.is_file())
        told |= {"files": [file.name for file in files], "bytes": sum(file.stat().st_size for file in files)}
    return {"out": str(out), **told}


def _write_whole(source: Source, wish: ExportWish, folder: Path) -> dict[str, Any]:
    tokenizer = load_tokenizer(source.tokenizer)
    model, saved = _merged(source, tokenizer) if source.model is None else _plain(source)
    changed = as_text_scorer(model, tokenizer) if source.is_reward_model else []
    dtype = wish.dtype or saved
    write_weights(folder, cast(model, dtype), tokenizer, wish.max_shard_size)
    return {"dtype": dtype, "weight_files": len(list(folder.glob("*.safetensors"))), "changed": changed}


def _plain(source: Source) -> tuple[PreTrainedModel, str]:
    assert source.model is not None
    load = load_reward_model if source.is_reward_model else load_causal_lm
    return load(source.model), saved_dtype(AutoConfig.from_pretrained(source.model))


def _merged(source: Source, tokenizer: PreTrainedTokenizerBase) -> tuple[PreTrainedModel, str]:
    """A PEFT folder on its base, as one model."""
    assert source.adapter is not None
    base = _adapter_base(source)
    model = start_reward_model(base, seed=0) if source.is_reward_model else load_causal_lm(base)
    dtype = saved_dtype(AutoConfig.from_pretrained(base))
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        fit_to_tokenizer(model, tokenizer)
    return merge_saved(model, source.adapter), dtype


def _write_adapter(source: Source, wish: ExportWish, folder: Path) -> dict[str, Any]:
    if source.adapter is None:
        raise ModelError(
            f"{source.model}: was trained with all of its weights, so there is no adapter to keep. Leave out "
            "--adapters keep."
        )
    base, tokenizer = _adapter_base(source), load_tokenizer(source.tokenizer)
    changed = as_text_scorer(None, tokenizer) if source.is_reward_model else []
    cast_file(source.adapter / ADAPTER_WEIGHTS, folder / ADAPTER_WEIGHTS, wish.dtype)
    config = read_json(source.adapter / ADAPTER_CONFIG)
    write_json(folder / ADAPTER_CONFIG, config | {"base_model_name_or_path": base})
    tokenizer.save_pretrained(folder)
    return {"dtype": wish.dtype or "as saved", "weight_files": 1, "changed": changed, "adapter_base": base}


def _adapter_base(source: Source) -> str:
    if source.adapter_base is None:
        raise ModelError(
            f"{source.adapter}: the model that these adapters stand on is not known here (the stage that it was "
            "trained from is gone, or the folder names none). Give it: --base FOLDER_OR_HUB_NAME."
        )
    return source.adapter_base
