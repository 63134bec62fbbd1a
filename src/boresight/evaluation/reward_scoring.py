"""Scores of held-out pairs by a reward model in a folder, and whether they are the same for whoever pads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from boresight.data.tokenize import encode_pair
from boresight.errors import DataError
from boresight.evaluation.best_of_n import Sampled
from boresight.models.loading import context_length, default_device
from boresight.models.roles import RewardModel, build_reward_model
from boresight.records import Message, PreferencePair

PROBED = 16  # chosen responses that are scored again with padding
TOLERANCE = 1e-3  # in standard deviations of the scores; rounding stays far below
EXTRA_PADDING = 7


class Scored(NamedTuple):
    """Scores of each pair; `padding_invariant` tells of the folder as any library loads it."""

    chosen: list[float]
    rejected: list[float]
    padding_invariant: bool


def open_scorer(folder: Path) -> RewardModel:
    """Raises ModelError for a folder without a reward model."""
    return build_reward_model(folder, default_device())


def score_pairs_with(reward: RewardModel, pairs: Sequence[PreferencePair]) -> Scored:
    """Raises DataError for no pairs and for a pair longer than the model's context."""
    if not pairs:
        raise DataError("no held-out pairs; expected at least one. Give a file of pairs that can be told apart.")
    limit = context_length(reward.model)
    encoded = [encode_pair(reward.chat, pair, max_length=limit) for pair in pairs]
    prompts = [pair.prompt for pair in pairs]
    scores = reward.score(
        prompts * 2, [pair.chosen[0].content for pair in pairs] + [pair.rejected[0].content for pair in pairs]
    )
    chosen, rejected = scores[: len(pairs)], scores[len(pairs) :]
    rows = [[*pair.prompt_ids, *pair.chosen_ids] for pair in encoded[:PROBED]]
    apart = float((_scores_with_padding(reward, rows) - chosen[: len(rows)]).abs().max())
    invariant = apart <= TOLERANCE * max(float(scores.std()), 1e-6)  # NaN is not
    return Scored(chosen.tolist(), rejected.tolist(), invariant)


def fitting(reward: RewardModel, pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs that the model's context has room for."""
    limit = context_length(reward.model)
    if limit is None:
        return list(pairs)
    kept = []
    for pair in pairs:
        encoded = encode_pair(reward.chat, pair)
        if len(encoded.prompt_ids) + max(len(encoded.chosen_ids), len(encoded.rejected_ids)) <= limit:
            kept.append(pair)
    return kept


def score_sampled(reward: RewardModel, sampled: Sequence[Sampled]) -> list[Sampled]:
    """The same responses with this model's scores. Raises DataError for one without text."""
    silent = next((one for one in sampled if one.response is None), None)
    if silent is not None:
        raise DataError(
            f'best of n: a response to {silent.prompt[:60]!r} has no text to score; expected "response" in each row.'
            " Add the texts, or give a file of scores instead of a model."
        )
    prompts = [(Message("user", one.prompt),) for one in sampled]
    scores = reward.score(prompts, [one.response or "" for one in sampled]).tolist()
    return [one._replace(score=score) for one, score in zip(sampled, scores, strict=True)]


@torch.no_grad()
def _scores_with_padding(reward: RewardModel, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """(rows,) scores by the model's own forward pass in one padded batch, as transformers and TRL call it; NaN where
    the folder names no pad token."""
    pad = reward.model.config.pad_token_id
    if pad is None:  # the library refuses batches then, and whoever would use it gets no score
        return torch.full((len(rows),), torch.nan)
    width = max(map(len, rows)) + EXTRA_PADDING
    device = next(reward.model.parameters()).device
    input_ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    logits: torch.Tensor = reward.model(input_ids=input_ids, attention_mask=mask).logits
    return logits.squeeze(-1).float().cpu()
