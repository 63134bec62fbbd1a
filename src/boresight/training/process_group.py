"""Several processes that share every batch and the weights, by torch.distributed and its FSDP2 (`fully_shard`).

A block's weights are gathered when it is computed; each process keeps, and updates, its part of them alone (Zhao et al.
2023, arXiv:2304.11277).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.distributed_c10d import Store
from torch.distributed.fsdp import FSDPModule, fully_shard
from transformers import PreTrainedModel

from boresight.errors import BoresightError
from boresight.models.activation_checkpointing import blocks
from boresight.models.hidden_states import call_within, packs
from boresight.models.loading import default_device
from boresight.models.response_logps import call_whole
from boresight.training.processes import Processes

T = TypeVar("T")
PATIENCE = timedelta(days=30)  # the others wait while the first builds stages by itself


@contextmanager
def joined_as(store: Store, rank: int, count: int, *, gpu: int) -> Iterator["ProcessGroup"]:
    """This process as one of `count` that find each other in a store, by gloo on CPUs and NCCL on GPUs, of which it
    takes the one of that number. After a fault the group is left as it is: whoever started the others ends them, who
    could not answer."""
    device = default_device()
    if device == "cuda":
        torch.cuda.set_device(gpu)
    backend = "cuda:nccl,cpu:gloo" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    yield ProcessGroup(device)
    dist.destroy_process_group()


class ProcessGroup(Processes):
    """The processes of torch.distributed's default group, which has been initialised; this is one of them.

    It knows the models of one stage, so each stage has its own. Whatever computes with a sharded model, all must do
    equally often, since all hold parts of it.
    """

    def __init__(self, device: str) -> None:
        self.rank = dist.get_rank()
        self.count = dist.get_world_size()
        self._device = device
        self._mesh = init_device_mesh(device, (self.count,))
        self._forwards: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
        self._called_through: dict[nn.Module, nn.Module] = {}  # a body -> the model that is gathered and called for it
        self._let_go: dict[nn.Module, bool] = {}  # sharded module -> whether its weights go after each forward pass

    def for_stage(self) -> "ProcessGroup":
        return ProcessGroup(self._device)

    def in_step(self, pieces: Sequence[T], idle: Callable[[], Tensor] | None = None) -> Iterator[T]:
        """Beyond its own, a process lets a token pass forth and back, with a gradient of zero, for each of the others':
        they need its part of the weights, and of the sum of gradients."""
        most = torch.tensor(len(pieces))
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        yield from pieces
        for _ in range(len(pieces), int(most)):
            for forward in self._idle_forwards() if idle is None else [idle]:
                (forward().sum() * 0.0).backward()  # type: ignore[no-untyped-call]

    def _idle_forwards(self) -> Iterator[Callable[[], Tensor]]:
        for model, forward in self._forwards.items():
            if any(p.requires_grad for p in model.parameters()):
                token = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
                yield partial(forward, token)

    def together(self, work: Callable[[], T]) -> list[T]:
        own: tuple[T | None, BoresightError | None]
        try:
            own = work(), None
        except BoresightError as error:
            own = None, error
        every: list[Any] = [None] * self.count
        dist.all_gather_object(every, own)
        for _, fault in every:
            if fault is not None:
                raise fault
        return [found for found, _ in every]

    @contextmanager
    def gathered(self, *models: nn.Module) -> Iterator[None]:
        held = [part for model in models for part in model.modules()]
        held += [part for body in held if body in self._called_through for part in self._called_through[body].modules()]
        sharded = [part for part in dict.fromkeys(held) if isinstance(part, FSDPModule)]
        for part in sharded:
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()
        try:
            yield
        finally:
            for part in sharded:
                part.reshard()
                part.set_reshard_after_forward(self._let_go[part], recurse=False)

    def sums(self, values: Sequence[float]) -> list[float]:
        total = torch.tensor(values, dtype=torch.float64)
        self.sum_into(total)
        return [float(value) for value in total]

    def sum_into(self, tensor: Tensor) -> None:
        dist.all_reduce(tensor)

    def agreed(self, value: T) -> T:
        box: list[Any] = [value]
        dist.broadcast_object_list(box, src=0)
        agreed: T = box[0]
        return agreed

    def shard_policy(self, model: PreTrainedModel) -> None:
        """Body and head may share a weight, so the model is gathered, and from now on called, as a whole."""
        packs(model.base_model)  # finds out by calling the body alone
        call_whole(model)
        call_within(model.base_model, model)
        self._called_through[model.base_model] = model
        self._shard(model, [model])
        self._forwards[model] = lambda token: model(input_ids=token, use_cache=False).logits

    def shard_reward_model(self, model: PreTrainedModel, head: nn.Module) -> None:
        """Body and head are gathered, and called, one after the other."""
        body = model.base_model
        self.shard_value_model(body, head)
        self._forwards[model] = lambda token: head(body(input_ids=token, use_cache=False).last_hidden_state)

    def shard_value_model(self, body: PreTrainedModel, head: nn.Module) -> None:
        packs(body)
        self._shard(body, [body, head])

    def shard_head(self, head: nn.Module) -> None:
        self._shard(head, [head])

    def _shard(self, model: nn.Module, called: Sequence[nn.Module]) -> None:
        """Spread the blocks of a model, and after them what is called from outside."""
        for module in (*blocks(model), *called):
            sharded = fully_shard(module, mesh=self._mesh)
            self._let_go[module] = module not in called  # as FSDP2 has it: what was called is needed again at once
            # Losses are divided by the count of the whole batch already, so gradients add up: by sums, the one way of
            # reducing that every backend knows.
            sharded.set_gradient_divide_factor(1.0)
            sharded.set_force_sum_reduction_for_comms(True)

    def whole_state(self, model: nn.Module) -> dict[str, Tensor] | None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state: dict[str, Any] = get_model_state_dict(model, options=options)
        return state
