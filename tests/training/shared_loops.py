"""Loops that one process or several can run, and what one of several does: `test_process_group` runs this file by its
path, in a process for each rank, with `rank`, `count`, `meeting` (a file to find each other by) and `jobs`.
"""

import datetime
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))

from boresight.config.sections import LoRASection, PPOStage
from boresight.errors import ServiceError
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.adapters import add_adapter
from boresight.models.backbone import AdaptedValueModel
from boresight.models.generate import generate
from boresight.models.loading import scalar_head, start_reward_model
from boresight.records import Messages
from boresight.training.dpo import train_dpo
from boresight.training.experience import RewardScale
from boresight.training.kto import train_kto
from boresight.training.orpo import train_orpo
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.process_group import ProcessGroup
from boresight.training.processes import Processes
from boresight.training.reward_model import train_reward_model
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.run import Run
from boresight.training.sft import train_sft
from boresight.training.shares import SharedPolicy, Shares, ToldSource
from boresight.training.simpo import train_simpo
from tests.training import tiny_world as tiny

# In each loop but kto's the last batch of an epoch has one row: a process goes without.
ROWS, BATCH = 17, 8
POLICY_SETTINGS: dict[str, Any] = {"steps": 3, "learning_rate": 3e-3, "on_finding": "note"}


