"""Settings that say how something is done which another setting leaves undone: they would have no effect."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from boresight.config.judge_sections import EndpointSection, ReviseSection, RubricSection
from boresight.config.problems import Problem, show
from boresight.config.references import each
from boresight.config.reward_sections import EnsembleReward, JudgeReward, models_of
from boresight.config.sections import (
    AILabelsStage,
    DPOStage,
    OptimizedStage,
    PairFilters,
    PolicyStage,
    PPOStage,
    PreferencesStage,
    RewardModelStage,
    Section,
    StageSection,
)
from boresight.config.yaml_text import KeyPath


class Idle(NamedTuple):
    """A setting of a section without effect where `when` holds; the message is `VALUE, but WHY; CURE`."""

    section: type[Section]
    field: str
    when: Callable[[Any], bool]
    why: str
    cure: str = "take it out"


GIVE = "give it, or take this out"

IDLE_SETTINGS = (
    Idle(OptimizedStage, "final_rate_fraction", lambda stage: stage.schedule == "constant",
         "schedule: constant stays at the peak", "take it out, or take another schedule"),
    Idle(PreferencesStage, "held_out_groups", lambda stage: stage.held_out_fraction == 0,
         "held_out_fraction is 0", GIVE),
    Idle(PairFilters, "length_unit", lambda filters: filters.max_length_ratio is None,
         "there is no max_length_ratio", GIVE),
    Idle(AILabelsStage, "audit_share", lambda stage: stage.human_share == 0,
         "human_share, of which it is a part, is 0", GIVE),
    Idle(RewardModelStage, "early_stopping_on", lambda stage: stage.early_stopping_patience is None,
         "nothing stops early without early_stopping_patience", GIVE),
    Idle(RewardModelStage, "label_smoothing", lambda stage: stage.rankings == "listwise",
         "rankings: listwise knows no pairs", "set it to 0"),
    Idle(RewardModelStage, "margin_per_strength", lambda stage: stage.rankings == "listwise",
         "rankings: listwise knows no pairs", "set it to 0"),
    Idle(RewardModelStage, "pair_weights", lambda stage: stage.rankings == "listwise",
         "rankings: listwise knows no pairs"),
    Idle(DPOStage, "label_smoothing", lambda stage: stage.loss == "ipo",
         "loss: ipo has no use for it", "set it to 0"),
    Idle(PolicyStage, "canary_every", lambda stage: stage.canary is None,
         "there is no canary", GIVE),
    Idle(PolicyStage, "offload", lambda stage: "reward" in stage.offload and not models_of(stage.scored),
         "no reward model scores", "take reward out"),
    Idle(PolicyStage, "kl_estimator", lambda stage: stage.kl_coefficient == 0,
         "kl_coefficient is 0", GIVE),
    Idle(PolicyStage, "missing_stop", lambda stage: not stage.missing_stop_penalty,
         "there is no missing_stop_penalty", GIVE),
    Idle(PolicyStage, "normalization_prompts", lambda stage: stage.reward_scale != "reference",
         "only reward_scale: reference measures on them"),
    Idle(PolicyStage, "length_penalty_from", lambda stage: stage.length_penalty == 0,
         "there is no length_penalty", GIVE),
    Idle(PolicyStage, "importance_cap", lambda stage: stage.correction == "none",
         "there is no correction", "set importance_correction: truncated, or take this out"),
    Idle(PolicyStage, "adapt_kl_limit", lambda stage: stage.on_finding != "adapt_kl",
         "only on_finding: adapt_kl raises the coefficient"),
    Idle(PPOStage, "kl_horizon", lambda stage: stage.target_kl_per_sequence is None,
         "without target_kl_per_sequence the coefficient is fixed", GIVE),
    Idle(EnsembleReward, "deviation_weight", lambda reward: reward.combine != "mean_minus_deviation",
         "only combine: mean_minus_deviation takes it off"),
    Idle(JudgeReward, "judge.clip", lambda reward: True,
         "a score is no label"),
    Idle(RubricSection, "rubric", lambda judge: judge.rubric_file is not None,
         "rubric_file stands in its place", "keep one of the two"),
    Idle(ReviseSection, "constitution", lambda revise: revise.constitution_file is not None,
         "constitution_file stands in its place", "keep one of the two"),
    Idle(ReviseSection, "temperature", lambda revise: isinstance(revise.by, EndpointSection),
         "an endpoint has its own", "set by.temperature"),
    Idle(ReviseSection, "max_new_tokens", lambda revise: isinstance(revise.by, EndpointSection),
         "an endpoint has its own", "set by.max_tokens"),
)  # fmt: skip


def idle_rules(stage: StageSection) -> Iterator[Problem]:
    """Settings of a stage, and of the sections in it, that have no effect. One that has its default is no fault: a
    run's own copy of its settings holds them all."""
    for path, section in _sections((), stage):
        for idle in IDLE_SETTINGS:
            if isinstance(section, idle.section) and idle.when(section):
                keys = tuple(idle.field.split("."))
                value, default = _value_and_default(section, keys)
                if value != default:
                    yield Problem((*path, *keys), f"{_shown(value)}, but {idle.why}; {idle.cure}")


def _sections(path: KeyPath, section: Section) -> Iterator[tuple[KeyPath, Section]]:
    """The section, and all within it, with their paths."""
    yield path, section
    fields = [((*path, name), getattr(section, name)) for name in type(section).model_fields]
    for place, value in each(fields, mappings=True):
        if isinstance(value, Section):
            yield from _sections(place, value)


def _value_and_default(section: Section, keys: tuple[str, ...]) -> tuple[Any, Any]:
    *outer, name = keys
    for key in outer:
        section = getattr(section, key)
    return getattr(section, name), type(section).model_fields[name].default


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else show(value)
