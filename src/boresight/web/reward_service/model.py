"""The model behind the service: from texts to rows of token ids, from rows to scores, and its name by content."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from boresight.data.tokenize import encode_prompt, encode_response, scored_text_probe
from boresight.errors import DataError, ModelError
from boresight.models.loading import context_length
from boresight.models.roles import RewardModel, build_reward_model, score_rows
from boresight.records import Messages
from boresight.storage import canonical_json, hash_text


class Row(NamedTuple):
    """A response behind its prompt, closed by the template's stop token."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def prompt(self) -> tuple[int, ...]:
        return self.ids[: self.prompt_length]


class ServedModel:
    """A reward model that scores rows of several requests together.

    `hash` names what answers: the weights, and the text that they are given (tokenizer and chat template). Raises
    ModelError where `most_tokens` is more than the model has learnt positions.
    """

    def __init__(self, model: RewardModel, most_tokens: int | None = None) -> None:
        known = context_length(model.model)
        if most_tokens is not None and known is not None and most_tokens > known:
            raise ModelError(f"--max-tokens {most_tokens}: the model knows {known} positions; give at most that.")
        self.most_tokens = most_tokens or known
        self._model = model
        self.hash = hash_text(canonical_json([model.fingerprint(), scored_text_probe(model.chat)["tokens_sha256"]]))

    def rows(self, prompts: Sequence[Messages], responses: Sequence[str]) -> list[Row]:
        """Token ids of each. Raises DataError for a row that is too long, and for a prompt the template refuses."""
        chat = self._model.chat
        starts = {prompt: encode_prompt(chat, prompt) for prompt in dict.fromkeys(prompts)}
        rows = [
            Row((*starts[prompt], *encode_response(chat, prompt, response)), len(starts[prompt]))
            for prompt, response in zip(prompts, responses, strict=True)
        ]
        for place, row in enumerate(rows):
            if self.most_tokens is not None and len(row.ids) > self.most_tokens:
                raise DataError(
                    f"response {place}: with its prompt it has {len(row.ids)} tokens of the reward model's tokenizer, "
                    f"and at most {self.most_tokens} are taken here. Lower max_new_tokens, or take long prompts out."
                )
        return rows

    @torch.no_grad()
    def scores(self, rows: Sequence[Row]) -> list[float]:
        """One score a row, all from one forward pass."""
        model = self._model
        found = score_rows(model.model, model.head, [row.ids for row in rows], [row.prompt_length for row in rows])
        return [float(score) for score in found.float().cpu()]


def load_served_model(path: Path, device: str, most_tokens: int | None = None) -> ServedModel:
    """Raises ModelError where the folder holds no reward model."""
    if not path.is_dir():
        raise ModelError(
            f"{path}: no such folder. Give the folder of a reward model, for example runs/NAME/stages/STAGE/model."
        )
    return ServedModel(build_reward_model(path, device), most_tokens)
