"""A replica of the scoring service, asked directly."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from boresight.errors import ModelError
from boresight.models.roles import RewardModel, build_reward_model
from boresight.records import Messages
from boresight.web.reward_service.limits import Limits
from tests.web.reward_service.served import asked, save_reward_model

pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")

from boresight.launch.ray.scorer import Scorer
from boresight.launch.ray.worker import Source

CLOSE = 1e-5


@pytest.fixture(autouse=True)
def kernels() -> Iterator[None]:
    """A scorer chooses those that give the same bits every time; here it is not alone."""
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reward_model(tmp_path_factory.mktemp("scorer"))


def scored(folder: Path, limits: Limits, prompts: list[Messages], responses: list[str]) -> list[float]:
    """By questions of some responses, all of them at once."""

    async def ask() -> list[float]:
        scorer, source = Scorer("float32", None, limits), Source("align", str(folder), None)
        parts = [slice(start, start + 7) for start in range(0, len(responses), 7)]
        answers = await asyncio.gather(*(scorer.score(source, prompts[part], responses[part]) for part in parts))
        assert len({answer.model_hash for answer in answers}) == 1
        assert await scorer.fingerprint(source) == build_reward_model(folder).fingerprint()
        return [score for answer in answers for score in answer.scores]

    return asyncio.run(ask())


def test_scores_are_those_of_one_process_in_batches_and_to_the_bit_one_by_one(folder: Path) -> None:
    model: RewardModel = build_reward_model(folder)
    prompts, responses = asked(30)
    alone = [float(model.score([p], [r])) for p, r in zip(prompts, responses, strict=True)]
    assert scored(folder, Limits(batch_responses=1), prompts, responses) == alone
    assert scored(folder, Limits(), prompts, responses) == pytest.approx(alone, abs=CLOSE)


def test_a_folder_without_a_reward_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path / "nothing")):
        scored(tmp_path / "nothing", Limits(), *asked(1))
