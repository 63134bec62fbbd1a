"""The roles of a stage as the trainer sees them: the interfaces of `boresight.models.roles`, with actors behind.

Questions are cut into one part for each actor of a role, in order. The random numbers of a batch are the same however
it is cut: with one actor or several, each response is drawn from what `boresight.models.generate` would draw it from.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray
import torch
from torch import Tensor

from boresight.errors import TrainingError
from boresight.launch.ray.answers import answers
from boresight.launch.ray.worker import Source, Weights
from boresight.models.generate import Generation
from boresight.models.loading import chat_format, default_device, load_tokenizer
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy, RewardModel
from boresight.records import Messages


def parts(count: int, actors: Sequence[Any]) -> Iterator[tuple[Any, slice]]:
    """An even cut of `count` rows, none of it empty, each part with its actor."""
    size, rest = divmod(count, len(actors))
    start = 0
    for place, actor in enumerate(actors):
        end = start + size + (place < rest)
        if end > start:
            yield actor, slice(start, end)
        start = end


class RaySampler:
    """Samples from `policy` as it is at each call: its weights go to the actors first, under a new version."""

    def __init__(self, actors: Sequence[Any], source: Source, policy: Policy) -> None:
        self._actors = actors
        self._source = source
        self._policy = policy
        self._version = 0

    def __call__(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        generator: torch.Generator,
        temperatures: Sequence[float],
        on_finished: Callable[[int], None] = lambda count: None,
        **options: Any,
    ) -> list[Generation]:
        """One response to each prompt, in order; see `boresight.models.generate`."""
        self._version += 1
        state = {name: value.detach().cpu() for name, value in self._policy.model.named_parameters()}
        weights = Weights(self._version, [ray.put(state)])
        return generated(self._actors, self._source, weights, prompts, temperatures, generator, options, on_finished)


def generated(
    actors: Sequence[Any],
    source: Source,
    weights: Weights | None,
    prompts: Sequence[Sequence[int]],
    temperatures: Sequence[float],
    generator: torch.Generator,
    options: dict[str, Any],
    on_finished: Callable[[int], None],
) -> list[Generation]:
    """A batch written by all actors; TrainingError where one of them wrote with other weights than were sent."""
    state, each = generator.get_state(), options["max_new_tokens"]
    torch.rand(len(prompts) * each, generator=generator)  # leave it where our own decoder would
    asked = [
        actor.generate.remote(
            source, weights, prompts[part], state, part.start * each, options | {"temperatures": temperatures[part]}
        )
        for actor, part in parts(len(prompts), actors)
    ]
    found: list[Generation] = []
    for version, generations in answers(asked):
        if weights is not None and version != weights.version:
            raise TrainingError(f"a rollout actor wrote with version {version} of the weights, not {weights.version}")
        on_finished(len(generations))
        found += generations
    return found


class RemoteReference(FrozenPolicy):
    """A frozen policy whose weights are with an actor."""

    def __init__(self, actors: Sequence[Any], source: Source) -> None:
        assert source.template is not None
        self._actors = actors
        self._source = source
        self.tokenizer = load_tokenizer(source.path)
        self.chat = chat_format(self.tokenizer, source.template)

    @property
    def device(self) -> torch.device:
        """Where the trainer wants what is made of its responses."""
        return torch.device(default_device())

    def logps(self, input_ids: Tensor, response_mask: Tensor, **options: bool | float) -> ResponseLogps:
        asked = self._actors[0].logps.remote(self._source, input_ids.cpu(), response_mask.cpu(), options)
        (found,) = answers([asked])
        return ResponseLogps(*(None if grid is None else grid.to(self.device) for grid in found))  # type: ignore[arg-type]

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        temperatures, generator = options.pop("temperatures"), options.pop("generator")
        told = options.pop("on_finished", lambda count: None)
        return generated(self._actors, self._source, None, prompts, temperatures, generator, options, told)

    def fingerprint(self) -> str:
        (found,) = answers([self._actors[0].fingerprint.remote(self._source)])
        return str(found)


class RemoteRewardModel(RewardModel):
    """A reward model whose weights are with actors."""

    def __init__(self, actors: Sequence[Any], source: Source) -> None:
        self._actors = actors
        self._source = source
        self.tokenizer = load_tokenizer(source.path)
        self.chat = chat_format(self.tokenizer, "tokenizer")

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        """(responses,) float32 scores; with several actors a row meets others in its batch, and may round otherwise."""
        asked = [
            actor.score.remote(self._source, prompts[part], responses[part], batch_size)
            for actor, part in parts(len(responses), self._actors)
        ]
        return torch.cat(list(answers(asked)))

    def fingerprint(self) -> str:
        """Of every copy; TrainingError unless they are one."""
        found = set(answers([actor.fingerprint.remote(self._source) for actor in self._actors]))
        if len(found) != 1:
            raise TrainingError(f"{self._source.path}: {len(found)} different reward models stand behind the actors")
        return str(found.pop())
