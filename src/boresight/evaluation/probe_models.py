"""Answers of a model in a folder to probes: greedy texts, log-probabilities of options, and a reply to doubt."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from boresight.data.batches import pad_rows
from boresight.data.tokenize import encode_prompt, encode_response
from boresight.evaluation.probe_items import Given, Probe
from boresight.models.generate import Generation, generate
from boresight.models.loading import context_length, default_device
from boresight.models.roles import FrozenPolicy, build_frozen_policy
from boresight.records import Message, Messages

AsText = Callable[[FrozenPolicy, Generation], str]


def answer_probes(
    folder: Path,
    probes: Sequence[Probe],
    *,
    as_text: AsText,
    max_new_tokens: int,
    batch_size: int = 32,
    template: str = "tokenizer",
) -> tuple[dict[str, Given], int]:
    """Answers by probe id, and how many probes were left out because they leave no room in the model's context.

    A choice is answered by log-probabilities alone, everything else by a greedy text, which `as_text` reads. Raises
    ModelError where the folder holds no model.
    """
    policy = build_frozen_policy(folder, template, device=default_device())
    model = _Answering(policy, as_text, max_new_tokens, batch_size)
    fitting = [probe for probe in probes if model.fits(probe)]
    chosen = [probe for probe in fitting if probe.options]
    logps = model.option_logps([(p.messages, p.options) for p in chosen])
    neutral = [probe for probe in chosen if probe.neutral]
    plain = dict(
        zip((p.id for p in neutral), model.option_logps([(p.neutral, p.options) for p in neutral]), strict=True)
    )
    answers = {
        probe.id: Given(logps=own, neutral_logps=plain.get(probe.id)) for probe, own in zip(chosen, logps, strict=True)
    }
    spoken = [probe for probe in fitting if not probe.options]
    first = model.texts([probe.messages for probe in spoken])
    doubted = [
        (probe, (*probe.messages, Message("assistant", text), Message("user", probe.challenge)))
        for probe, (text, _) in zip(spoken, first, strict=True)
        if probe.challenge and text.strip()
    ]
    doubted = [(probe, messages) for probe, messages in doubted if model.has_room(messages)]
    second = model.texts([messages for _, messages in doubted])
    after = {probe.id: text for (probe, _), (text, _) in zip(doubted, second, strict=True)}
    for probe, (text, stopped) in zip(spoken, first, strict=True):
        answers[probe.id] = Given(text=text, challenged=after.get(probe.id), stopped=stopped)
    return {probe.id: answers[probe.id] for probe in fitting}, len(probes) - len(fitting)


class _Answering:
    """A policy with the settings of its answers."""

    def __init__(self, policy: FrozenPolicy, as_text: AsText, max_new_tokens: int, batch_size: int) -> None:
        self.policy, self.as_text, self.max_new_tokens, self.batch_size = policy, as_text, max_new_tokens, batch_size
        self.limit = context_length(policy.model)

    def fits(self, probe: Probe) -> bool:
        if not probe.options:
            return self.has_room(probe.messages)
        rows = [self._option_row(m, o) for m in (probe.messages, probe.neutral) if m for o in probe.options]
        return self.limit is None or max(len(ids) for ids, _ in rows) <= self.limit

    def has_room(self, messages: Messages) -> bool:
        return self.limit is None or len(encode_prompt(self.policy.chat, messages)) + self.max_new_tokens <= self.limit

    def texts(self, prompts: Sequence[Messages]) -> list[tuple[str, bool]]:
        """Greedy answers, and whether each ended by itself."""
        if not prompts:
            return []
        generations = generate(
            self.policy.model,
            [encode_prompt(self.policy.chat, messages) for messages in prompts],
            temperatures=[0.0] * len(prompts),
            max_new_tokens=self.max_new_tokens,
            stop_token_ids=self.policy.chat.stop_token_ids,
            generator=torch.Generator(),
            batch_size=self.batch_size,
        )
        return [(self.as_text(self.policy, generation).strip(), generation.stopped) for generation in generations]

    @torch.no_grad()
    def option_logps(self, questions: Sequence[tuple[Messages, Sequence[str]]]) -> list[tuple[float, ...]]:
        """Log-probability in nats of each option as the beginning of the answer, summed over its tokens."""
        rows = [self._option_row(messages, option) for messages, options in questions for option in options]
        sums: list[float] = []
        for start in range(0, len(rows), self.batch_size):
            part = rows[start : start + self.batch_size]
            input_ids, filled = pad_rows([ids for ids, _ in part])
            mask = torch.zeros_like(filled)
            for row, (ids, count) in enumerate(part):
                mask[row, len(ids) - count : len(ids)] = True
            device = self.policy.model.device
            sums += self.policy.logps(input_ids.to(device), mask.to(device)).logp.sum(dim=1).tolist()
        places = iter(sums)
        return [tuple(next(places) for _ in options) for _, options in questions]

    def _option_row(self, messages: Messages, option: str) -> tuple[list[int], int]:
        """Token ids of the prompt and the option without the stop token, and how many of them are the option's."""
        response = encode_response(self.policy.chat, messages, option)
        stops = self.policy.chat.stop_token_ids
        end = next((i for i in reversed(range(len(response))) if response[i] in stops), len(response))
        return encode_prompt(self.policy.chat, messages) + response[:end], end
