"""What is asked of a decoder, and the choice of each token."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase


@dataclass(slots=True)
class Request:
    """A response to be written: what it answers, how, and what there is of it."""

    prompt: tuple[int, ...]
    temperature: float
    uniforms: Tensor  # (at least limit,) one number in [0, 1) for each token: nothing else decides what is drawn
    limit: int  # tokens
    token_ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    stopped: bool = False

    @property
    def finished(self) -> bool:
        return self.stopped or len(self.token_ids) == self.limit


Ends = Callable[[Sequence[int]], bool]
"""Whether a response that has got so far ends with its newest token."""


def ends_at(
    stop_token_ids: Sequence[int], stop_strings: Sequence[str], tokenizer: PreTrainedTokenizerBase | None
) -> Ends:
    """Ends at a stop token, or at the token with which a stop string is complete in the text."""
    stops = frozenset(stop_token_ids)
    if not stop_strings:
        return lambda token_ids: token_ids[-1] in stops
    if tokenizer is None:
        raise ValueError("stop_strings are looked for in text, so they need the tokenizer")
    # A token writes at least one byte, so this many tokens hold the longest string; one more, since some tokenizers
    # drop the space that a text begins with.
    reach = max(len(string.encode()) for string in stop_strings) + 1

    def ends(token_ids: Sequence[int]) -> bool:
        if token_ids[-1] in stops:
            return True
        text = str(tokenizer.decode(token_ids[-reach:]))
        return any(string in text for string in stop_strings)

    return ends


def take_tokens(requests: Sequence[Request], logits: Tensor, ends: Ends) -> None:
    """Give each request its next token, from (requests, vocabulary) logits.

    It is the token at which the cumulative distribution passes the request's next number; at temperature 0 the
    likeliest. The log-probability is that of the distribution drawn from: at the temperature, or at 1 where greedy.
    """
    device = logits.device
    temperatures = [request.temperature for request in requests]
    scale = torch.tensor([temperature or 1.0 for temperature in temperatures], device=device)
    probability = torch.softmax(logits.float() / scale[:, None], dim=-1)  # (requests, vocabulary)
    uniforms = torch.stack([request.uniforms[len(request.token_ids)] for request in requests]).to(device)
    chosen = _drawn(probability, uniforms)
    if 0.0 in temperatures:
        greedy = torch.tensor([temperature == 0.0 for temperature in temperatures], device=device)
        chosen = torch.where(greedy, logits.argmax(dim=-1), chosen)
    logps = probability.gather(1, chosen[:, None]).squeeze(1).log()
    for request, token, logp in zip(requests, chosen.tolist(), logps.tolist(), strict=True):
        request.token_ids.append(token)
        request.logps.append(logp)
        request.stopped = ends(request.token_ids)


def _drawn(probability: Tensor, uniform: Tensor) -> Tensor:
    """Inverse transform sampling; torch.multinomial takes ten times as long on a CPU."""
    cumulative = probability.cumsum(dim=-1)
    # Rounding may leave the last cumulative value short of 1: scale the draw so that it always lands inside.
    drawn = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True).squeeze(1)
    return drawn.clamp(max=probability.shape[-1] - 1)
