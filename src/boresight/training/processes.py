"""What a training loop needs of the processes that run it: one alone, or several that share every batch.

Each process computes its share of a batch's rows. Gradients and metrics are sums over all of them, divided by
the count of the whole batch as ever, so that several processes learn what one would, but for rounding. What several do
beyond what one does stands in `boresight.training.process_group`.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel

T = TypeVar("T")


class Processes:
    """One process alone: everything is its own, and nothing has to be agreed on."""

    rank = 0
    count = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and speaks."""
        return self.rank == 0

    def for_stage(self) -> "Processes":
        """The same processes, with no model known to them."""
        return self

    def share(self, items: Sequence[T]) -> list[T]:
        """Every `count`-th, beginning with the one of the process's own number: rows of like length are spread evenly.
        There may be none for it; the first process has some where there are any."""
        return list(items[self.rank :: self.count])

    def in_step(self, pieces: Sequence[T]) -> Iterator[T]:
        """A process's own micro-batches, one after another; where others have more it keeps them company."""
        return iter(pieces)

    def turns(self, pieces: Sequence[T]) -> list[tuple[T, bool]]:
        """The same, with whether the piece counts, where all must compute equally often: a process that has one piece
        less computes the last of all once more, and it does not count."""
        turns = [(piece, True) for piece in self.share(pieces)]
        missing = -(-len(pieces) // self.count) - len(turns)
        return turns + [(pieces[-1], False)] * missing

    def sums(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes."""
        return list(values)

    def sum_into(self, tensor: Tensor) -> None:
        """Turn a tensor of any shape, on the CPU, into its sum over all processes."""

    def agreed(self, value: T) -> T:
        """The first process's value, once it has come here."""
        return value

    def shard_policy(self, model: PreTrainedModel) -> None:
        """Spread the weights of a language model over the processes."""

    def shard_reward_model(self, model: PreTrainedModel, head: nn.Module) -> None:
        """Spread the weights of a classifier with this head over the processes."""

    def whole_state(self, model: nn.Module) -> dict[str, Tensor] | None:
        """All weights of a sharded model, on the CPU of the first process; None where nothing is sharded."""
        return None


ALONE = Processes()
