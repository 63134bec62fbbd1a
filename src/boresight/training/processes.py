"""What a training loop needs of the processes that run it: one alone, or several that share every batch.

Each process computes its share of a batch's rows. Gradients and metrics are sums over all of them, divided by
the count of the whole batch as ever, so that several processes learn what one would, but for rounding. What several do
beyond what one does stands in `boresight.training.process_group`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn
from transformers import PreTrainedModel

T = TypeVar("T")


def even_cut(count: int, among: int) -> list[slice]:
    """`count` rows in order as so many parts, none of which has more than one row above another; there may be none in
    the last ones."""
    size, rest = divmod(count, among)
    starts = [place * size + min(place, rest) for place in range(among + 1)]
    return [slice(start, end) for start, end in pairwise(starts)]


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

    def part(self, count: int) -> slice:
        """Of `count` rows those of this process, side by side: an even cut. There may be none for it; the first process
        has some where there are any."""
        return even_cut(count, self.count)[self.rank]

    def in_step(self, pieces: Sequence[T], idle: Callable[[], Tensor] | None = None) -> Iterator[T]:
        """A process's own micro-batches, one after another; where others have more it keeps them company. `idle`
        computes something with all weights that the pieces train; by default those of every model of the stage."""
        return iter(pieces)

    def turns(self, pieces: Sequence[T]) -> list[tuple[T, bool]]:
        """The same, with whether the piece counts, where all must compute equally often: a process that has one piece
        less computes the last of all once more, and it does not count."""
        turns = [(piece, True) for piece in self.share(pieces)]
        missing = -(-len(pieces) // self.count) - len(turns)
        return turns + [(pieces[-1], False)] * missing

    def together(self, work: Callable[[], T]) -> list[T]:
        """What each process makes of its part of a work, in their order. A BoresightError of one is raised by all, so
        that all are at the same place whatever happens."""
        return [work()]

    def told(self, work: Callable[[], T]) -> T:
        """What the first process makes of a work that is its alone; its BoresightError is raised by all."""
        found: list[T] = self.together(lambda: work() if self.first else None)  # type: ignore[arg-type,return-value]
        return found[0]

    def gathered(self, *models: nn.Module) -> AbstractContextManager[None]:
        """Within, each process has all weights of these models and may compute with them as often as it likes, without
        gradient."""
        return nullcontext()

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

    def shard_value_model(self, body: PreTrainedModel, head: nn.Module) -> None:
        """The same for a value model with a body of its own."""

    def shard_head(self, head: nn.Module) -> None:
        """Spread the weights of a head that stands on a model of others."""

    def whole_state(self, model: nn.Module) -> dict[str, Tensor] | None:
        """All weights of a sharded model, on the CPU of the first process; None where nothing is sharded."""
        return None


ALONE = Processes()
