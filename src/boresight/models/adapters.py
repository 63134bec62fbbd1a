"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft: the model's own weights stay as they are.

    y = W x + (alpha / rank) B A x        W frozen; A and B trained, B = 0 at the start

peft puts the adapters into the layers of the model that it is given, so what computes with the model need not know of
them. Merged, W + (alpha / rank) B A, it is a plain model again.
"""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.sections import LoRASection
from boresight.errors import ModelError
from boresight.models.loading import saved_vocabulary_size
from boresight.storage import folder_at_once, write_json, write_text

if TYPE_CHECKING:  # loaded where adapters are made: it takes time and 20 MB, and most runs have none
    from peft import PeftModel

Task = Literal["CAUSAL_LM", "SEQ_CLS", "FEATURE_EXTRACTION"]
CONFIG = "adapter_config.json"


class Adapter:
    """The adapters inside a model, as one thing to switch off, save and merge."""

    def __init__(self, handle: "PeftModel") -> None:
        self._handle = handle

    @contextmanager
    def off(self) -> Iterator[None]:
        """Within, the model computes as it did before it got adapters, in eval mode."""
        was_training = self._handle.training
        self._handle.eval()
        try:
            with self._handle.disable_adapter():
                yield
        finally:
            self._handle.train(was_training)

    def save(self, folder: Path, card: str, base: str | None) -> None:
        """Write a PEFT folder, which appears whole or not at all; `base` is the hub name of what it belongs to."""
        with folder_at_once(folder) as temporary:
            self._handle.save_pretrained(temporary)
            write_text(temporary / "README.md", card)
            config = json.loads((temporary / CONFIG).read_text(encoding="utf-8"))
            # Equal runs write equal bytes: peft keeps the layers' names in a set, and the place of a local base.
            if isinstance(config["target_modules"], list):
                config["target_modules"].sort()
            write_json(temporary / CONFIG, config | {"base_model_name_or_path": base})

    def merge(self) -> PreTrainedModel:
        """The model with the adapters added into its weights and taken out; it cannot be trained further."""
        merged: PreTrainedModel = self._handle.merge_and_unload()
        return merged


def add_adapter(model: PreTrainedModel, settings: LoRASection, *, task: Task, seed: int) -> Adapter:
    """Freeze the model and put adapters into it; a classifier's head (task SEQ_CLS) is trained whole beside them.

    Raises ModelError where the model has no layer of a name in `target_modules`.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules,
        task_type=task,
    )
    with torch.random.fork_rng(devices=[]), _peft_warnings_aside():
        torch.manual_seed(seed)
        try:
            return Adapter(get_peft_model(model, config))
        except ValueError as error:
            raise ModelError(
                f"lora.target_modules: {settings.target_modules} fits no layer of {type(model).__name__} ({error}). "
                "Name linear layers that it has, such as q_proj and v_proj of a Llama, or leave out the setting."
            ) from error


def refuse_new_tokens(path: str | Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """ModelError where the chat template's tokens are new to the model: frozen embeddings would never learn them."""
    known = saved_vocabulary_size(path)
    if known < len(tokenizer):
        raise ModelError(
            f"{path}: the chat template adds {len(tokenizer) - known} tokens that this model has never seen, and lora "
            "leaves embeddings as they are, so it could not tell them apart. Begin with an sft stage without lora, or "
            "with a model whose tokenizer has a chat template."
        )


def merge_saved(model: PreTrainedModel, adapter: Path) -> PreTrainedModel:
    """A model with a saved adapter merged into it: for adapters that were trained on weights of lower precision."""
    from peft import PeftModel

    with _peft_warnings_aside():
        return Adapter(PeftModel.from_pretrained(model, adapter)).merge()


@contextmanager
def _peft_warnings_aside() -> Iterator[None]:
    """Of names that peft and transformers change between themselves, and of settings that peft corrects by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out")
        yield
