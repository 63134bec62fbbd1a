"""One replica of the scoring service: the batches of `boresight serve reward`, asked by handle and not over HTTP.

A replica holds nothing that cannot be had again: a question names the stage and the folder of the model. So one that
Ray Serve has started for a dead one, or beside a busy one, answers like any other.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from boresight.feedback.score_client import Scored
from boresight.launch.ray.whereabouts import Whereabouts, here
from boresight.launch.ray.worker import Source
from boresight.models.loading import default_device
from boresight.models.precision import arithmetic
from boresight.models.roles import RewardModel, build_reward_model
from boresight.records import Messages
from boresight.web.reward_service.batching import Batcher
from boresight.web.reward_service.limits import Limits
from boresight.web.reward_service.metrics import Metrics
from boresight.web.reward_service.model import Row, ServedModel


@dataclass(frozen=True, slots=True)
class Loaded:
    reward: RewardModel
    served: ServedModel
    batcher: Batcher


class Scorer:
    """Reward models of one stage at a time, each with a batcher of its own; `dtype` and `threads` are the pipeline's.

    Responses of all questions that wait are scored together, within `limits`; with `batch_responses=1` each by itself.
    """

    def __init__(self, dtype: str, threads: int | None, limits: Limits) -> None:
        if threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        self._dtype, self._limits = dtype, limits
        self._device = default_device()
        self._stage = ""
        self._loaded: dict[Source, Loaded] = {}
        self._loading = asyncio.Lock()  # also around a tokenizer, which is not for several threads at once

    async def where(self) -> Whereabouts:
        return here()

    async def score(self, source: Source, prompts: Sequence[Messages], responses: Sequence[str]) -> Scored:
        """One score a response, in order, and the hash of the model that gave them. Raises ModelError where the folder
        holds no reward model, DataError for a text that it cannot be given."""
        async with self._loading:
            found = await self._model(source)
            rows = await asyncio.to_thread(found.served.rows, prompts, responses)
        return Scored(await found.batcher.scores(rows), found.served.hash)

    async def fingerprint(self, source: Source) -> str:
        """Of the weights as they are here now."""
        async with self._loading:
            found = await self._model(source)
            return await asyncio.to_thread(found.reward.fingerprint)

    async def _model(self, source: Source) -> Loaded:
        if source.stage != self._stage:
            self._loaded.clear()
            self._stage = source.stage
        if source not in self._loaded:
            self._loaded[source] = await asyncio.to_thread(self._load, source)
        return self._loaded[source]

    def _load(self, source: Source) -> Loaded:
        reward = build_reward_model(source.path, self._device)
        served = ServedModel(reward)
        return Loaded(reward, served, Batcher(partial(self._scores, served), self._limits, Metrics()))

    def _scores(self, served: ServedModel, rows: Sequence[Row]) -> list[float]:
        with arithmetic(self._dtype, self._device):
            return served.scores(rows)
