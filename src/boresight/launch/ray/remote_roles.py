"""The roles of a stage as the trainer sees them: the interfaces of `boresight.models.roles`, with actors behind.

Questions are cut into one part for each actor of a role, in order. The random numbers of a batch are drawn once, here:
however it is cut, each response comes from what `boresight.models.generate` would draw it from.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
import torch
from torch import Tensor

from boresight.errors import TrainingError
from boresight.launch.ray.answers import Actor, Question, answers
from boresight.launch.ray.worker import Source, Weights
from boresight.models.generate import Generation, draws
from boresight.models.loading import chat_format, default_device, load_tokenizer
from boresight.models.response_logps import ResponseLogps
from boresight.models.roles import FrozenPolicy, Policy, RewardModel
from boresight.records import Messages
from boresight.training.processes import even_cut

A = TypeVar("A")


def parts(count: int, actors: Sequence[A]) -> Iterator[tuple[A, slice]]:
    """An even cut of `count` rows, none of it empty, each part with its actor."""
    for actor, part in zip(actors, even_cut(count, len(actors)), strict=True):
        if part.start < part.stop:
            yield actor, part


class RaySampler:
    """Begins rollouts of `policy` as it is then: its weights go to the actors, once a version."""

    def __init__(self, actors: Sequence[Actor], source: Source, policy: Policy) -> None:
        self._actors = actors
        self._source = source
        self._policy = policy
        self._sender = uuid.uuid4().hex
        self._sent: Weights | None = None

    def begin(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        generator: torch.Generator,
        temperatures: Sequence[float],
        **options: Any,
    ) -> Callable[[], list[Generation]]:
        """One response to each prompt, in order, to be waited for; see `boresight.models.generate`."""
        version = self._policy.version
        if self._sent is None or self._sent.version != version:
            state = {name: value.detach().cpu() for name, value in self._policy.trained.named_parameters()}
            self._sent = Weights(version, self._sender, [ray.put(state)])
        asked = ask_for_responses(
            self._actors, self._source, self._sent, prompts, temperatures, generator, options,
            about=f"to write responses with version {version}",
        )  # fmt: skip
        return lambda: [one for part in answers(asked) for one in part]


def ask_for_responses(
    actors: Sequence[Actor],
    source: Source,
    weights: Weights | None,
    prompts: Sequence[Sequence[int]],
    temperatures: Sequence[float],
    generator: torch.Generator | Tensor,
    options: dict[str, Any],
    *,
    about: str,
) -> list[Question]:
    """A batch cut over the actors. Its random numbers are drawn here, and each gets those of its rows; the tokenizer is
    the one that an actor has loaded itself."""
    uniforms = draws([options["max_new_tokens"]] * len(prompts), generator)
    options = {name: value for name, value in options.items() if name != "tokenizer"}
    return [
        Question(
            actor, "generate", source, weights, prompts[part], uniforms[part],
            options | {"temperatures": temperatures[part]},
            about=f"{about} ({part.stop - part.start} of {len(prompts)})",
        )
        for actor, part in parts(len(prompts), actors)
    ]  # fmt: skip


class RemoteReference(FrozenPolicy):
    """A frozen policy whose weights are with an actor."""

    def __init__(self, actors: Sequence[Actor], source: Source) -> None:
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
        about = f"for log-probabilities of {len(input_ids)} responses"
        asked = (self._source, input_ids.cpu(), response_mask.cpu(), options)
        found = Question(self._actors[0], "logps", *asked, about=about).answer()
        return ResponseLogps(*(None if grid is None else grid.to(self.device) for grid in found))  # type: ignore[arg-type]

    def generate(self, prompts: Sequence[Sequence[int]], **options: Any) -> list[Generation]:
        temperatures, generator = options.pop("temperatures"), options.pop("generator")
        asked = ask_for_responses(
            self._actors, self._source, None, prompts, temperatures, generator, options, about="to write responses"
        )
        return [one for part in answers(asked) for one in part]

    def fingerprint(self) -> str:
        return str(Question(self._actors[0], "fingerprint", self._source, about="for its fingerprint").answer())


class RemoteRewardModel(RewardModel):
    """A reward model whose weights are with actors."""

    def __init__(self, actors: Sequence[Actor], source: Source) -> None:
        self._actors = actors
        self._source = source
        self.tokenizer = load_tokenizer(source.path)
        self.chat = chat_format(self.tokenizer, "tokenizer")

    def score(self, prompts: Sequence[Messages], responses: Sequence[str], batch_size: int = 64) -> Tensor:
        """(responses,) float32 scores; with several actors a row meets others in its batch, and may round otherwise."""
        asked = [
            Question(
                actor, "score", self._source, prompts[part], responses[part], batch_size,
                about=f"to score {part.stop - part.start} responses",
            )
            for actor, part in parts(len(responses), self._actors)
        ]  # fmt: skip
        return torch.cat(answers(asked))

    def fingerprint(self) -> str:
        """Of every copy; TrainingError unless they are one."""
        asked = [Question(actor, "fingerprint", self._source, about="for its fingerprint") for actor in self._actors]
        found = set(answers(asked))
        if len(found) != 1:
            raise TrainingError(f"{self._source.path}: {len(found)} different reward models stand behind the actors")
        return str(found.pop())