def sft(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.policy_of(tiny.fresh_model())
    run.processes.shard_policy(policy.model)
    train_sft(tiny.sft_config(steps=6, batch_size=BATCH, micro_batch_size=3), policy, tiny.conversations(ROWS), run)
    return policy.model


def sft_sparing_memory(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.adapted_policy_of(tiny.fresh_model())
    checkpoint_activations(policy.model)
    run.processes.shard_policy(policy.model)
    train_sft(tiny.sft_config(steps=6, batch_size=BATCH), policy, tiny.conversations(ROWS), run)
    return policy.model


def reward_model(run: Run, folder: Path, adapted: bool = False) -> torch.nn.Module:
    if not folder.exists():  # the one process that runs first
        tiny.scorer(folder)
    model = start_reward_model(folder / "base", seed=0)
    if adapted:
        add_adapter(model, LoRASection(rank=2), task="SEQ_CLS", seed=0)
    run.processes.shard_reward_model(model, scalar_head(model))
    config = tiny.reward_config(batch_size=BATCH, epochs=2, micro_batch_size=3)
    train_reward_model(config, model, tiny.pairs(ROWS), run, held_out={"held_out": tiny.pairs(5, seed=1)})
    return model


def reward_model_adapted(run: Run, folder: Path) -> torch.nn.Module:
    return reward_model(run, folder, adapted=True)


def dpo(run: Run, folder: Path) -> torch.nn.Module:
    model = tiny.fresh_model()
    policy, reference = tiny.policy_of(model), tiny.reference_of(model)
    run.processes.shard_policy(policy.model)
    run.processes.shard_policy(reference.model)
    config = tiny.dpo_config(batch_size=BATCH, epochs=2, micro_batch_size=3)
    before = reference.fingerprint()
    train_dpo(config, policy, reference, tiny.pairs(ROWS), run, cache=run.folder / "cache")
    assert reference.fingerprint() == before == tiny.reference_of(model).fingerprint()
    return policy.model


def dpo_adapted(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.adapted_policy_of(tiny.fresh_model())
    reference = tiny.reference_under(policy)
    run.processes.shard_policy(policy.model)
    train_dpo(tiny.dpo_config(batch_size=BATCH, epochs=2), policy, reference, tiny.pairs(ROWS), run)
    return policy.model


def orpo(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.policy_of(tiny.fresh_model())
    run.processes.shard_policy(policy.model)
    train_orpo(tiny.orpo_config(batch_size=BATCH, epochs=2), policy, tiny.pairs(ROWS), run)
    return policy.model


def simpo(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.policy_of(tiny.fresh_model())
    run.processes.shard_policy(policy.model)
    train_simpo(tiny.simpo_config(batch_size=BATCH, epochs=2), policy, tiny.pairs(ROWS), run)
    return policy.model


def kto(run: Run, folder: Path) -> torch.nn.Module:
    model = tiny.fresh_model()
    policy, reference = tiny.policy_of(model), tiny.reference_of(model)
    run.processes.shard_policy(policy.model)
    run.processes.shard_policy(reference.model)
    config = tiny.kto_config(batch_size=BATCH, epochs=2, micro_batch_size=3)
    train_kto(config, policy, reference, tiny.rated(ROWS + 1), run)
    return policy.model


def kto_adapted(run: Run, folder: Path) -> torch.nn.Module:
    policy = tiny.adapted_policy_of(tiny.fresh_model())
    reference = tiny.reference_under(policy)
    run.processes.shard_policy(policy.model)
    train_kto(tiny.kto_config(batch_size=BATCH, epochs=2), policy, reference, tiny.rated(ROWS + 1), run)
    return policy.model


class Plainness:
    """A reward source that tells even what a model without training writes apart: the share of plain characters."""

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> torch.Tensor:
        return torch.tensor([sum(map(str.isascii, text)) / max(1, len(text)) for text in responses])


class Outage(Plainness):
    """The same from a service that is out of reach once it has scored so many batches; 0: never."""

    def __init__(self, after: int) -> None:
        self._left = float(after or "inf")

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> torch.Tensor:
        self._left -= len(responses) > 1  # one alone is asked for by a check
        if self._left < 0:
            raise ServiceError("out of reach")
        return super().score(prompts, responses)


def ppo_config(**changes: Any) -> PPOStage:
    """Minibatches of three responses: one process has two of them, in one piece or two, and the other has one."""
    return tiny.ppo_config(**{"prompts_per_step": 6, "micro_batch_tokens": 30, **POLICY_SETTINGS, **changes})


def ppo(run: Run, folder: Path) -> torch.nn.Module:
    """Four models; the adaptive KL coefficient, entropy, updates that end early, and rollouts written ahead."""
    model = tiny.fresh_model()
    policy, value, reference = tiny.policy_of(model), tiny.value_of(model), tiny.reference_of(model)
    run.processes.shard_policy(policy.model)
    run.processes.shard_policy(reference.model)
    run.processes.shard_value_model(value.model.body, value.model.head)
    shared = SharedPolicy(reference, Shares(run.processes, reference.model))
    config = ppo_config(
        target_kl_per_sequence=0.05, kl_horizon=20.0, entropy_coefficient=0.01, whiten_rewards=True,
        stop_update_above_kl=3e-4, reward_scale="running", loss_aggregation="sequence_mean", staleness=1,
    )  # fmt: skip
    return trained_by_ppo(config, PPORoles(policy, value, shared, Plainness()), run)


def ppo_shared(run: Run, folder: Path) -> torch.nn.Module:
    """Adapters of policy and value model on one base, and the reference under them."""
    roles = tiny.shared_roles(tiny.fresh_model())
    run.processes.shard_policy(roles.policy.model)
    assert isinstance(roles.value, AdaptedValueModel)
    run.processes.shard_head(roles.value.model.head)
    return trained_by_ppo(ppo_config(lora=tiny.LORA, value_warmup_steps=1), as_shared(roles, run), run)


def ppo_on_one_trunk(run: Run, folder: Path) -> torch.nn.Module:
    roles = tiny.trunk_roles(tiny.fresh_model(), adapted=False)
    run.processes.shard_policy(roles.policy.model)
    run.processes.shard_head(roles.value.trained)
    run.processes.shard_policy(roles.reference.model)
    return trained_by_ppo(ppo_config(roles="one_trunk"), as_shared(roles, run), run)


def rloo(run: Run, folder: Path) -> torch.nn.Module:
    """With adapters, and the reference under them. Interrupted by a service that the first process alone asks."""
    assert isinstance(run, tiny.InterruptedRun)
    outage, run.stop_after = Outage(run.stop_after), 0
    reward = ToldSource(outage if run.processes.first else None, run.processes)
    policy = tiny.adapted_policy_of(tiny.fresh_model())
    run.processes.shard_policy(policy.model)
    policy.sampler = partial(Shares(run.processes, policy.model).generations, partial(generate, policy.model))
    reference = SharedPolicy(tiny.reference_under(policy), Shares(run.processes, policy.model))
    config = tiny.rloo_config(rloo_epochs=2, prompts_per_step=3, importance_correction="truncated", **POLICY_SETTINGS)
    train_rloo(config, RLOORoles(policy, reference, reward), RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    return policy.model


def as_shared(roles: PPORoles, run: Run) -> PPORoles:
    shares = Shares(run.processes, roles.reference.model)
    return replace(roles, reference=SharedPolicy(roles.reference, shares), reward=Plainness())


def trained_by_ppo(config: PPOStage, roles: PPORoles, run: Run) -> torch.nn.Module:
    policy = roles.policy
    policy.sampler = partial(Shares(run.processes, policy.model).generations, partial(generate, policy.model))
    before = roles.reference.fingerprint()
    train_ppo(config, roles, RewardScale(0.0, 1.0), tiny.PROMPTS, run)
    assert roles.reference.fingerprint() == before
    return policy.model


LOOPS: dict[str, Callable[[Run, Path], torch.nn.Module]] = {
    "sft": sft, "sft with adapters, recomputing": sft_sparing_memory, "reward model": reward_model,
    "reward model with adapters": reward_model_adapted, "dpo": dpo, "dpo with adapters": dpo_adapted, "orpo": orpo,
    "simpo": simpo, "kto": kto, "kto with adapters": kto_adapted, "ppo": ppo, "ppo on one trunk": ppo_on_one_trunk,
    "ppo with adapters": ppo_shared, "rloo": rloo,
}  # fmt: skip


def train(name: str, folder: Path, processes: Processes, stop_after: int | None) -> None:
    """Run a loop in `folder` to its end, where its weights are written to `weights.pt`, or to an interruption."""
    run = tiny.InterruptedRun(folder, title="tiny", key="key", seed=0, checkpoint_every=1, processes=processes)
    run.stop_after = stop_after or 0
    try:
        model = LOOPS[name](run, folder.parent / "start")
    except (tiny.Interrupted, ServiceError):
        return
    weights: dict[str, Any] = processes.whole_state(model) or model.state_dict()
    if processes.first:
        torch.save(weights, folder / "weights.pt")


def as_one_of_several(rank: int, count: int, meeting: Path, jobs: list[tuple[str, Path, int | None]]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=meeting.as_uri(), rank=rank, world_size=count, timeout=datetime.timedelta(seconds=60)
    )
    for name, folder, stop_after in jobs:
        train(name, folder, ProcessGroup("cpu"), stop_after)
    dist.destroy_process_group()


if __name__ == "__main__":
    as_one_of_several(*(globals()[name] for name in ("rank", "count", "meeting", "jobs")))
