"""The stages that a method needs in a case, as sections of a pipeline file: memory, time and the written file are all
of these same sections.
"""

import math
from typing import Any

from boresight.config.sections import (
    AILabelsStage,
    DPOStage,
    ORPOStage,
    PPOStage,
    PreferencesStage,
    RewardModelStage,
    RLOOStage,
    SampleStage,
    SFTStage,
    StageSection,
)
from boresight.planning.case import Case

METHODS = ("sft", "orpo", "dpo", "rloo", "ppo")
BASE = "base_model"
PROMPTS_PER_STEP = 64
JUDGE = {"kind": "openai", "base_url": "http://127.0.0.1:8000/v1", "model": "judge"}


def missing_data(case: Case, method: str) -> list[str]:
    """What the method needs and the case has not, in words."""
    have = case.have
    lacks = []
    if method != "orpo" and not case.tuned and "demonstrations" not in have:
        lacks.append("demonstrations (or a model that was fine-tuned before: --tuned)")
    if method == "sft":
        return [] if "demonstrations" in have else ["demonstrations"]
    compared = _has_pairs(case) or _can_label(case)
    if method in ("orpo", "dpo") and not compared:
        lacks.append("pairs or rankings (or prompts and a judge, where AI labels may decide)")
    if method in ("ppo", "rloo"):
        if not (compared or "verifiable" in have):
            lacks.append("pairs for a reward model, or verifiable prompts")
        if prompts_path(case) is None:
            lacks.append("prompts")
    return lacks


def stages_of(case: Case, method: str) -> dict[str, StageSection]:
    """By name, in order. The data must be at hand (`missing_data`)."""
    stages: dict[str, StageSection] = {}
    start = BASE
    if method == "sft" or ("demonstrations" in case.have and not case.tuned and method != "orpo"):
        stages["demo"] = SFTStage(
            kind="sft", start=BASE, data=case.have["demonstrations"], epochs=case.epochs, **_training(case, 2e-5)
        )
        start = "demo"
    if method == "sft":
        return stages
    needs_pairs = method in ("orpo", "dpo") or not _is_verifiable(case)
    data = _pair_stages(case, stages, start) if needs_pairs else ""
    if method == "orpo":
        stages["orpo"] = ORPOStage(kind="orpo", start=start, data=data, epochs=case.epochs, **_training(case, 8e-6))
    elif method == "dpo":
        stages["dpo"] = DPOStage(
            kind="dpo", policy=start, reference=start, data=data, epochs=case.epochs, **_training(case, 5e-7)
        )
    else:
        _policy_stages(case, method, stages, start, data)
    return stages


def prompts_path(case: Case) -> str | None:
    """Prompts that a policy can be trained on; those of pairs do as well."""
    for kind in ("verifiable", "prompts", "pairs", "rankings"):
        if kind in case.have:
            return case.have[kind]
    return None


def uses_judge(case: Case, method: str) -> bool:
    """Whether the labels would be a language model's alone."""
    return (
        method in ("orpo", "dpo", "ppo", "rloo")
        and not _has_pairs(case)
        and not (method in ("ppo", "rloo") and _is_verifiable(case))
    )


def _pair_stages(case: Case, stages: dict[str, StageSection], start: str) -> str:
    """Adds the stages that make pairs; the name of the last."""
    source = case.have.get("pairs") or case.have.get("rankings")
    if source is None:
        prompts = prompts_path(case)
        assert prompts is not None
        stages["drafts"] = SampleStage(
            kind="sample", policy=start, prompts=prompts, responses_per_prompt=4, temperatures=[0.7, 1.0],
            max_new_tokens=case.max_new_tokens,
        )  # fmt: skip
        stages["labels"] = AILabelsStage.model_validate({"kind": "ai_labels", "responses": "drafts", "judge": JUDGE})
        source = "labels"
    stages["pairs"] = PreferencesStage(kind="preferences", sources=[source])
    return "pairs"


def _policy_stages(case: Case, method: str, stages: dict[str, StageSection], start: str, data: str) -> None:
    reward: Any = {"kind": "answer"}
    if data:
        together = {"rankings": "pairwise"} if "rankings" in case.have and "pairs" not in case.have else {}
        stages["scorer"] = RewardModelStage.model_validate(
            {"kind": "reward_model", "start": start, "data": data, **_training(case, 1e-5), **together}
        )
        reward = "scorer"
    kind = PPOStage if method == "ppo" else RLOOStage
    settings: dict[str, Any] = {
        "kind": method,
        "policy": start,
        "reference": start,
        "reward": reward,
        "prompts": prompts_path(case),
        "prompts_per_step": min(PROMPTS_PER_STEP, case.prompts),
        "steps": max(1, math.ceil(case.epochs * case.prompts / PROMPTS_PER_STEP)),
        "max_new_tokens": case.max_new_tokens,
        **_training(case, 1e-6, batch=False),
    }
    if method == "ppo" and reward != "scorer":
        settings["value_start"] = "policy"  # there is no reward model whose weights it could start from
    if case.roles is not None and (method == "ppo" or case.roles != "one_trunk"):
        settings["roles"] = case.roles
    stages[method] = kind.model_validate(settings)


def _training(case: Case, rate: float, *, batch: bool = True) -> dict[str, Any]:
    """A GPU wants blocks recomputed rather than kept; adapters a rate about ten times that of full training."""
    settings: dict[str, Any] = {"learning_rate": rate if case.finetune == "full" else 10 * rate}
    if batch:
        settings["max_length"] = case.longest
    if not case.machine.device.is_cpu:
        settings["activation_checkpointing"] = True
    if case.finetune != "full":
        settings["lora"] = {"rank": case.rank, "alpha": 2 * case.rank}
    if case.finetune == "qlora":
        settings["quantization"] = "4bit"
    return settings


def _has_pairs(case: Case) -> bool:
    return "pairs" in case.have or "rankings" in case.have


def _is_verifiable(case: Case) -> bool:
    return "verifiable" in case.have


def _can_label(case: Case) -> bool:
    return "judge" in case.have and prompts_path(case) is not None and not case.regulated
