"""A conversation with a model, each reply shown while it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import GenerationConfig, TextStreamer

from boresight.data.tokenize import encode_prompt
from boresight.errors import DataError
from boresight.models.loading import context_length, default_device
from boresight.models.model_folder import model_folder
from boresight.models.roles import FrozenPolicy, build_frozen_policy
from boresight.records import Message


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    stopped: bool
    """It ended with the stop token; otherwise it was cut at the limit of tokens, or where the context is full."""


class Conversation:
    """The messages so far, and the model that answers them."""

    def __init__(self, policy: FrozenPolicy, *, temperature: float, max_new_tokens: int) -> None:
        self.policy = policy
        self.messages: tuple[Message, ...] = ()
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = ()

    def ask(self, text: str, show: Callable[[str], None]) -> Reply:
        """Answer one more message; `show` is called with each piece of the reply as it comes.

        Raises DataError, the conversation left as it was, where the context has no room for an answer or the message
        holds a control token.
        """
        asked = (*self.messages, Message("user", text))
        prompt = encode_prompt(self.policy.chat, asked)
        room = self._room(len(prompt))
        pieces: list[str] = []

        def take(piece: str) -> None:
            pieces.append(piece)
            show(piece)

        device = self.policy.model.device
        input_ids = torch.tensor([prompt], device=device)
        output = self.policy.model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            generation_config=self._generation(room),
            streamer=_Streamer(self.policy, take),
        )
        ids = output[0, len(prompt) :].tolist()
        stopped = bool(ids) and ids[-1] in self.policy.chat.stop_token_ids
        reply = Reply("".join(pieces).strip(), stopped)
        self.messages = (*asked, Message("assistant", reply.text))
        return reply

    def _room(self, prompt_tokens: int) -> int:
        limit = context_length(self.policy.model)
        room = self._max_new_tokens if limit is None else min(self._max_new_tokens, limit - prompt_tokens)
        if room < 1:
            raise DataError(
                f"the conversation has {prompt_tokens} tokens, the model's context is {limit}: no room is left for an "
                "answer. Begin anew with /reset, or ask more briefly."
            )
        return room

    def _generation(self, max_new_tokens: int) -> GenerationConfig:
        """Plain sampling at the temperature: nothing that a model's own settings may cut off or penalise."""
        sampling = {"do_sample": True, "temperature": self._temperature, "top_k": 0, "top_p": 1.0}
        return GenerationConfig(
            max_new_tokens=max_new_tokens,
            eos_token_id=list(self.policy.chat.stop_token_ids),
            pad_token_id=self.policy.chat.stop_token_id,
            **(sampling if self._temperature > 0 else {"do_sample": False}),
        )


class _Streamer(TextStreamer):  # type: ignore[misc]  # transformers ships no types
    """Gives finished words to a function instead of printing them."""

    def __init__(self, policy: FrozenPolicy, take: Callable[[str], None]) -> None:
        super().__init__(policy.tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._take = take

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        self._take(text)


def open_conversation(path: Path, *, temperature: float, max_new_tokens: int, seed: int | None) -> Conversation:
    """Load the model of a folder. Raises ModelError where there is none, or where it scores texts and cannot answer."""
    if seed is not None:
        torch.manual_seed(seed)
    policy = build_frozen_policy(model_folder(path), "tokenizer", device=default_device())
    return Conversation(policy, temperature=temperature, max_new_tokens=max_new_tokens)
