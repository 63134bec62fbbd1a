"""Which settings of a policy's reward, and of what holds the policy back, fit each other."""

from collections.abc import Iterator

from boresight.config.judge_rules import price_rules
from boresight.config.problems import Problem
from boresight.config.reward_sections import (
    JudgeReward,
    LengthReward,
    ModelReward,
    reward_models,
    reward_parts,
)
from boresight.config.sections import PolicyStage, PPOStage, StageSection

LARGEST_KL_STEP = 0.2
"""What the adaptive KL controller makes at most of the error of one response, of its coefficient times responses over
the horizon (Ziegler et al. 2019, section 2.2)."""


def reward_rules(stage: PolicyStage) -> Iterator[Problem]:
    """What a policy is paid by, the scale of it, and who samples."""
    if stage.sampler is not None and stage.lora is not None:
        yield Problem(("sampler",), "vllm beside lora; its server is given whole weights, so leave one of the two out")
    models, parts = reward_models(stage.reward), reward_parts(stage.reward)
    if isinstance(stage, PPOStage) and stage.value_source == "reward" and not models:
        yield Problem(("value_start",), "reward, but the reward names no reward_model stage; set value_start: policy")
    if stage.reward_scale == "certificate" and not (len(parts) == 1 and isinstance(parts[0], ModelReward)):
        yield Problem(
            ("reward_scale",), "certificate, which one reward model alone has; set reward_scale: reference or running"
        )
    if stage.reward_scale == "certificate" and stage.length_normalized_reward:
        yield Problem(
            ("reward_scale",),
            "certificate, whose scores are of whole responses, beside length_normalized_reward: true; set "
            "reward_scale: reference or running",
        )
    if stage.length_penalty and stage.length_normalized_reward:
        yield Problem(
            ("length_penalty",), f"{stage.length_penalty:g} beside length_normalized_reward: true; keep one of the two"
        )
    for index, part in enumerate(parts):
        path = ("reward", index) if isinstance(stage.reward, list) else ("reward",)
        if isinstance(part, LengthReward) and part.max_words is not None and part.min_words > part.max_words:
            yield Problem(
                (*path, "min_words"), f"{part.min_words}, more than max_words ({part.max_words}); exchange them"
            )
        if isinstance(part, JudgeReward):
            yield from price_rules(part.judge, (*path, "judge"))


def controller_rules(stage: StageSection) -> Iterator[Problem]:
    """The adaptive coefficient is multiplied at each step, by a number that must stay above 0."""
    assert isinstance(stage, PPOStage)
    if stage.target_kl_per_sequence is None:
        return
    if not stage.kl_coefficient:
        yield Problem(
            ("target_kl_per_sequence",),
            f"{stage.target_kl_per_sequence:g}, but kl_coefficient is 0, and no multiple of it is more; give it a "
            "value to start from",
        )
    responses = stage.prompts_per_step * stage.responses_per_prompt
    if LARGEST_KL_STEP * responses >= stage.kl_horizon:
        yield Problem(
            ("kl_horizon",),
            f"{stage.kl_horizon:g} responses, of which a step has {responses}: one step could take all of the KL "
            f"coefficient away; expected more than {LARGEST_KL_STEP * responses:g} (Ziegler et al. 2019: 10000)",
        )
