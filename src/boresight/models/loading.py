"""Models and tokenizers from local folders or hub names, and back to Hugging Face folders.

Loading and saving are transformers' own (`from_pretrained`, `save_pretrained`); what is added here is a message a
person can act on where they fail, and folders that appear whole or not at all. Weights are float32: an update of a
bfloat16 weight mostly rounds to no update. Lower precision is for the arithmetic, see `boresight.models.precision`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from boresight.data.chat_template import BUILT_IN_TEMPLATES, ChatFormat
from boresight.errors import ModelError
from boresight.storage import folder_at_once, write_text

HEAD_PARTS = ("weight", "bias")
NO_CLASS = "Unrecognized configuration class"  # how transformers begins to say so


def default_device() -> str:
    """Where models go: the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model folder; ModelError where there is none."""
    return _from_pretrained(AutoTokenizer.from_pretrained, path, "a tokenizer")


def load_causal_lm(path: str | Path, **options: Any) -> PreTrainedModel:
    """Any causal language model that transformers loads: float32, on the CPU, dropout as its config says.

    `options` are those of `from_pretrained`, for weights that are to be kept another way.
    """
    load = AutoModelForCausalLM.from_pretrained
    return _whole_model(load, path, "a causal language model", **options)


def load_reward_model(path: str | Path) -> PreTrainedModel:
    """A reward model: `AutoModelForSequenceClassification`; ModelError unless it has exactly one label."""
    config = _from_pretrained(AutoConfig.from_pretrained, path, "a model config")
    if config.num_labels != 1:
        raise ModelError(
            f"{path}: this classifier has {config.num_labels} labels; a reward model has exactly one. Name a model "
            "made by a reward_model stage, or one saved with num_labels=1."
        )
    load = AutoModelForSequenceClassification.from_pretrained
    return _whole_model(load, path, "a reward model")


def start_reward_model(path: str | Path, seed: int, **options: Any) -> PreTrainedModel:
    """A causal language model's body with a fresh scalar head.

    The head's weights are drawn from N(0, 1 / (d + 1)), d the hidden size (Stiennon et al. 2020, appendix B.1, with
    the square root that the text leaves out: the deviation is 1 / sqrt(d + 1)). `options` as in `load_causal_lm`.
    """
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()  # the missing head is what we are about to make
    try:
        load = AutoModelForSequenceClassification.from_pretrained
        model = _whole_model(load, path, "a body for a reward model", fresh_head=True, num_labels=1, **options)
    finally:
        transformers_logging.set_verbosity(verbosity)
    head = scalar_head(model)
    generator = torch.Generator().manual_seed(seed)
    deviation = 1.0 / (head.in_features + 1) ** 0.5
    with torch.no_grad():
        head.weight.copy_(torch.randn(head.weight.shape, generator=generator) * deviation)
        if head.bias is not None:
            head.bias.zero_()
    return model


def scalar_head(model: PreTrainedModel) -> nn.Linear:
    """The one-output head of a sequence classifier, whatever its family calls it; with adapters, the trained copy.
    ModelError unless there is exactly one outside of its body, whose mixtures may have gates of one output."""
    body = set() if model.base_model is model else set(model.base_model.modules())
    heads = [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == 1
        and module not in body
        and not name.endswith(".original_module")  # peft keeps the head as it was beside the one that is trained
        and ".lora_" not in name  # of rank 1
    ]
    if len(heads) != 1:
        raise ModelError(
            f"{type(model).__name__} has {len(heads)} linear layers with one output; a reward model needs exactly one, "
            "its scalar head. Use a family whose ForSequenceClassification class ends in a linear head."
        )
    return heads[0]


def chat_format(tokenizer: PreTrainedTokenizerBase, template: str) -> ChatFormat:
    """How conversations are written for this tokenizer: its own template, or a built-in one where asked for.

    A built-in template brings its special tokens, which the tokenizer gets where it lacks them, and its stop token
    becomes the end of a sequence. `fit_to_tokenizer` then makes room for them in the model.
    """
    if template != "tokenizer":
        built_in = BUILT_IN_TEMPLATES[template]
        tokenizer.chat_template = built_in.jinja
        others = [token for token in built_in.special_tokens if token != built_in.stop_token]
        tokenizer.add_special_tokens({"eos_token": built_in.stop_token, "additional_special_tokens": others})
    return ChatFormat(tokenizer)


@torch.no_grad()
def fit_to_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the model a row for every token; new rows are the mean of the others, the same in every role.

    Generation ends where the tokenizer's sequences end.
    """
    known = model.get_input_embeddings().weight.shape[0]
    if known < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                layer.weight[known:] = layer.weight[:known].mean(dim=0)
    for config in (model.config, getattr(model, "generation_config", None)):
        if config is not None and tokenizer.eos_token_id is not None:
            config.eos_token_id = tokenizer.eos_token_id


