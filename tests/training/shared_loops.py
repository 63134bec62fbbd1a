"""Loops that one process or several can run, and what one of several does: `test_process_group` runs this file by its
path, in a process for each rank, with `rank`, `count`, `meeting` (a file to find each other by) and `jobs`.
"""

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parents[2]))

from boresight.config.sections import LoRASection
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.adapters import add_adapter
from boresight.models.loading import scalar_head, start_reward_model
from boresight.training.dpo import train_dpo
from boresight.training.orpo import train_orpo
from boresight.training.process_group import ProcessGroup
from boresight.training.processes import Processes
from boresight.training.reward_model import train_reward_model
from boresight.training.run import Run
from boresight.training.sft import train_sft
from tests.training import tiny_world as tiny

# In each loop the last batch of an epoch has one row: a process goes without.
ROWS, BATCH = 17, 8


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


LOOPS: dict[str, Callable[[Run, Path], torch.nn.Module]] = {
    "sft": sft, "sft with adapters, recomputing": sft_sparing_memory, "reward model": reward_model,
    "reward model with adapters": reward_model_adapted, "dpo": dpo, "dpo with adapters": dpo_adapted, "orpo": orpo,
}  # fmt: skip


def train(name: str, folder: Path, processes: Processes, stop_after: int | None) -> None:
    """Run a loop in `folder` to its end, where its weights are written to `weights.pt`, or to an interruption."""
    run = tiny.InterruptedRun(folder, title="tiny", key="key", seed=0, checkpoint_every=1, processes=processes)
    run.stop_after = stop_after or 0
    try:
        model = LOOPS[name](run, folder.parent / "start")
    except tiny.Interrupted:
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
