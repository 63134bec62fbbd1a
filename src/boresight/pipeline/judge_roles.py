"""Whoever judges in a stage, made from its settings: rules, a reward model, an endpoint, a local model."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from boresight.config.judge_sections import (
    AskedJudge,
    EndpointSection,
    Judge,
    LocalModelJudge,
    OpenAIJudge,
    RewardModelJudge,
)
from boresight.config.sections import RulesJudge
from boresight.feedback.chat_endpoint import ChatEndpoint
from boresight.feedback.judge import Judge as AnyJudge
from boresight.feedback.judge import RewardModelJudge as ScoringJudge
from boresight.feedback.judge_cache import JudgeCache
from boresight.feedback.judge_client import JudgeClient, Ledger, Prices
from boresight.feedback.local_judge import LocalJudge, build_local_judge
from boresight.feedback.rubric import load_rubric
from boresight.feedback.rubric_judge import RubricJudge
from boresight.feedback.rule_judge import RuleJudge
from boresight.models.loading import default_device
from boresight.models.roles import build_reward_model
from boresight.pipeline.context import StageContext
from boresight.training.progress import SECONDS_BETWEEN_LINES

JUDGE_REPLIES = "judge_replies.sqlite"
SECONDS_BETWEEN_DRAWINGS = 0.2


def build_judge(context: StageContext, config: Judge) -> AnyJudge:
    """The judge of a stage, in whatever form."""
    if isinstance(config, RulesJudge):
        return RuleJudge(tie_margin=config.tie_margin, noise=config.noise, seed=context.seed)
    if isinstance(config, RewardModelJudge):
        model = build_reward_model(context.model_path(config.model), device=default_device())
        return ScoringJudge(model, config.tie_margin, name=config.model)
    return build_rubric_judge(context, config)


def build_rubric_judge(
    context: StageContext, config: AskedJudge, *, purpose: str = "", replies: str = JUDGE_REPLIES
) -> RubricJudge:
    """What it was answered lies beside the stages, so that a stage that is built anew pays for nothing again. With a
    `purpose` there are many small rounds: they have no bars, and share one budget also over several starts."""
    cache = JudgeCache(context.runs.root / replies)
    name = config.rubric if config.rubric_file is None else str(context.pipeline.resolve_path(config.rubric_file))
    rubric = load_rubric(name)
    client: JudgeClient | LocalJudge
    if isinstance(config, LocalModelJudge):
        client = _local(context, config, cache)
        judge = RubricJudge(client, rubric, direct=True)
    else:
        client = build_client(context, config, cache, purpose)
        judge = RubricJudge(client, rubric, config.samples)
    if not purpose:
        client.progress = AskingProgress(f"{context.name} (judge {client.name})", client)
    return judge


def build_client(context: StageContext, config: EndpointSection, cache: JudgeCache, purpose: str = "") -> JudgeClient:
    """The endpoint with its prices and its budget."""
    endpoint = ChatEndpoint(
        config.base_url,
        config.model,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        timeout=config.timeout_seconds,
        key_variable=config.key_variable,
        logprobs=isinstance(config, OpenAIJudge) and config.logprobs,
    )
    prices = None
    if config.price_prompt is not None and config.price_completion is not None:
        prices = Prices(config.price_prompt, config.price_completion)
    return JudgeClient(
        endpoint,
        cache,
        most_at_once=config.most_at_once,
        patience=config.patience_seconds,
        prices=prices,
        budget=config.budget,
        purpose=purpose,
    )


def _local(context: StageContext, config: LocalModelJudge, cache: JudgeCache) -> LocalJudge:
    path: Path = context.pipeline.resolve_path(config.path)
    return build_local_judge(
        path, cache, template=config.chat_template, batch_size=config.batch_size, device=default_device()
    )


class AskingProgress:
    """A line on stderr with the questions that are done and the cost so far: drawn anew on a terminal, and every
    SECONDS_BETWEEN_LINES where a log is kept. It holds nothing open, as a round may end in a fault."""

    def __init__(
        self, title: str, client: JudgeClient | LocalJudge, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._title, self._client, self._clock = title, client, clock
        self._last = clock()

    def __call__(self, done: int, total: int, ledger: Ledger) -> None:
        watched, now = sys.stderr.isatty(), self._clock()
        if done < total and now - self._last < (SECONDS_BETWEEN_DRAWINGS if watched else SECONDS_BETWEEN_LINES):
            return
        self._last = now
        cost = self._client.cost()
        spent = "" if cost is None else f", {cost:.2f} USD"
        line = f"  {self._title}: {done:,} of {total:,} questions{spent}"
        print(
            f"\r{line}" if watched else line, end="" if watched and done < total else "\n", file=sys.stderr, flush=True
        )


def judged_by(judge: AnyJudge) -> dict[str, Any]:
    """For a stage's result: what an asked judge tells of itself; nothing of one that is not asked."""
    return {"judging": {**judge.identity(), **judge.account()}} if isinstance(judge, RubricJudge) else {}
