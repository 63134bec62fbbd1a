"""Critique and revision of sampled responses by a constitution, by their own model, another one or an endpoint."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from boresight.config.judge_sections import EndpointSection, LocalWriter, ReviseSection
from boresight.config.sections import SampleStage
from boresight.errors import DataError, ServiceError
from boresight.feedback.chat_endpoint import Reply
from boresight.feedback.constitution import Principle, critique_messages, load_constitution, revision_messages
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import Failure, Question
from boresight.feedback.local_judge import conversation
from boresight.models.loading import chat_format, default_device, load_tokenizer
from boresight.models.roles import build_frozen_policy
from boresight.pipeline.answers import answer_prompts
from boresight.pipeline.context import StageContext
from boresight.pipeline.judge_roles import JUDGE_REPLIES, AskingProgress, build_client
from boresight.records import Messages, Prompt, Response

MAY_COME = ("out_of_reach", "broken_answer", "over_budget")
Result = dict[str, Any]


class Text(NamedTuple):
    """What a writer wrote; `failure` where it wrote nothing."""

    text: str
    stopped: bool = True
    tokens: int = 0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Writing:
    """One thing to be written about a response."""

    response: Response
    messages: Messages


def revise(
    context: StageContext, config: SampleStage, section: ReviseSection, responses: Sequence[Response]
) -> tuple[list[Response], Result]:
    """The responses rewritten, each with its original, critique and principle; those that could not be are left out.

    Raises DataError where none could be, ServiceError where an endpoint is out of reach; what was written is kept.
    """
    file = section.constitution_file
    constitution = load_constitution(section.constitution if file is None else str(context.pipeline.resolve_path(file)))
    principles = [constitution.drawn(context.seed, response.id) for response in responses]
    critiques = _written(context, config, section, "critique", [
        Writing(r, critique_messages(p, r.prompt, r.text)) for r, p in zip(responses, principles, strict=True)
    ])  # fmt: skip
    criticised = [
        (r, p, c.text) for r, p, c in zip(responses, principles, critiques, strict=True) if not _fault(c)
    ]  # fmt: skip
    revisions = _written(
        context, config, section, "revision",
        [Writing(r, revision_messages(p, r.prompt, r.text, critique)) for r, p, critique in criticised],
    )  # fmt: skip
    revised = [
        _revised(response, text, principle, critique, _writer(section, response))
        for (response, principle, critique), text in zip(criticised, revisions, strict=True)
        if not _fault(text)
    ]
    faults = Counter(fault for text in (*critiques, *revisions) if (fault := _fault(text)))
    if not revised:
        raise DataError(
            f"stage {context.name}: none of {len(responses)} responses could be revised ({dict(faults)}); expected "
            "some. Take another model to revise, or allow longer texts (max_tokens, max_new_tokens)."
        )
    return revised, {
        "revised": len(revised),
        "unrevised": dict(sorted(faults.items())),
        "unchanged": sum(response.text == response.revision["original"] for response in revised),
        "constitution": constitution.name,
        "constitution_hash": constitution.hash,
    }


def _fault(text: Text) -> str:
    """Why a text is of no use: nothing was written, or it was cut off."""
    return text.failure or ("cut_off" if not text.stopped else "" if text.text.strip() else "empty")


def _revised(response: Response, text: Text, principle: Principle, critique: str, by: str) -> Response:
    kept = {"original": response.text, "critique": critique.strip(), "principle": principle.text, "by": by}
    return replace(response, text=text.text.strip(), stopped=True, tokens=text.tokens, revision=kept)


def _writer(section: ReviseSection, response: Response) -> str:
    if section.by is None:
        return response.model
    return section.by.model if isinstance(section.by, EndpointSection) else section.by.path


def _written(
    context: StageContext, config: SampleStage, section: ReviseSection, what: str, wanted: Sequence[Writing]
) -> list[Text]:
    """One text for each, in order."""
    if isinstance(section.by, EndpointSection):
        return _asked(context, section.by, what, wanted)
    limits = {} if section.max_new_tokens is None else {"max_new_tokens": section.max_new_tokens}
    sampling = config.model_copy(update={"stop": [], **limits})
    models = dict.fromkeys(writing.response.model for writing in wanted) if section.by is None else {"writer": None}
    texts: dict[str, Text] = {}
    for model in models:
        own = [writing for writing in wanted if section.by is not None or writing.response.model == model]
        texts |= _sampled(context, sampling, section, model, what, own)
    return [texts[writing.response.id] for writing in wanted]


def _sampled(
    context: StageContext,
    config: SampleStage,
    section: ReviseSection,
    model: str,
    what: str,
    wanted: Sequence[Writing],
) -> dict[str, Text]:
    """Texts of a local model by the id of the response that they are about."""
    by = section.by if isinstance(section.by, LocalWriter) else None
    path = context.model_path(model) if by is None else str(context.pipeline.resolve_path(by.path))
    template = context.chat_template(model) if by is None else by.chat_template
    chat = chat_format(load_tokenizer(path), template)
    requests = []
    for writing in wanted:
        plain = [{"role": m.role, "content": m.content} for m in writing.messages]
        prompt = Prompt(id=writing.response.id, messages=conversation(chat, plain))
        requests.append((writing.response.id, prompt, section.temperature))
    found = answer_prompts(
        context, config, model, requests, title=f"{model}-{what}",
        build=lambda: build_frozen_policy(path, template, device=default_device()),
    )  # fmt: skip
    return {one.id: Text(one.text, one.stopped, one.tokens) for one in found}


def _asked(context: StageContext, by: EndpointSection, what: str, wanted: Sequence[Writing]) -> list[Text]:
    client = build_client(context, by, JudgeCache(context.runs.root / JUDGE_REPLIES))
    client.progress = AskingProgress(f"{context.name} ({what} by {by.model})", client)
    outcomes = client.ask(
        [Question([{"role": m.role, "content": m.content} for m in w.messages], form=None) for w in wanted]
    )
    waiting = [one for one in outcomes if isinstance(one, Failure) and one.kind in MAY_COME]
    if waiting:
        raise ServiceError(
            f"stage {context.name}: {by.base_url} (model {by.model}) wrote no {what} for {len(waiting)} of "
            f"{len(wanted)} responses, for instance: {waiting[0].reason}. Nothing is lost: see to it and give the same "
            "command, which asks only what is missing."
        )
    return [
        Text(one.text, one.finish_reason != "length", one.completion_tokens)
        if isinstance(one, Reply)
        else Text("", failure=one.kind)
        for one in outcomes
    ]
