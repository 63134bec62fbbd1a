"""The decoder: responses in slots, finished ones leave and waiting prompts enter, no padding in between.

It drives the model's own modules through the attention interface of transformers and keeps keys and values itself
(`boresight.models.kv_cache`). A prompt is computed once for all its responses, several prompts in one packed row.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from boresight.models.hidden_states import packed_arguments, packs
from boresight.models.kv_cache import PromptKV, SlotCache
from boresight.models.precision import QUANTUM, is_lowered
from boresight.models.sampling import Ends, Request, take_tokens
from boresight.models.shared_prompt import pack

PROMPT_TOKENS = 1024  # of the prompts computed together
PROBE = ((3, 7, 5, 1, 6, 2, 4, 3), (8, 2, 9, 5, 7))
PROBE_PROMPTS = (3, 2)
PROBE_TOLERANCE = 1e-3  # of the largest logit


class Decoder:
    """A model that writes up to `slots` responses at once."""

    def __init__(self, model: PreTrainedModel, slots: int) -> None:
        self._model = model
        self._slots = slots
        self._device = next(model.parameters()).device
        self._cache = SlotCache(slots)
        self._live: list[Request] = []  # in the order of the slots

    def run(self, requests: Iterable[Request], ends: Ends, on_finished: Callable[[int], None]) -> None:
        """Write all responses; requests are taken up in their order, those with equal prompts best side by side."""
        waiting = deque(requests)
        prompts = _Prompts(self._model, waiting)
        while waiting or self._live:
            while waiting and len(self._live) < self._slots:
                self._admit(waiting, prompts, ends)
                self._retire(on_finished)
            if self._live:
                take_tokens(self._live, self.step([request.token_ids[-1] for request in self._live]), ends)
                self._retire(on_finished)

    def add(self, prompt: PromptKV) -> None:
        """Take a slot for a response to this prompt."""
        self._cache.add(prompt)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """(slots in use, vocabulary) logits after one more token in each."""
        positions = torch.tensor(self._cache.lengths, device=self._device)
        logits: Tensor = self._model(
            input_ids=torch.tensor(tokens, device=self._device)[:, None],
            position_ids=positions[:, None],
            # Taken as a finished mask and passed on as it is; the slots' lengths say what is seen.
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._device),
            use_cache=False,
            decoding=self._cache.step(),
        ).logits
        return logits[:, -1]

    def _admit(self, waiting: deque[Request], prompts: "_Prompts", ends: Ends) -> None:
        entering, logits = [], []
        while waiting and len(self._live) < self._slots:
            request = waiting.popleft()
            remembered, after = prompts.take(request, waiting)
            self.add(remembered)
            self._live.append(request)
            entering.append(request)
            logits.append(after)
        take_tokens(entering, torch.stack(logits), ends)

    def _retire(self, on_finished: Callable[[int], None]) -> None:
        """Free the slots of finished responses, and tell how many they are."""
        finished = [slot for slot, request in enumerate(self._live) if request.finished]
        for slot in reversed(finished):
            self._cache.remove(slot)
            last = self._live.pop()
            if slot < len(self._live):
                self._live[slot] = last
        if finished:
            on_finished(len(finished))


class _Prompts:
    """Prompts computed ahead of their turn, each kept until the last of its responses has begun."""

    def __init__(self, model: PreTrainedModel, requests: Iterable[Request]) -> None:
        self._model = model
        self._awaited = Counter(request.prompt for request in requests)
        self._known: dict[tuple[int, ...], tuple[PromptKV, Tensor]] = {}

    def take(self, request: Request, waiting: Iterable[Request]) -> tuple[PromptKV, Tensor]:
        """What the model remembers of the request's prompt, and the logits after it."""
        prompt = request.prompt
        if prompt not in self._known:
            self._compute([prompt, *(other.prompt for other in waiting)])
        self._awaited[prompt] -= 1
        return self._known[prompt] if self._awaited[prompt] else self._known.pop(prompt)

    def _compute(self, upcoming: Iterable[tuple[int, ...]]) -> None:
        chosen: dict[tuple[int, ...], None] = {}  # a set that keeps its order
        tokens = 0
        for prompt in upcoming:
            if prompt in self._known or prompt in chosen:
                continue
            if chosen and tokens + len(prompt) > PROMPT_TOKENS:
                break
            chosen[prompt] = None
            tokens += len(prompt)
        self._known |= zip(chosen, prefill(self._model, list(chosen)), strict=True)


def prefill(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> list[tuple[PromptKV, Tensor]]:
    """Different prompts in one packed row: what the model remembers of each, and the (vocabulary,) logits after it."""
    device = next(model.parameters()).device
    lengths = [len(prompt) for prompt in prompts]
    quantum = QUANTUM if is_lowered(device.type) else 1
    row = pack(prompts, lengths, width=max(lengths), quantum=quantum)
    keys: list[Tensor] = []
    values: list[Tensor] = []

    def keep(key: Tensor, value: Tensor) -> None:
        keys.append(key[0])
        values.append(value[0])

    ends = torch.tensor(lengths).cumsum(0)
    logits = model(**packed_arguments(row, device, keep), logits_to_keep=(ends - 1).to(device)).logits[0]
    found = []
    for end, length, after in zip(ends.tolist(), lengths, logits, strict=True):
        own = slice(end - length, end)
        found.append((PromptKV([key[:, own] for key in keys], [value[:, own] for value in values]), after))
    return found


def decodes(model: PreTrainedModel) -> bool:
    """Whether the decoder gives this model's own logits; found out once, by comparing both on a probe, and noted where
    it does not."""
    known = getattr(model, "_boresight_decodes", None)
    if known is None:
        known = packs(model.base_model) and _probe(model)
        model._boresight_decodes = known
        if not known:
            logging.getLogger(__name__).warning(
                "%s cannot be driven by the decoder; its own cache is used, which is slower", type(model).__name__
            )
    return bool(known)


@torch.no_grad()
def _probe(model: PreTrainedModel) -> bool:
    vocabulary = model.get_input_embeddings().weight.shape[0]
    rows = [[token % vocabulary for token in row] for row in PROBE]
    was_training = model.training
    model.eval()
    try:
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            return _same_logits(model, rows)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError, IndexError):  # it takes no such keyword
        return False
    finally:
        model.train(was_training)


def _same_logits(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> bool:
    decoder = Decoder(model, len(rows))
    begun = prefill(model, [row[:length] for row, length in zip(rows, PROBE_PROMPTS, strict=True)])
    for remembered, _ in begun:
        decoder.add(remembered)
    written = [torch.stack([after for _, after in begun])]
    steps = min(len(row) - length for row, length in zip(rows, PROBE_PROMPTS, strict=True))
    for number in range(steps):
        written.append(decoder.step([row[length + number] for row, length in zip(rows, PROBE_PROMPTS, strict=True)]))
    device = written[0].device
    for own, (row, length) in zip(torch.stack(written, dim=1), zip(rows, PROBE_PROMPTS, strict=True), strict=True):
        plain = model(input_ids=torch.tensor([row[: length + steps]], device=device), use_cache=False).logits[0]
        plain = plain[length - 1 :]
        if (own - plain).abs().max() > PROBE_TOLERANCE * plain.abs().max():
            return False
    return True
