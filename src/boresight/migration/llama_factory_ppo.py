"""LLaMA-Factory's stage ppo, which stands on the PPO of TRL 0.8 to 0.9, as a `ppo` stage.

That PPO penalises KL by an adaptive coefficient (0.2 at the start, horizon 10,000) towards `ppo_target` nats a
response, with lambda 0.95, gamma 1, both clip ranges 0.2 and value weight 0.1 on one trunk; a rollout batch is
per_device_train_batch_size x gradient_accumulation_steps x ppo_buffer_size prompts, gone through in updates of the
first two factors.
"""

from typing import Any

from boresight.migration.settings import Settings
from boresight.migration.training_arguments import DIFFERS, Batches

SERVICE = "http://127.0.0.1:7010"


def ppo_fields(
    settings: Settings, batch: Batches, epochs: float | None, steps: int | None, assumed: list[str]
) -> dict[str, Any]:
    """Fields of a `ppo` stage but for those of the optimizer and the adapters."""
    buffered = settings.whole("ppo_buffer_size", 1)
    prompts = batch.size * buffered
    if settings.raw("ref_model"):
        settings.name(
            "ref_model", f"the reference is a stage or the base model here; the base model is taken ({DIFFERS})"
        )
    assumed.append(
        "roles: one_trunk, value_coefficient 0.1, kl_coefficient 0.2, kl_horizon 10000 and gae_lambda 0.95 are what "
        "stands under LLaMA-Factory's PPO"
    )
    assumed.append(f"prompts_per_step is that of one device: {prompts}")
    return {
        "policy": "base_model",
        "reference": "base_model",
        "reward": _reward(settings, assumed),
        "roles": "one_trunk",
        "steps": _steps(settings, batch, prompts, epochs, steps, assumed),
        "prompts_per_step": prompts,
        "responses_per_prompt": 1,
        "minibatches": buffered,
        "micro_batch_tokens": None,
        "ppo_epochs": settings.whole("ppo_epochs", 4),
        "max_new_tokens": settings.whole("max_new_tokens", 1024),
        "temperature": settings.number("temperature", 0.95, above=True),
        "kl_coefficient": 0.2,
        "target_kl_per_sequence": settings.number("ppo_target", 6.0, above=True),
        "kl_horizon": 10000.0,
        "reward_scale": "running" if settings.flag("ppo_score_norm") else "none",
        "missing_stop_penalty": None,
        "whiten_rewards": settings.flag("ppo_whiten_rewards"),
        "gamma": 1.0,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "value_clip_range": 0.2,
        "value_coefficient": 0.1,
    }


def _reward(settings: Settings, assumed: list[str]) -> dict[str, Any]:
    """A reward model of its own folder is asked over HTTP: stages of this file made none."""
    model = settings.word("reward_model")
    how = settings.word("reward_model_type", "lora", ("lora", "full", "api"))
    if model is None:
        settings.fault(("reward_model",), None, "the folder of a reward model, or an address")
        return {"kind": "service", "url": SERVICE}
    if how == "api":
        settings.name("reward_model_type", "the service is asked by the contract in docs/ppo.md, which is another")
        if model.startswith(("http://", "https://")):
            return {"kind": "service", "url": model}
        settings.fault(("reward_model",), model, "an address such as http://127.0.0.1:8000 for reward_model_type: api")
        return {"kind": "service", "url": SERVICE}
    if how == "lora":
        settings.name(
            "reward_model_type", "the reward model is a whole model here; merge the adapter: `boresight export`"
        )
    assumed.append(f"the reward model is asked over HTTP; before the run: boresight serve reward {model} --port 7010")
    return {"kind": "service", "url": SERVICE}


def _steps(
    settings: Settings, batch: Batches, prompts: int, epochs: float | None, steps: int | None, assumed: list[str]
) -> int:
    if steps is not None:
        return steps
    if batch.rows is not None and epochs is not None:
        return max(1, int(epochs * -(-batch.rows // prompts)))
    if "num_train_epochs" in settings.keys:
        settings.name(
            "num_train_epochs", "the rows are not at hand to be counted: set steps to epochs x rows / prompts_per_step"
        )
    assumed.append("steps is a guess: set it to epochs x rows / prompts_per_step")
    return 100
