"""Responses of a model for `boresight label serve --model`; torch is loaded in the thread that samples alone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from boresight.models.model_folder import model_folder

if TYPE_CHECKING:
    from boresight.records import Messages
    from boresight.web.annotation.live import LiveWorker, Sampler
    from boresight.web.annotation.settings import Settings
    from boresight.web.annotation.store import Store


Model = Annotated[
    Path | None, typer.Option("--model", metavar="DIR", help="Answers prompts of TASKS while people label.")
]
Responses = Annotated[int, typer.Option(min=2, max=9, help="With --model: of each prompt.")]
Temperature = Annotated[float, typer.Option(min=0.01, help="With --model: of its sampling.")]
LongestResponse = Annotated[int, typer.Option(min=1, help="With --model: longest response.")]


class Sampling(NamedTuple):
    """How responses are drawn: `responses` to each prompt."""

    model: Path
    responses: int
    temperature: float
    max_new_tokens: int


def live_maker(
    prompts: Path, sampling: Sampling, project: str, settings: "Settings"
) -> "Callable[[Store], LiveWorker]":
    """What starts the worker on a store, in a project of that name, made where there is none.

    Raises ModelError and DataError, before any store is made, where there is no model or no prompt.
    """
    from boresight.data.readers import read_prompts
    from boresight.web.annotation.live import LiveTasks, LiveWorker
    from boresight.web.annotation.projects import make_project, project_named

    folder = model_folder(sampling.model)
    read = read_prompts(prompts).prompts
    wanted = LiveTasks(prompts=read, count=sampling.responses, model=str(sampling.model))

    def start(store: "Store") -> "LiveWorker":
        target = project_named(store, project) or make_project(store, project, settings)
        worker = LiveWorker(store, target.id, wanted, lambda: _sampler(folder, sampling, target.settings.seed))
        worker.start()
        return worker

    return start


def _sampler(folder: Path, sampling: Sampling, seed: int) -> "Sampler":
    import torch

    from boresight.data.tokenize import encode_prompt
    from boresight.models.generate import generate
    from boresight.models.loading import default_device
    from boresight.models.roles import build_frozen_policy
    from boresight.training.rollout import response_text

    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))  # the pages keep a core
    policy = build_frozen_policy(folder, "tokenizer", device=default_device())
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def sample(prompt: "Messages", count: int) -> Sequence[str]:
        made = generate(
            policy.model,
            [encode_prompt(policy.chat, prompt)] * count,
            temperatures=[sampling.temperature] * count,
            max_new_tokens=sampling.max_new_tokens,
            stop_token_ids=policy.chat.stop_token_ids,
            generator=generator,
            batch_size=count,
        )
        return [response_text(policy, one).strip() for one in made]

    return sample
