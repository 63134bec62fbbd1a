"""One reward model for all tests of the service."""

from pathlib import Path

import pytest

from boresight.models.roles import RewardModel, build_reward_model
from boresight.web.reward_service.model import ServedModel

from .served import save_reward_model


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_reward_model(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def reward_model(model_folder: Path) -> RewardModel:
    return build_reward_model(model_folder)


@pytest.fixture(scope="session")
def served_model(reward_model: RewardModel) -> ServedModel:
    return ServedModel(reward_model)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("BORESIGHT_REWARD_TOKEN", raising=False)
