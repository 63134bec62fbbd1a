"""Sample a batch of responses from the policy and put it into the shape that the update needs."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from boresight.data.tokenize import encode_prompt
from boresight.errors import DataError
from boresight.models.generate import Generation
from boresight.models.loading import context_length
from boresight.models.roles import FrozenPolicy, Policy
from boresight.records import UNCOVERED, Prompt


@dataclass(frozen=True, slots=True)
class Rollout:
    """Responses to prompts; of one prompt they stand side by side. Left-aligned grids are (responses, tokens)."""

    prompts: tuple[Prompt, ...]  # one for each response
    texts: tuple[str, ...]
    input_ids: Tensor  # (responses, prompt and response tokens), right-padded
    response_mask: Tensor  # the same shape, True at response tokens
    stopped: Tensor  # (responses,) bool: ended with the stop token or a stop string
    lengths: Tensor  # (responses,) response tokens
    sampler_logp: Tensor  # (responses, response tokens) as the decoder found them while it drew; 0 behind the end
    versions: Tensor  # (responses,) steps that the weights which wrote it had been trained

    @property
    def row_tokens(self) -> Tensor:
        """(responses,) tokens of prompt and response together."""
        return (self.response_mask * torch.arange(1, self.response_mask.shape[1] + 1)).amax(dim=1)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Token ids and response mask of some responses, cut to the longest of them."""
        used = int(self.row_tokens[index].max())
        return self.input_ids[index, :used], self.response_mask[index, :used]


def sample(
    policy: Policy | FrozenPolicy,
    prompts: Sequence[Prompt],
    *,
    responses_per_prompt: int,
    temperature: float,
    max_new_tokens: int,
    generator: torch.Generator,
    batch_size: int = 128,
    stop_strings: Sequence[str] = (),
) -> Rollout:
    """`responses_per_prompt` responses to each prompt, truncated after the stop token, or after the token that
    completes a stop string."""
    repeated = [prompt for prompt in prompts for _ in range(responses_per_prompt)]
    encoded = encoded_prompts(policy, repeated)
    generations = policy.generate(
        encoded,
        temperatures=[temperature] * len(encoded),
        max_new_tokens=max_new_tokens,
        stop_token_ids=policy.chat.stop_token_ids,
        generator=generator,
        batch_size=batch_size,
        stop_strings=stop_strings,
        tokenizer=policy.tokenizer,
    )
    return as_rollout(policy, repeated, encoded, generations, stop_strings)


def encoded_prompts(policy: Policy | FrozenPolicy, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Token ids of each prompt; equal ones are encoded once."""
    known = {p.id: encode_prompt(policy.chat, p.messages, record_id=p.id) for p in {p.id: p for p in prompts}.values()}
    return [known[prompt.id] for prompt in prompts]


def as_rollout(
    policy: Policy | FrozenPolicy,
    prompts: Sequence[Prompt],
    encoded: Sequence[Sequence[int]],
    generations: Sequence[Generation],
    stop_strings: Sequence[str] = (),
) -> Rollout:
    """Generations as the update needs them; `prompts` and their token ids, `encoded`, have one entry for each."""
    rows = [list(p) + g.token_ids for p, g in zip(encoded, generations, strict=True)]
    width = max(len(row) for row in rows)
    input_ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    starts = torch.tensor([len(prompt) for prompt in encoded])[:, None]
    ends = torch.tensor([len(row) for row in rows])[:, None]
    places = torch.arange(width)[None]
    mask = (places >= starts) & (places < ends)
    device = policy.device
    longest = max(len(g.token_ids) for g in generations)
    sampler_logp = torch.tensor([g.logps + [0.0] * (longest - len(g.logps)) for g in generations])
    return Rollout(
        prompts=tuple(prompts),
        texts=tuple(response_text(policy, g, stop_strings) for g in generations),
        input_ids=input_ids.to(device),
        response_mask=mask.to(device),
        stopped=torch.tensor([g.stopped for g in generations], device=device),
        lengths=torch.tensor([len(g.token_ids) for g in generations], device=device),
        sampler_logp=sampler_logp.to(device),
        versions=torch.tensor([g.version for g in generations], device=device),
    )


def response_text(policy: Policy | FrozenPolicy, generation: Generation, stop_strings: Sequence[str] = ()) -> str:
    """The response as a person reads it: up to a stop string, without the stop token and other special tokens.

    A model may also spell a control token letter by letter. Read back as text that would end or forge a turn, so it is
    broken up by a space after its first letter.
    """
    ids = generation.token_ids
    ends_with_stop = bool(ids) and ids[-1] in policy.chat.stop_token_ids  # which the tokenizer may not call special
    text = str(policy.tokenizer.decode(ids[:-1] if ends_with_stop else ids, skip_special_tokens=True))
    if generation.stopped:
        text = text[: min((place for s in stop_strings if (place := text.find(s)) >= 0), default=len(text))]
    return policy.chat.without_control_tokens(text)


def prompts_of_step(prompts: Sequence[Prompt], count: int, seed: int, step: int) -> list[Prompt]:
    """The `count` prompts of a step: every prompt once an epoch, in a fresh seeded order, epochs laid end to end."""
    chosen: list[Prompt] = []
    start, end = step * count, (step + 1) * count
    for epoch in range(start // len(prompts), (end - 1) // len(prompts) + 1):
        order = torch.randperm(len(prompts), generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        first = epoch * len(prompts)
        chosen += [prompts[i] for i in order[max(0, start - first) : end - first]]
    return chosen


def refuse_long_prompts(policy: Policy | FrozenPolicy, prompts: Sequence[Prompt], max_new_tokens: int) -> list[int]:
    """DataError for the first prompt that leaves no room for a response: at once, not when its step comes.

    Returns the tokens of each prompt.
    """
    limit, lengths = context_length(policy.model), []
    for prompt in prompts:
        length = len(encode_prompt(policy.chat, prompt.messages, record_id=prompt.id))
        if limit is not None and length + max_new_tokens > limit:
            raise DataError(
                f"prompt {prompt.id!r} has {length} tokens; with max_new_tokens = {max_new_tokens} that is longer than "
                f"the policy's context of {limit}. Take it out, lower max_new_tokens, or use a policy with a longer "
                "context."
            )
        lengths.append(length)
    return lengths


def rollout_metrics(rollout: Rollout) -> dict[str, float]:
    """Length, stop rate, repetition (share of repeated 4-grams of words) and distinct responses."""
    repeated = [_repetition(text) for text in rollout.texts]
    covered = [bool(prompt.meta[UNCOVERED]) for prompt in rollout.prompts if UNCOVERED in prompt.meta]
    known = {"rollout/uncovered_prompts": sum(covered) / len(covered)} if covered else {}
    return known | {
        "rollout/length_tokens": float(rollout.lengths.double().mean()),
        "rollout/stop_rate": float(rollout.stopped.double().mean()),
        "rollout/repetition": sum(repeated) / len(repeated),
        "rollout/distinct_responses": len(set(rollout.texts)) / len(rollout.texts),
    }


def _repetition(text: str) -> float:
    words = text.split()
    grams = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0
