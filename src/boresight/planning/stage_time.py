"""Seconds of a stage: arithmetic at the speed that the device reaches, sampling at the speed of its memory."""

import math
from dataclasses import dataclass

from boresight.config.reward_sections import models_of
from boresight.config.sections import (
    AdaptedStage,
    BatchedStage,
    DPOStage,
    KTOStage,
    OptimizedStage,
    PolicyStage,
    PPOStage,
    PretrainStage,
    RewardModelStage,
    SampleStage,
    StageSection,
)
from boresight.config.several_processes import SHARED_KINDS
from boresight.planning.arithmetic import decode_seconds, forward_flops, training_flops
from boresight.planning.calibration import Calibration
from boresight.planning.hardware import Machine
from boresight.planning.queueing import Station
from boresight.planning.shapes import ModelShape
from boresight.planning.stage_memory import ROLLOUT_ROWS
from boresight.planning.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one device reaches, operations and bytes a second, and how many work together."""

    training: float
    scoring: float
    sampling: float
    devices: int
    number_bytes: int
    step_seconds: float
    link: float
    adapted: float = 1.0
    """How many times as long training with adapters takes as its arithmetic does."""

    @classmethod
    def of(cls, machine: Machine, calibration: Calibration, dtype: str, kind: str) -> "Speed":
        """What a machine reaches at a kind of stage, by its catalogued speed and the shares of it that were
        measured."""
        device, count = machine.device, machine.count if kind in SHARED_KINDS else 1
        if device.is_cpu:  # of which the count is that of threads, taken to be worth the same each
            faster = machine.count * (calibration.cpu_lowered if dtype == "bfloat16" else 1.0)
            count = 1
            shares = calibration.cpu_training * faster, calibration.cpu_scoring * faster, calibration.cpu_sampling
            step, adapted = calibration.cpu_step_seconds, calibration.cpu_adapted
        else:
            shares = calibration.gpu_training, calibration.gpu_scoring, calibration.gpu_sampling
            step, adapted = 0.0, 1.0
        return cls(
            training=device.flops * shares[0],
            scoring=device.flops * shares[1],
            sampling=device.bandwidth * shares[2],
            devices=count,
            number_bytes=2 if dtype == "bfloat16" else 4,
            step_seconds=step,
            link=device.link,
            adapted=adapted,
        )


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds by phase; `reward` is the queue in front of a reward model on a device of its own, for policies."""

    sampling: float = 0.0
    scoring: float = 0.0
    training: float = 0.0
    reward: Station | None = None

    @property
    def seconds(self) -> float:
        return self.sampling + self.scoring + self.training


def stage_time(stage: StageSection, shape: ModelShape, work: Workload, speed: Speed) -> StageTime | None:
    """None for stages that take no computing worth the name, or whose work is not the model's (a judge's)."""
    if isinstance(stage, PolicyStage):
        return _policy_time(stage, shape, work, speed)
    if isinstance(stage, SampleStage):
        responses = work.examples * stage.responses_per_prompt * (stage.best_of or 1)
        return StageTime(sampling=_sampling(shape, work, speed, responses, stage.batch_size))
    if isinstance(stage, BatchedStage):
        return _batched_time(stage, shape, work, speed)
    return None


def _batched_time(stage: BatchedStage, shape: ModelShape, work: Workload, speed: Speed) -> StageTime:
    head = not isinstance(stage, RewardModelStage)
    seen, steps = _examples_seen(stage, work)
    training = seen * training_flops(shape, work, head=head, **_kind_of_training(stage)) / _training(stage, speed)
    scoring = 0.0
    if isinstance(stage, DPOStage | KTOStage):  # log-probabilities of the reference, once for each example
        passes = 1 if isinstance(stage, DPOStage) else seen / max(1, work.examples)
        scoring = passes * work.examples * forward_flops(shape, work, head=True) / speed.scoring
    exchanged = _exchange_seconds(stage, shape, work, speed, seen)
    return StageTime(
        scoring=scoring / speed.devices,
        training=max(training / speed.devices, exchanged) + steps * speed.step_seconds,
    )


