"""Two steps, a stop and two more equal four steps; and the cut into micro-batches changes nothing but rounding."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.config.sections import LoRASection
from boresight.data.tokenize import Encoded
from boresight.errors import CheckpointError
from boresight.models.adapters import add_adapter
from boresight.runlog.reader import read_metrics
from boresight.training.dpo import train_dpo
from boresight.training.experience import RewardScale
from boresight.training.kto import train_kto
from boresight.training.orpo import train_orpo
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.pretrain import token_rows, train_pretrain
from boresight.training.reward_model import train_reward_model
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.run import Run
from boresight.training.sft import train_sft
from boresight.training.simpo import train_simpo

from . import tiny_world as tiny

Loop = Callable[..., None]
DROPOUT = 0.1  # in the loops that leave it on


def pretrain(run: Run, folder: Path, dropout: float = DROPOUT, **changes: Any) -> None:
    rows = token_rows(tiny.TOKENIZER, ["some text to be read again and again. " * 20], 16)
    train_pretrain(tiny.pretrain_config(**changes), tiny.fresh_model(dropout=dropout), rows, run)


def sft(run: Run, folder: Path, dropout: float = DROPOUT, **changes: Any) -> None:
    rows: list[Encoded] = tiny.conversations(20)
    train_sft(tiny.sft_config(**changes), tiny.policy_of(tiny.fresh_model(dropout=dropout)), rows, run)


def reward_model(run: Run, folder: Path, **changes: Any) -> None:
    train_reward_model(tiny.reward_config(**changes), tiny.scorer(folder), tiny.pairs(32), run)


def rankings(run: Run, folder: Path, **changes: Any) -> None:
    config = tiny.reward_config(rankings="pairwise", batch_size=4, **changes)
    train_reward_model(config, tiny.scorer(folder), tiny.rankings(16), run)


def dpo(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    train_dpo(tiny.dpo_config(**changes), tiny.policy_of(model), tiny.reference_of(model), tiny.pairs(32), run)


def orpo(run: Run, folder: Path, dropout: float = DROPOUT, **changes: Any) -> None:
    train_orpo(tiny.orpo_config(**changes), tiny.policy_of(tiny.fresh_model(dropout=dropout)), tiny.pairs(32), run)


def simpo(run: Run, folder: Path, **changes: Any) -> None:
    config = tiny.simpo_config(**{"gradient_noise_scale": True, "micro_batch_size": 2} | changes)
    train_simpo(config, tiny.policy_of(tiny.fresh_model()), tiny.pairs(32), run)


def kto(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    train_kto(tiny.kto_config(**changes), tiny.policy_of(model), tiny.reference_of(model), tiny.rated(32), run)


def ppo(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    roles = PPORoles(tiny.policy_of(model), tiny.value_of(model), tiny.reference_of(model), tiny.LetterShare())
    config = tiny.ppo_config(target_kl_per_sequence=0.1, kl_horizon=50.0, value_warmup_steps=1, **changes)
    train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def rloo(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    roles = RLOORoles(tiny.policy_of(model), tiny.reference_of(model), tiny.LetterShare())
    train_rloo(tiny.rloo_config(**changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def rloo_from_older_weights(run: Run, folder: Path, **changes: Any) -> None:
    rloo(run, folder, staleness=2, **changes)


def sft_adapted(run: Run, folder: Path, **changes: Any) -> None:
    policy = tiny.adapted_policy_of(tiny.fresh_model(), dropout=DROPOUT)
    train_sft(tiny.sft_config(**changes), policy, tiny.conversations(20), run)


def dpo_adapted(run: Run, folder: Path, **changes: Any) -> None:
    policy = tiny.adapted_policy_of(tiny.fresh_model())
    train_dpo(tiny.dpo_config(**changes), policy, tiny.reference_under(policy), tiny.pairs(32), run)


def ppo_adapted(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    policy, value = tiny.adapted_policy_of(model), tiny.value_of(model)
    add_adapter(value.model.body, LoRASection(rank=2), task="FEATURE_EXTRACTION", seed=0)
    roles = PPORoles(policy, value, tiny.reference_under(policy), tiny.LetterShare())
    train_ppo(tiny.ppo_config(**changes), roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def ppo_with_options(run: Run, folder: Path, **changes: Any) -> None:
    model = tiny.fresh_model()
    roles = PPORoles(tiny.policy_of(model), tiny.value_of(model), tiny.reference_of(model), tiny.LetterShare())
    config = tiny.ppo_config(
        reward_scale="running", loss_aggregation="sequence_mean", importance_correction="truncated", staleness=1,
        stop_update_above_kl=1e-6, whiten_rewards=True, **changes,
    )  # fmt: skip
    train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def ppo_shared(run: Run, folder: Path, **changes: Any) -> None:
    config = tiny.ppo_config(roles="shared", lora=tiny.LORA, value_warmup_steps=1, **changes)
    train_ppo(config, tiny.shared_roles(tiny.fresh_model()), RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def ppo_one_trunk(run: Run, folder: Path, **changes: Any) -> None:
    config = tiny.ppo_config(roles="one_trunk", lora=tiny.LORA, **changes)
    train_ppo(config, tiny.trunk_roles(tiny.fresh_model()), RewardScale(0.0, 1.0), tiny.PROMPTS, run)


def ppo_one_whole_trunk(run: Run, folder: Path, **changes: Any) -> None:
    config = tiny.ppo_config(roles="one_trunk", **changes)
    roles = tiny.trunk_roles(tiny.fresh_model(), adapted=False)
    train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)


LOOPS: dict[str, Loop] = {
    "pretrain": pretrain, "sft": sft, "reward_model": reward_model, "rankings": rankings, "dpo": dpo, "orpo": orpo,
    "simpo": simpo, "kto": kto, "ppo": ppo, "rloo": rloo,
    "sft with adapters": sft_adapted, "dpo with adapters": dpo_adapted, "ppo with adapters": ppo_adapted,
    "ppo with options": ppo_with_options, "rloo from older weights": rloo_from_older_weights,
    "ppo shared": ppo_shared, "ppo one trunk": ppo_one_trunk, "ppo one whole trunk": ppo_one_whole_trunk,
}  # fmt: skip


def state_of(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return state


def assert_equal(first: Any, second: Any, where: str = "checkpoint") -> None:
    """Bit by bit, through all of the nested state: weights, moments, counters, rates."""
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_equal(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for i, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_equal(a, b, f"{where}/{i}")
    else:
        assert first == second, where


@pytest.mark.parametrize("name", LOOPS)
def test_two_steps_and_two_more_equal_four(name: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    LOOPS[name](tiny.run_in(whole), tmp_path)
    for stop_after in (1, 3):
        with pytest.raises(tiny.Interrupted):
            LOOPS[name](tiny.interrupted_run(cut, stop_after), tmp_path)
        assert state_of(cut)["next_step"] == stop_after
    LOOPS[name](tiny.run_in(cut), tmp_path)
    states = state_of(cut), state_of(whole)
    assert states[0]["next_step"] == states[1]["next_step"] == 4
    for state in states:
        del state["metrics_position"]["timings.jsonl"]  # times differ in their digits
    assert_equal(*states)
    assert (cut / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    samples = [folder / "samples.jsonl" for folder in (cut, whole)]
    assert samples[0].exists() == samples[1].exists() == (name.startswith(("ppo", "rloo")))
    if samples[0].exists():
        assert samples[0].read_bytes() == samples[1].read_bytes()
    assert [row.step for row in read_metrics(cut / "timings.jsonl").series("time/step_seconds")] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["pretrain", "sft", "reward_model", "rankings", "dpo", "orpo", "simpo", "kto"])
def test_micro_batches_change_gradients_by_no_more_than_rounding(name: str, tmp_path: Path) -> None:
    """After one step Adam's first moment is a tenth of the gradient; batches are of ragged length."""
    still = {"dropout": 0.0} if name in ("pretrain", "sft", "orpo") else {}
    for size in (None, 3, 1):
        with pytest.raises(tiny.Interrupted):
            LOOPS[name](
                tiny.interrupted_run(tmp_path / str(size), 1),
                tmp_path,
                micro_batch_size=size,
                max_grad_norm=1e6,
                **still,
            )
    whole = state_of(tmp_path / "None")["parts"]["updater"]["optimizer"]["state"]
    for size in (3, 1):
        pieces = state_of(tmp_path / str(size))["parts"]["updater"]["optimizer"]["state"]
        largest = max(float(state["exp_avg"].abs().max()) for state in whole.values())
        for number, state in whole.items():
            torch.testing.assert_close(pieces[number]["exp_avg"], state["exp_avg"], rtol=1e-4, atol=1e-5 * largest)


@pytest.mark.parametrize("name", ["sft with adapters", "dpo with adapters", "ppo with adapters", "ppo shared"])
def test_checkpoint_holds_what_is_trained_and_nothing_else(name: str, tmp_path: Path) -> None:
    with pytest.raises(tiny.Interrupted):
        LOOPS[name](tiny.interrupted_run(tmp_path, 2), tmp_path)
    parts = state_of(tmp_path)["parts"]
    assert parts["policy"] and all("lora_" in key for key in parts["policy"])
    if name.startswith("ppo"):
        assert {key for key in parts["value"] if "lora_" not in key} == {"head.weight", "head.bias"}


@pytest.mark.parametrize("name", LOOPS)
def test_state_of_another_config_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(tiny.Interrupted):
        LOOPS[name](tiny.interrupted_run(tmp_path, 1), tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointError, match="saved by a run with another config"):
        LOOPS[name](tiny.run_in(tmp_path, key="other"), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
