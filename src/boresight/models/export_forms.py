"""Models in the form in which other tools load them: a number format, files of a given size, and reward models whose
plain reading of a text is the reading that they were trained with.

A classifier of transformers reads its score at the last token that is not the pad token, and RewardBench's runner hands
it the chat template's text as it is. A reward model of ours is read at the stop token. The two are one where the
template ends with the stop token, where that is not the pad token too, and where the tokenizer adds nothing of its own:
`as_text_scorer` sees to all three.
"""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from boresight.data.chat_template import ChatFormat, template_taken
from boresight.data.template_date import DATE, reads_clock, with_one_date
from boresight.data.tokenize import PROBE_DIALOGUE, encode_pair_response
from boresight.errors import ConfigError, ModelError
from boresight.models.loading import fit_to_tokenizer

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SHARD_SIZE = re.compile(r"^[1-9][0-9]*(?:KB|MB|GB)$")
OWN_PAD = "<|pad|>"
GENERATION_MARK = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


def saved_dtype(model_config: object) -> str:
    """The number format that a config names; float32 where it names none that is known here."""
    name = str(getattr(model_config, "dtype", None)).removeprefix("torch.")
    return name if name in DTYPES else "float32"


def check_shard_size(text: str) -> str:
    """As transformers takes it; ConfigError for anything else."""
    if not SHARD_SIZE.match(text):
        raise ConfigError(f"--max-shard-size {text}: expected a whole number with KB, MB or GB, such as 5GB")
    return text


def cast(model: PreTrainedModel, dtype: str) -> PreTrainedModel:
    """The model with its weights in another number format. Raises ModelError where one is too large for it."""
    wanted = DTYPES[dtype]
    limit = torch.finfo(wanted).max
    for name, parameter in model.named_parameters():
        if not bool((parameter.detach().abs() <= limit).all()):
            raise ModelError(
                f"{name}: holds a weight beyond {limit:g}, the largest number of {dtype}, or one that is no number. "
                "Choose bfloat16 or float32."
            )
    return model.to(wanted)


def cast_file(source: Path, target: Path, dtype: str | None) -> None:
    """The tensors of a safetensors file in another number format, or as they are."""
    tensors = load_file(source)
    wanted = None if dtype is None else DTYPES[dtype]
    save_file({name: tensor.to(wanted or tensor.dtype) for name, tensor in tensors.items()}, target, {"format": "pt"})


def write_weights(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_shard_size: str
) -> None:
    """Weights in safetensors files of at most that size (with an index where there are several) and the tokenizer."""
    transformers_logging.disable_progress_bar()
    model.save_pretrained(folder, max_shard_size=max_shard_size)
    tokenizer.save_pretrained(folder)


def as_text_scorer(model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Make the chat template's text the text that a reward model was trained to read; returns what had to change.

    `model` gets a row for a pad token where it needs one of its own; None where that cannot be given, beside adapters.
    Raises ModelError where a text would all the same be read as other tokens.
    """
    trained = ChatFormat(tokenizer)
    expected = _trained_ids(trained)
    changed = [
        *_one_template(tokenizer),
        *_one_date(tokenizer),
        *_end_at_stop_token(tokenizer, trained.stop_token),
        *_pad_apart(model, tokenizer, trained.stop_token_id),
        *_no_second_start(tokenizer, expected),
    ]
    if (found := text_ids(tokenizer)) != expected:
        raise ModelError(
            f"{trained.name}: the text of a conversation is read as {found[:3]}...{found[-3:]} ({len(found)} tokens), "
            f"and the reward model was trained on {expected[:3]}...{expected[-3:]} ({len(expected)}). Its scores of "
            "plain texts would be of something else: give the tokenizer a template of which every message begins with "
            "a special token, and train anew."
        )
    return changed


def text_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token ids that RewardBench's runner makes of a dialogue: rendered to text, the text tokenised."""
    plain = [{"role": m.role, "content": m.content} for m in PROBE_DIALOGUE]
    text = tokenizer.apply_chat_template(plain, tokenize=False)
    return [int(token) for token in tokenizer(text)["input_ids"]]


def _trained_ids(chat: ChatFormat) -> list[int]:
    *prompt, response = PROBE_DIALOGUE
    return encode_pair_response(chat, tuple(prompt), response.content)


def _one_template(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    if not isinstance(tokenizer.chat_template, dict):
        return []
    tokenizer.chat_template = template_taken(tokenizer)
    return ["of the named chat templates only `default` is left, with which the model was trained"]


def _one_date(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    template = str(tokenizer.chat_template)
    if not reads_clock(template):
        return []
    tokenizer.chat_template = with_one_date(template)
    return [f"the chat template writes {DATE:%d %b %Y} for today's date, as in training"]


def _end_at_stop_token(tokenizer: PreTrainedTokenizerBase, stop: str) -> list[str]:
    """Cut what the template writes after the last stop token, such as ChatML's line break."""
    plain = [{"role": m.role, "content": m.content} for m in PROBE_DIALOGUE]
    if tokenizer.apply_chat_template(plain, tokenize=False).endswith(stop):
        return []
    # Marks of what is generated count characters of the whole output, which the capture hides from them.
    template = GENERATION_MARK.sub("", str(tokenizer.chat_template))
    quoted = stop.replace("\\", "\\\\").replace("'", "\\'")
    tokenizer.chat_template = (
        f"{{%- set whole -%}}{template}{{%- endset -%}}"
        f"{{%- if add_generation_prompt or '{quoted}' not in whole -%}}{{{{- whole -}}}}"
        f"{{%- else -%}}{{{{- whole.rpartition('{quoted}')[0] + '{quoted}' -}}}}{{%- endif -%}}"
    )
    return [f"the chat template ends with the stop token {stop}, at which the score is read"]


def _pad_apart(model: PreTrainedModel | None, tokenizer: PreTrainedTokenizerBase, stop_id: int) -> list[str]:
    """A pad token that is not the stop token, or the score would be read one token too early."""
    changed = []
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == stop_id:
        if model is None:
            raise ModelError(
                "the tokenizer has no pad token beside the stop token, so batches of texts would be scored at the "
                "wrong place, and adapters leave the base no room for one. Export with --adapters merge."
            )
        tokenizer.add_special_tokens({"pad_token": OWN_PAD})
        fit_to_tokenizer(model, tokenizer)
        changed = [f"the pad token is {OWN_PAD}, of its own: it was the stop token, or missing"]
    tokenizer.padding_side = "right"
    if model is not None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return changed


def _no_second_start(tokenizer: PreTrainedTokenizerBase, expected: list[int]) -> list[str]:
    """Templates that write the first token of a sequence, beside tokenizers that add one more."""
    found = text_ids(tokenizer)
    if len(found) != len(expected) + 1 or found[1:] != expected:
        return []
    tokenizer.add_bos_token = False
    return ["the tokenizer adds no first token: the chat template writes it"]