def end_at_stop_tokens(model: PreTrainedModel, chat: ChatFormat) -> None:
    """Have transformers, and what else reads the folder's generation settings, end a response where the chat template
    does: base models come with a template whose stop token is not the end of their texts."""
    config, end = getattr(model, "generation_config", None), chat.tokenizer.eos_token_id
    if config is not None and end not in chat.stop_token_ids:
        config.eos_token_id = [*chat.stop_token_ids, *([] if end is None else [end])]


def context_length(model: PreTrainedModel) -> int | None:
    """Longest sequence in tokens that the model's positions allow; None where its config names no limit."""
    return _position_limit(model.config)


def saved_context_length(path: str | Path) -> int | None:
    """The same of a model folder, without loading the model."""
    return _position_limit(_from_pretrained(AutoConfig.from_pretrained, path, "a model config"))


def saved_vocabulary_size(path: str | Path) -> int:
    """Tokens that the model of a folder has embeddings for, without loading the model."""
    config: PreTrainedConfig = _from_pretrained(AutoConfig.from_pretrained, path, "a model config")
    return int(config.get_text_config().vocab_size)


def _position_limit(config: PreTrainedConfig) -> int | None:
    for name in ("max_position_embeddings", "n_positions", "seq_length"):
        limit = getattr(config, name, None)
        if isinstance(limit, int):
            return limit
    return None


def save_model(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, card: str) -> None:
    """Write model, tokenizer, chat template and model card into `folder`, which appears whole or not at all."""
    transformers_logging.disable_progress_bar()
    with folder_at_once(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        write_text(temporary / "README.md", card)


def _whole_model(
    load: Callable[..., Any], path: str | Path, wanted: str, *, fresh_head: bool = False, **options: Any
) -> PreTrainedModel:
    """The model with every weight from the folder, but for a scalar head that is about to be made. transformers would
    draw what the file lacks by chance and say so in its log alone. Raises ModelError with the weights that differ;
    those that are packed in fewer bits while they load have other names and shapes, and are not held against it."""
    if "quantization_config" in options:
        packed: PreTrainedModel = _from_pretrained(load, path, wanted, dtype=torch.float32, **options)
        return packed
    model, info = _from_pretrained(
        load, path, wanted, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    head = scalar_head(model) if fresh_head else None
    made_here = {f"{name}.{part}" for name, module in model.named_modules() if module is head for part in HEAD_PARTS}
    absent = [f"{name} is absent" for name in sorted(info["missing_keys"]) if name not in made_here]
    other = [
        f"{name} has the shape {tuple(found)} instead of {tuple(expected)}"
        for name, found, expected in sorted(info["mismatched_keys"])
        if name not in made_here
    ]
    if faults := [*absent, *other]:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ModelError(
            f"{path}: the weights are not those of {wanted} as config.json describes it: {faults[0]}{more}. Expected "
            "every weight of the model; copy the folder again whole, or correct its config.json."
        )
    loaded: PreTrainedModel = model
    return loaded


def _from_pretrained(load: Any, path: str | Path, wanted: str, **options: Any) -> Any:
    transformers_logging.disable_progress_bar()
    try:
        return load(str(path), **options)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if str(error).startswith(NO_CLASS):
            raise ModelError(
                f"{path}: transformers cannot make {wanted} of this family of models: {load.__self__.__name__} does "
                "not know it. Name a model of another family, such as Llama, Qwen or Gemma; a reward model may be of "
                "another family than the policy."
            ) from error
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{path}: cannot load {wanted} from here ({first_line}). Expected a folder with config.json, weights in "
            "safetensors and a tokenizer, or the name of a model on the hub."
        ) from error
