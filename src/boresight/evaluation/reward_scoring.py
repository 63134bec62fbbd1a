"""Scores of held-out pairs by a reward model in a folder, and whether they are the same for whoever pads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from boresight.data.tokenize import encode_pair
from boresight.errors import DataError
from boresight.models.loading import context_length, default_device
from boresight.models.roles import RewardModel, build_reward_model
from boresight.records import PreferencePair

PROBED = 16  # chosen responses that are scored again with padding
TOLERANCE = 1e-3  # in standard deviations of the scores; rounding stays far below
EXTRA_PADDING = 7


class Scored(NamedTuple):
    """Scores of each pair; `padding_invariant` tells of the folder as any library loads it."""

    chosen: list[float]
    rejected: list[float]
    padding_invariant: bool


def score_pairs_with(folder: Path, pairs: Sequence[PreferencePair]) -> Scored:
    """Raises ModelError for a folder without a reward model, DataError for a pair longer than its context."""
    if not pairs:
        raise DataError("no held-out pairs; expected at least one. Give a file of pairs that can be told apart.")
    reward = build_reward_model(folder, default_device())
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