def _policy_time(stage: PolicyStage, shape: ModelShape, work: Workload, speed: Speed) -> StageTime:
    """A step samples, asks policy, reference, value model and reward models for what they think, and updates policy
    and value model over some epochs. Of several devices each takes its part of the responses; for each question a
    model's weights are gathered."""
    responses = math.ceil(stage.prompts_per_step * stage.responses_per_prompt / speed.devices)
    values = isinstance(stage, PPOStage) and stage.roles != "one_trunk"
    passed = Workload(examples=1, prompt_tokens=work.prompt_tokens, response_tokens=work.response_tokens)
    whole = forward_flops(shape, passed, head=True)
    body = forward_flops(shape, passed, head=False)
    rewards = len(models_of(stage.scored))
    scoring = responses * (2 * whole + (rewards + values) * body) / speed.scoring
    epochs = stage.ppo_epochs if isinstance(stage, PPOStage) else getattr(stage, "rloo_epochs", 1)
    kind = _kind_of_training(stage)
    update = training_flops(shape, passed, head=True, **kind) + (
        training_flops(shape, passed, head=False, **kind) if values else 0.0
    )
    sampling = _sampling(shape, passed, speed, responses, min(ROLLOUT_ROWS, responses))
    station = Station(arrivals=responses / sampling, service=speed.scoring / body) if rewards else None
    steps, updates = stage.steps, epochs * stage.minibatches
    gathering = _gathering_seconds(shape, speed)
    passes = max(1.0, responses / stage.minibatches * work.tokens / (stage.micro_batch_tokens or math.inf))
    exchanged = updates * passes * (1 + values) * 3 * gathering
    learning = responses * epochs * update / _training(stage, speed)
    return StageTime(
        sampling=steps * (sampling + gathering),
        scoring=steps * (scoring + (2 + rewards + values) * gathering),
        training=steps * (max(learning, exchanged) + updates * speed.step_seconds),
        reward=station,
    )


def _sampling(shape: ModelShape, work: Workload, speed: Speed, responses: int, rows: int) -> float:
    """Prompts at the speed of a forward pass, then a token for each row at a time; places are refilled."""
    prompts = Workload(examples=1, prompt_tokens=work.prompt_tokens, response_tokens=0)
    prefill = responses * forward_flops(shape, prompts, head=False) / speed.scoring
    rows = min(rows, responses)
    token = decode_seconds(
        shape,
        rows=rows,
        context=work.prompt_tokens + work.response_tokens / 2,
        number_bytes=speed.number_bytes,
        bandwidth=speed.sampling,
    )
    arithmetic = rows * 2.0 * shape.active_parameters / speed.scoring
    return prefill + math.ceil(responses / rows) * work.response_tokens * max(token, arithmetic)


def _kind_of_training(stage: OptimizedStage) -> dict[str, bool]:
    return {"adapters_only": _is_adapted(stage), "checkpointing": stage.activation_checkpointing}


def _training(stage: OptimizedStage, speed: Speed) -> float:
    """Operations a second of this stage's updates."""
    return speed.training / speed.adapted if _is_adapted(stage) else speed.training


def _is_adapted(stage: OptimizedStage) -> bool:
    return isinstance(stage, AdaptedStage) and stage.lora is not None


def _examples_seen(stage: BatchedStage, work: Workload) -> tuple[float, int]:
    steps: int | None = getattr(stage, "steps", None)
    if steps is not None:
        return steps * stage.batch_size, steps
    epochs: float = getattr(stage, "epochs", None) or 1.0
    return epochs * work.examples, math.ceil(epochs * work.examples / stage.batch_size)


def _exchange_seconds(stage: BatchedStage, shape: ModelShape, work: Workload, speed: Speed, seen: float) -> float:
    """Weights are gathered twice and gradients parted once for each micro-batch, half of a link each way."""
    if speed.devices == 1 or isinstance(stage, PretrainStage):
        return 0.0
    at_once = max(1.0, (stage.micro_batch_tokens or math.inf) / work.tokens)
    batches = seen / speed.devices / min(at_once, stage.micro_batch_size or at_once, stage.batch_size)
    return batches * 3 * _gathering_seconds(shape, speed)


def _gathering_seconds(shape: ModelShape, speed: Speed) -> float:
    """Of all weights of a model, in float32; none are parted on one device."""
    return 4 * shape.parameters * (speed.devices - 1) / speed.devices / (speed.link / 2)
