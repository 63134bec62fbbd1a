"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) through peft: the model's own weights stay as they are.

    y = W x + (alpha / rank) B A x        W frozen; A and B trained, B = 0 at the start

peft puts the adapters into the layers of the model that it is given, so what computes with the model need not know of
them. Merged, W + (alpha / rank) B A, it is a plain model again.
"""

import copy
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import Parameter
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.sections import LoRASection
from boresight.errors import ModelError
from boresight.models.adapted_linear import use_one_step
from boresight.models.loading import saved_vocabulary_size
from boresight.storage import folder_at_once, write_json, write_text

if TYPE_CHECKING:  # loaded where adapters are made: it takes time and 20 MB, and most runs have none
    from peft import LoraConfig, PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

Task = Literal["CAUSAL_LM", "SEQ_CLS", "FEATURE_EXTRACTION"]
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
SAVED_PREFIX = "base_model.model."  # of every tensor that peft saves
OWN = "default"
"""The adapter that a model got first and computes with; more may stand beside it under other names."""


class Adapter:
    """The adapters inside a model: one that it computes with, to be saved and merged, and others to switch to."""

    def __init__(self, handle: "PeftModel") -> None:
        self._handle = handle
        self._model = handle.get_base_model()

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Within, the model computes with the adapter of this name alone, or with none, in eval mode.

        What is trained stays trained: a gradient reaches the adapters that a result was computed with, whichever the
        model computes with when the backward pass runs.
        """
        was_training, before = self._model.training, self._active()
        self._model.eval()
        self._switch([] if name is None else [name])
        try:
            yield
        finally:
            self._switch(before)
            self._model.train(was_training)

    def off(self) -> AbstractContextManager[None]:
        """Within, the model computes as it did before it got adapters, in eval mode."""
        return self.using(None)

    def as_now(self) -> AbstractContextManager[None]:
        """A context to enter later, in which the model computes with what it computes with now."""
        active = self._active()
        return self.using(active[0] if active else None)

    def add(self, name: str, settings: LoRASection, *, seed: int) -> None:
        """A further adapter that begins as nothing and is trained."""
        self._add(name, _config(settings, self._handle.peft_config[OWN].task_type), seed=seed, trained=True)

    def add_copy(self, name: str, of: str, *, trained: bool) -> None:
        """A further adapter with the weights that another has now."""
        self._add(name, copy.deepcopy(self._handle.peft_config[of]), seed=0, trained=trained)
        copied = dict(self.weights(of).named_parameters())
        with torch.no_grad():
            for key, parameter in self.weights(name).named_parameters():
                parameter.copy_(copied[key])

    def add_saved(self, name: str, folder: Path) -> dict[str, Tensor]:
        """A further adapter, frozen, from a PEFT folder of the same base; returns what else was trained with it, such
        as a head. Raises ModelError where its layers are not those of this model."""
        from peft import LoraConfig

        config = LoraConfig.from_pretrained(folder)
        config.task_type, config.modules_to_save = self._handle.peft_config[OWN].task_type, None
        try:
            self._add(name, config, seed=0, trained=False)
        except ValueError as error:  # peft finds no layer of a name that it wants
            raise self._of_another_base(folder) from error
        return self.load(folder, name)

    def load(self, folder: Path, name: str = OWN) -> dict[str, Tensor]:
        """Fill an adapter from a PEFT folder of the same shape and base; returns and raises as `add_saved`."""
        saved = load_file(folder / WEIGHTS)
        places = {key.replace("/", "."): p for key, p in self.weights(name).named_parameters()}
        adapters = {key.removeprefix(SAVED_PREFIX): saved.pop(key) for key in sorted(saved) if ".lora_" in key}
        if {key: p.shape for key, p in places.items()} != {key: tensor.shape for key, tensor in adapters.items()}:
            raise self._of_another_base(folder)
        with torch.no_grad():
            for key, parameter in places.items():
                parameter.copy_(adapters[key])
        return {key.removeprefix(SAVED_PREFIX): tensor for key, tensor in saved.items()}

    def weights(self, name: str) -> "AdapterWeights":
        """The numbers of the adapter of that name, by themselves."""
        return AdapterWeights(dict(self._layers()), name)

    def is_nothing(self, name: str) -> bool:
        """Whether the adapter changes nothing, as it does before it has learnt."""
        return not any(bool(p.any()) for key, p in self.weights(name).named_parameters() if "_B" in key)

    def parameters_under(self, name: str | None) -> Iterator[tuple[str, Parameter]]:
        """All that the model computes with under an adapter, or under none, by the names of the model without any."""
        for key, parameter in self._model.named_parameters():
            if ".lora_" not in key:
                yield key.replace(".base_layer", ""), parameter
        if name is not None:
            yield from self.weights(name).named_parameters()

    def save(self, folder: Path, card: str, base: str | None) -> None:
        """Write the model's own adapter as a PEFT folder, which appears whole or not at all; `base` is the hub name of
        what it belongs to."""
        with folder_at_once(folder) as temporary:
            self._handle.save_pretrained(temporary, selected_adapters=[OWN])
            write_text(temporary / "README.md", card)
            config = json.loads((temporary / CONFIG).read_text(encoding="utf-8"))
            # Equal runs write equal bytes: peft keeps the layers' names in a set, and the place of a local base.
            if isinstance(config["target_modules"], list):
                config["target_modules"].sort()
            write_json(temporary / CONFIG, config | {"base_model_name_or_path": base})

    def merge(self) -> PreTrainedModel:
        """The model with its own adapter added into its weights and all taken out; it cannot be trained further."""
        merged: PreTrainedModel = self._handle.merge_and_unload(adapter_names=[OWN])
        return merged

    def _add(self, name: str, config: "LoraConfig", *, seed: int, trained: bool) -> None:
        before = [p for p in self._handle.parameters() if p.requires_grad]
        with torch.random.fork_rng(devices=[]), _peft_warnings_aside():
            torch.manual_seed(seed)
            self._handle.add_adapter(name, config)
        self._handle.requires_grad_(False)  # peft trains what is active, and that alone
        for parameter in (*before, *(self.weights(name).parameters() if trained else ())):
            parameter.requires_grad_(True)

    def _of_another_base(self, folder: Path) -> ModelError:
        return ModelError(
            f"{folder}: these adapters do not fit into the layers of {type(self._model).__name__} as it is here. They "
            "belong to another base: name the stage that they were trained in, on the model that they were trained on."
        )

    def _layers(self) -> Iterator[tuple[str, "BaseTunerLayer"]]:
        from peft.tuners.tuners_utils import BaseTunerLayer

        return ((path, layer) for path, layer in self._model.named_modules() if isinstance(layer, BaseTunerLayer))

    def _active(self) -> list[str]:
        return list(next(layer for _, layer in self._layers()).active_adapters)

    def _switch(self, names: list[str]) -> None:
        """peft's switch also decides what is trained; here that stays as it was."""
        for _, layer in self._layers():
            trained = [p for p in layer.parameters() if p.requires_grad]
            layer.set_adapter(names, inference_mode=True)
            for parameter in trained:
                parameter.requires_grad_(True)


