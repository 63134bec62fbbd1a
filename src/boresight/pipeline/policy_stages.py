"""The stages that train a policy by what they sample from it: roles loaded, trained, proved, saved."""

from dataclasses import dataclass, replace

from boresight.config.sections import PolicyStage, PPOStage, RLOOStage
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import Records, read_stage_prompts
from boresight.pipeline.policy_roles import PolicyRoles, load_policy_roles, load_value_model, spread_shared_models
from boresight.pipeline.reward_roles import certified_scale, with_coverage
from boresight.pipeline.trained_models import save_policy
from boresight.pipeline.training_stages import Result, check_unmoved, counts, final_metrics
from boresight.planning.workload import workload_of
from boresight.records import Prompt
from boresight.training.guard import findings_told
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_scale import RewardScale, measure_reward_scale
from boresight.training.reward_sources import AnySource
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.rollout import refuse_long_prompts
from boresight.training.run import Run


def ppo(context: StageContext, config: PPOStage) -> Result:
    """The stage `ppo`: roles and rewards are wired, and the loop is called."""
    stage = _policy_stage(context, config)
    value = load_value_model(context, config, stage.roles, stage.scale)
    spread_shared_models(context, stage.roles, value)
    roles = PPORoles(stage.roles.policy, value, stage.roles.reference, stage.roles.reward.source, stage.canary)
    before = stage.fingerprints()
    train_ppo(config, roles, stage.scale, stage.read.records, stage.run)
    return _finish_policy(context, config, stage, before)


def rloo(context: StageContext, config: RLOOStage) -> Result:
    """The stage `rloo`: as `ppo`, without a value model."""
    stage = _policy_stage(context, config)
    spread_shared_models(context, stage.roles, None)
    roles = RLOORoles(stage.roles.policy, stage.roles.reference, stage.roles.reward.source, stage.canary)
    before = stage.fingerprints()
    train_rloo(config, roles, stage.scale, stage.read.records, stage.run)
    return _finish_policy(context, config, stage, before)


@dataclass(frozen=True)
class PolicyParts:
    """What the stages that sample from their policy have in common."""

    roles: PolicyRoles
    scale: RewardScale
    read: Records[Prompt]
    run: Run

    @property
    def canary(self) -> AnySource | None:
        return None if self.roles.canary is None else self.roles.canary.source

    def fingerprints(self) -> dict[str, str]:
        """Of everything that must not move."""
        scorers = [role for role in (self.roles.reward, self.roles.canary) if role is not None]
        named = {f"reward model {name}": found for role in scorers for name, found in role.fingerprints().items()}
        return {"reference": self.roles.reference.fingerprint()} | named


def _policy_stage(context: StageContext, config: PolicyStage) -> PolicyParts:
    read = read_stage_prompts(context)
    roles = load_policy_roles(context, config, read.records)
    lengths = refuse_long_prompts(roles.policy, read.records, config.max_new_tokens)
    context.workloads.append(workload_of(lengths, [[config.max_new_tokens]] * len(lengths)))
    run = context.run()
    scale = (
        certified_scale(context, config)
        if config.reward_scale == "certificate"
        else measure_reward_scale(config, roles.reference, roles.reward.source, read.records, run)
    )
    return PolicyParts(roles, scale, replace(read, records=with_coverage(context, config, read.records)), run)


def _finish_policy(context: StageContext, config: PolicyStage, stage: PolicyParts, before: dict[str, str]) -> Result:
    """Prove that the frozen roles stayed frozen, save the policy, and say how it ended."""
    for role, found in stage.fingerprints().items():
        check_unmoved(before[role], found, role)
    saved = save_policy(context, stage.roles.policy, stage.roles.base)
    if not context.processes.first:
        return {}
    for line in stage.roles.reward.costs():
        context.say(f"{context.name}: {line}")
    return {
        "steps": config.steps,
        "responses": config.steps * config.prompts_per_step * config.responses_per_prompt,
        "final": final_metrics(context.folder),
        "reference_unchanged": True,
        "findings": findings_told(context.folder),
        **(
            {"reward_mean": stage.scale.mean, "reward_deviation": stage.scale.deviation}
            if config.reward_scale != "running"
            else {}
        ),
        **stage.roles.reward.served_models(),
        "roles": stage.roles.said,
        **saved,
        **counts(stage.read),
    }
