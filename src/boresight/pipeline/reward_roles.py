"""The reward of a policy stage, made from its settings: models loaded, services named, what is frozen proved frozen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from boresight.config.reward_sections import Reward, reward_models, reward_parts
from boresight.config.sections import (
    AnswerReward,
    EnsembleReward,
    JudgeReward,
    LengthReward,
    MatchReward,
    ModelReward,
    PolicyStage,
    RewardModelStage,
    RewardSection,
    RulesReward,
    ServiceReward,
)
from boresight.data.chat_template import ChatFormat
from boresight.data.jsonl import read_records
from boresight.data.lint.coverage import mark_uncovered
from boresight.data.readers import read_pairs
from boresight.data.tokenize import scored_text_probe
from boresight.errors import ModelError
from boresight.feedback.local_judge import LocalJudge
from boresight.feedback.rule_judge import parse_rules
from boresight.feedback.score_client import ScoreClient
from boresight.feedback.verifiable import expected_answer
from boresight.models.loading import default_device
from boresight.models.roles import RewardModel, build_reward_model
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import PAIRS
from boresight.pipeline.judge_roles import build_rubric_judge
from boresight.records import Messages, PreferencePair, Prompt
from boresight.storage import read_json
from boresight.training.experience import RewardScale
from boresight.training.processes import Processes
from boresight.training.reward_sources import (
    AnySource,
    Ensemble,
    Form,
    JudgeScores,
    KnownAnswer,
    PromptRules,
    Service,
    WeightedSum,
)
from boresight.training.shares import SharedRewardModel, Shares, ToldSource


@dataclass(frozen=True, slots=True)
class RewardRole:
    """What pays a policy, and what of it can be held against its state at the start."""

    source: AnySource
    models: Mapping[str, RewardModel]
    services: Mapping[str, Service]
    judges: Sequence[JudgeScores] = ()

    def fingerprints(self) -> dict[str, str]:
        """SHA-256 over the parameters of each reward model, by stage, and of each local judge, by its folder."""
        local = [scores.judge.client for scores in self.judges if isinstance(scores.judge.client, LocalJudge)]
        judges = {f"judge {client.address}": client.policy.fingerprint() for client in local}
        return {name: model.fingerprint() for name, model in self.models.items()} | judges

    def served_models(self) -> dict[str, Any]:
        """For the stage's result: which model answered behind which address, which judges scored, and how many
        different responses they gave no readable score."""
        hashes = {url: service.model_hash for url, service in self.services.items()}
        judges = [{**one.judge.identity(), "unreadable_responses": one.unreadable} for one in self.judges]
        return ({"reward_service_models": hashes} if hashes else {}) | ({"reward_judges": judges} if judges else {})

    def costs(self) -> list[str]:
        """What judges were asked since the stage was last taken up; a result that is the same after a pause cannot
        tell it."""
        accounts = [(one.judge.client.name, one.judge.account()["cost"]) for one in self.judges]
        return [
            f"judge {name}: {cost['asked']:,} questions asked since this start, {cost['known_before']:,} before"
            + ("" if cost["usd"] is None else f"; {cost['usd']:.2f} USD in all")
            for name, cost in accounts
        ]


def load_reward(
    context: StageContext,
    wanted: Reward,
    prompts: Sequence[Prompt],
    build: Callable[[str], RewardModel] | None = None,
) -> RewardRole:
    """The reward of a stage, or its canary; `build` makes the reward model of a stage from its name, by default a copy
    of its own.

    Raises DataError for a prompt without what a rule needs, ModelError for a reward model that would not be given the
    text that it was trained on.
    """
    build = build or (lambda name: build_reward_model(context.model_path(name), device=default_device()))
    models = {name: build(name) for name in reward_models(wanted)}
    for name, model in models.items():
        check_scored_text(context, name, model.chat)
    services: dict[str, Service] = {}
    asked = {name: _asked_by_all(context, model) for name, model in models.items()}
    judges: list[JudgeScores] = []
    parts = [(part.weight, _source(context, part, prompts, asked, services, judges)) for part in reward_parts(wanted)]
    alone = len(parts) == 1 and parts[0][0] == 1.0
    return RewardRole(parts[0][1] if alone else WeightedSum(parts), models, services, judges)


def _asked_by_all(context: StageContext, model: RewardModel) -> RewardModel:
    """Of several processes each scores its share; but those of another place are asked by the first already."""
    if context.processes.count == 1 or isinstance(model, SharedRewardModel):
        return model
    return SharedRewardModel(model, Shares(context.processes, model.model))


def _source(
    context: StageContext,
    part: RewardSection,
    prompts: Sequence[Prompt],
    models: Mapping[str, RewardModel],
    services: dict[str, Service],
    judges: list[JudgeScores],
) -> AnySource:
    """What a part of the reward is scored by; services and judges, which the first process asks, are noted."""

    def service(part: ServiceReward) -> Service:
        client = ScoreClient(part.url, part.timeout_seconds, part.patience_seconds)
        return services.setdefault(part.url, Service(client, part.batch_size, context.folder))

    def judge(part: JudgeReward) -> JudgeScores:
        asked = build_rubric_judge(context, part.judge, purpose=f"reward of {context.identity.key}")
        judges.append(JudgeScores(asked, part.on_unreadable, context.folder))
        return judges[-1]

    match part:
        case ModelReward():
            return models[part.model]
        case EnsembleReward():
            return Ensemble(part, [models[name] for name in part.models])
        case RulesReward():
            for prompt in prompts:
                parse_rules(prompt)
            return PromptRules()
        case AnswerReward():
            for prompt in prompts:
                expected_answer(prompt)
            return KnownAnswer(part)
        case MatchReward() | LengthReward():
            return Form(part)
        case ServiceReward():
            return _told_by_the_first(context.processes, partial(service, part))
        case JudgeReward():
            return _told_by_the_first(context.processes, partial(judge, part))
    raise AssertionError(part.kind)  # the config knows no other


def _told_by_the_first(processes: Processes, build: Callable[[], AnySource]) -> AnySource:
    if processes.count == 1:
        return build()
    return ToldSource(build() if processes.first else None, processes)


def with_coverage(context: StageContext, config: PolicyStage, prompts: list[Prompt]) -> list[Prompt]:
    """The prompts of a stage, each marked whether it is unlike all that its reward models have learned from."""
    known: list[Messages] = []
    for name in reward_models(config.reward):
        section = context.pipeline.stages[name]
        assert isinstance(section, RewardModelStage)
        known += [pair.prompt for pair in _pairs_learned(context, section)]
    return mark_uncovered(prompts, known) if known else prompts


def _pairs_learned(context: StageContext, section: RewardModelStage) -> list[PreferencePair]:
    if section.data in context.pipeline.stages:
        return list(read_records(context.stage_file(section.data, PAIRS), PreferencePair))
    choices = {
        name: getattr(section, name) for name in ("on_identical", "on_empty", "on_context_differs", "on_unreadable")
    }
    return read_pairs(context.pipeline.resolve_path(section.data), **choices).pairs


def check_scored_text(context: StageContext, name: str, chat: ChatFormat) -> None:
    """Hold what a reward model would be given against what its stage says it was trained on: template and ending.

    Raises ModelError where the two differ, token for token.
    """
    trained = read_json(context.stage_file(name, "result.json")).get("scored_text")
    now = scored_text_probe(chat)
    if trained is not None and trained != now:
        raise ModelError(
            f"{context.model_path(name)}: the reward model would be given other text than it was trained on: a probe "
            f"conversation ends in {now['ending']!r} and has the tokens {now['tokens_sha256'][:12]}, in training it "
            f"ended in {trained['ending']!r} with {trained['tokens_sha256'][:12]}. Its chat template or tokenizer was "
            f"changed after the stage {name}; restore them, or run with --from {name}."
        )


def certified_scale(context: StageContext, config: PolicyStage) -> RewardScale:
    """Mean and deviation of the scores that the reward model gave to its held-out responses, times its weight.

    Raises ModelError where its stage held none out.
    """
    (part,), (name,) = reward_parts(config.reward), reward_models(config.reward)  # the config sees to it
    found = read_json(context.stage_file(name, "result.json")).get("held_out_scores")
    if found is None:
        raise ModelError(
            f"stage {context.name}: reward_scale: certificate, but {name} was certified on no held-out responses. Give "
            "it some (held_out_fraction of the preferences stage, or held_out), or set reward_scale: reference."
        )
    return RewardScale(part.weight * found["mean"], abs(part.weight) * found["deviation"])