class AdapterWeights(nn.Module):
    """The weights of one adapter apart from the model that they stand in: to train, to save, to compare."""

    def __init__(self, layers: Mapping[str, "BaseTunerLayer"], name: str) -> None:
        super().__init__()
        for path, layer in layers.items():
            for kind in layer.adapter_layer_names:
                held = getattr(layer, kind)
                if name in held and isinstance(held[name], nn.Module):
                    self.add_module(f"{path}.{kind}".replace(".", "/"), held[name])
                elif name in held:
                    self.register_parameter(f"{path}.{kind}".replace(".", "/"), held[name])


def add_adapter(model: PreTrainedModel, settings: LoRASection, *, task: Task, seed: int) -> Adapter:
    """Freeze the model and put adapters into it; a classifier's head (task SEQ_CLS) is trained whole beside them.

    Raises ModelError where the model has no layer of a name in `target_modules`, or where one of them is a table that
    serves as embeddings and head alike.
    """
    from peft import get_peft_model

    config = _config(settings, task)
    if settings.target_modules == "all-linear":
        config.exclude_modules = _routers(model) or None
    with torch.random.fork_rng(devices=[]), _peft_warnings_aside():
        torch.manual_seed(seed)
        try:
            adapter = Adapter(get_peft_model(model, config))
        except ValueError as error:
            raise ModelError(
                f"lora.target_modules: {settings.target_modules} fits no layer of {type(model).__name__} ({error}). "
                "Name linear layers that it has, such as q_proj and v_proj of a Llama, or leave out the setting."
            ) from error
    _refuse_half_of_a_tied_table(model, settings)
    use_one_step(model)
    return adapter


@torch.no_grad()
def _routers(model: PreTrainedModel) -> list[str]:
    """Names of the linear layers of a family's own that give more than one tensor, which peft cannot add to."""
    own = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and type(module).__module__.startswith("transformers.models.")
    }
    return [name for name, layer in own.items() if not isinstance(layer(layer.weight[:1]), Tensor)]


def _refuse_half_of_a_tied_table(model: PreTrainedModel, settings: LoRASection) -> None:
    """An adapter trained in one place of a shared table would, merged into it, change the other place too."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    places = model.get_input_embeddings(), model.get_output_embeddings()
    tied = None not in places and places[0].weight is places[1].weight
    if tied and any(isinstance(place, BaseTunerLayer) for place in places):
        raise ModelError(
            f"lora.target_modules: {settings.target_modules} names the embeddings or the output head of "
            f"{type(model).__name__}, which are one table here (tie_word_embeddings): merged into it, an adapter of "
            "the one would change the other too, and the saved model would not be the trained one. Leave it out of "
            "target_modules, or train without lora."
        )


def _config(settings: LoRASection, task: str) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.target_modules,
        task_type=task,
    )


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
        warnings.filterwarnings("ignore", message=".*_pattern keys did not match")  # its own, of experts; they do apply
        warnings.filterwarnings("ignore", message=".*`tie_word_embeddings=True`")  # refused where it does harm
        yield
