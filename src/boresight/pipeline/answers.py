"""Responses of a model to many prompts, in chunks that survive a kill."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch

from boresight.config.sections import EvaluateStage, SampleStage
from boresight.data.jsonl import read_records, write_records
from boresight.data.tokenize import encode_prompt
from boresight.errors import DataError
from boresight.models.generate import generate
from boresight.models.loading import chat_format, default_device, load_tokenizer, saved_context_length
from boresight.models.roles import FrozenPolicy, build_frozen_policy
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import Records, add_counts
from boresight.records import Prompt, Response
from boresight.training.progress import ProgressBar
from boresight.training.rollout import response_text

T = TypeVar("T")
BATCHES_A_CHUNK = 4  # prompts are sorted by length within a chunk


def answer_prompts(
    context: StageContext,
    config: SampleStage | EvaluateStage,
    model: str,
    requests: Sequence[tuple[str, Prompt, float]],
    *,
    title: str | None = None,
    build: Callable[[], FrozenPolicy] | None = None,
) -> list[Response]:
    """One response for each request (response id, prompt, temperature; 0 is greedy), in that order. `title` names the
    round where a stage has several with one model, and `build` loads what is no stage's model.

    Finished chunks are kept in the stage's folder and not sampled again after a kill; each chunk has a generator of
    its own, so the responses are those of an uninterrupted run.
    """
    run = context.run()
    policy: FrozenPolicy | None = None
    size = config.batch_size * BATCHES_A_CHUNK
    responses: list[Response] = []
    title = title or model
    with ProgressBar(f"{context.name} ({title})", len(requests)) as bar:
        for number, start in enumerate(range(0, len(requests), size)):
            chunk = requests[start : start + size]
            file = context.folder / "chunks" / f"{title}-{number:05}.jsonl"
            if not file.exists():
                policy = policy or (build() if build is not None else load(context, model))
                write_records(
                    file, _answer(policy, model, chunk, config, run.generator(f"sample {title}", number), bar)
                )
            else:
                bar.advance(len(chunk))
            responses += read_records(file, Response)
    return responses


def load(context: StageContext, model: str) -> FrozenPolicy:
    path, template = context.model_path(model), context.chat_template(model)
    return build_frozen_policy(path, template, device=default_device())


def fitting_prompts(
    context: StageContext, config: SampleStage | EvaluateStage, models: Sequence[str], read: Records[Prompt]
) -> Records[Prompt]:
    """The prompts that leave room for the longest response in the context of every model.

    Others are left out and counted where the stage says so. Raises DataError that names the prompt where it does not,
    and where no prompt is left.
    """
    kept = read.records
    for model in models:
        path = context.model_path(model)
        limit = saved_context_length(path)
        if limit is None:
            continue
        chat = chat_format(load_tokenizer(path), context.chat_template(model))
        lengths = [len(encode_prompt(chat, prompt.messages, record_id=prompt.id)) for prompt in kept]
        fits = [length + config.max_new_tokens <= limit for length in lengths]
        if not any(fits) or (config.on_too_long == "error" and not all(fits)):
            first = fits.index(False)
            raise DataError(
                f"stage {context.name}: prompt {kept[first].id!r} has {lengths[first]} tokens; with max_new_tokens = "
                f"{config.max_new_tokens} that is longer than the context of {model}, {limit} ({fits.count(False)} of "
                f"{len(kept)} prompts are too long). Lower max_new_tokens, use a model with a longer context, or set "
                "`on_too_long: drop` to leave such prompts out (the count is reported)."
            )
        kept = [prompt for prompt, fit in zip(kept, fits, strict=True) if fit]
    too_long = len(read.records) - len(kept)
    return replace(read, records=kept, dropped=add_counts(read.dropped, {"too_long": too_long} if too_long else {}))


def limited(prompts: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """`limit` of the prompts, drawn by the seed, in their order; all where there is no limit."""
    if limit is None or limit >= len(prompts):
        return list(prompts)
    chosen = sorted(random.Random(f"limit {seed}").sample(range(len(prompts)), limit))
    return [prompts[i] for i in chosen]


def _answer(
    policy: FrozenPolicy,
    model: str,
    requests: Sequence[tuple[str, Prompt, float]],
    config: SampleStage | EvaluateStage,
    generator: torch.Generator,
    bar: ProgressBar,
) -> list[Response]:
    generations = generate(
        policy.model,
        [encode_prompt(policy.chat, prompt.messages, record_id=prompt.id) for _, prompt, _ in requests],
        temperatures=[temperature for _, _, temperature in requests],
        max_new_tokens=config.max_new_tokens,
        stop_token_ids=policy.chat.stop_token_ids,
        generator=generator,
        batch_size=config.batch_size,
        stop_strings=config.stop,
        tokenizer=policy.tokenizer,
        on_finished=bar.advance,
    )
    return [
        Response(
            id=response_id,
            prompt=prompt,
            text=response_text(policy, generation, config.stop),
            model=model,
            temperature=temperature,
            stopped=generation.stopped,
            tokens=len(generation.token_ids),
            logp_sum=sum(generation.logps),
        )
        for (response_id, prompt, temperature), generation in zip(requests, generations, strict=True)
    ]
