"""Which method fits: every method held against memory, data, time and money, with reasons and the way out."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from boresight.config.sections import DPOStage, PolicyStage, StageSection
from boresight.config.several_processes import SHARED_KINDS
from boresight.planning.case import Case
from boresight.planning.hardware import Machine, catalogue
from boresight.planning.memory import Memory, memory_of
from boresight.planning.method_stages import METHODS, missing_data, stages_of, uses_judge
from boresight.planning.numbers import FORMATS, GIB
from boresight.planning.prediction import beside_frameworks
from boresight.planning.queueing import Station
from boresight.planning.recipe import Recipe, Sharding
from boresight.planning.stage_memory import stage_recipe
from boresight.planning.stage_time import Speed, stage_time
from boresight.planning.workload import Workload

VERDICTS = ("fits", "marginal", "over budget", "does not fit", "lacks data")
ORDERS = {
    "balance": ("dpo", "orpo", "ppo", "rloo", "sft"),
    "quality": ("ppo", "rloo", "dpo", "orpo", "sft"),
}
"""Balance: the simple before the costly. Quality: PPO before DPO (Xu et al. 2024, arXiv:2404.10719; Ivison et al. 2024,
arXiv:2406.09279: up to 2.5 points, at many times the computing)."""
CHECKED_BY_PROGRAM = ("rloo", "ppo", "dpo", "orpo", "sft")
"""Where a program can check answers, no reward model has to be believed: methods that sample come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePlan:
    """One stage of a method: memory on its fullest device, and seconds."""

    name: str
    section: StageSection
    memory: Memory
    gpus: int
    seconds: float
    sampling_seconds: float
    reward: Station | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A method in a case. Where data is missing there are no stages."""

    method: str
    verdict: str
    sections: dict[str, StageSection]
    """All stages of the pipeline."""
    stages: tuple[StagePlan, ...]
    """Those that load a model."""
    reasons: tuple[str, ...]
    ways: tuple[str, ...] = ()
    """What would make it possible, or better."""
    hours: float = 0.0
    cost: float | None = None

    @property
    def feasible(self) -> bool:
        return self.verdict in ("fits", "marginal")

    @property
    def fullest(self) -> StagePlan | None:
        return max(self.stages, key=lambda plan: plan.memory.total, default=None)

    @property
    def peak(self) -> int:
        """Bytes of its fullest stage on one device; 0 without stages."""
        return self.fullest.memory.total if self.fullest else 0


def choose(case: Case) -> list[Option]:
    """All methods, the one to take first."""
    options = [judge_method(case, method) for method in METHODS]
    return sorted(options, key=lambda option: _rank(case, option))


def judge_method(case: Case, method: str, *, with_ways: bool = True) -> Option:
    """One method in the case, with what would make it possible where it is not."""
    lacks = missing_data(case, method)
    if lacks:
        reasons = [f"needs {one}" for one in lacks]
        if case.regulated and "judge" in case.have:
            reasons.append("regulated: a judge's labels may not decide alone, so labels of people are needed")
        ways = tuple(f"collect {one}" for one in lacks)
        return Option(method=method, verdict="lacks data", sections={}, stages=(), reasons=tuple(reasons), ways=ways)
    sections = stages_of(case, method)
    stages = tuple(plan for name, section in sections.items() if (plan := _plan(case, name, section)))
    hours = sum(plan.seconds for plan in stages) / 3600
    cost = None if case.cost_per_gpu_hour is None else hours * case.machine.count * case.cost_per_gpu_hour
    option = Option(method=method, verdict="fits", sections=sections, stages=stages, reasons=(), hours=hours, cost=cost)
    verdict, reasons = _verdict(case, option)
    option = replace(option, verdict=verdict, reasons=tuple(reasons))
    ways = tuple(_ways(case, option)) if with_ways and verdict != "fits" else ()
    return replace(option, ways=ways)


def placed(recipe: Recipe, case: Case, *, gpus: int) -> Recipe:
    """The recipe on the case's devices: shared where there are several, with what frameworks take."""
    on_gpu = not case.machine.device.is_cpu
    sharding = Sharding(gpus=gpus, stage=3) if on_gpu and gpus > 1 else Sharding()
    recipe = replace(beside_frameworks(recipe, case.calibration, on_gpu=on_gpu), sharding=sharding)
    return recipe if case.elsewhere.is_here else _as_elsewhere(recipe, case)


def _as_elsewhere(recipe: Recipe, case: Case) -> Recipe:
    """What another framework would make of it."""
    other = case.elsewhere
    numbers = recipe.numbers if other.formats is None else FORMATS[other.formats]
    if other.eight_bit_optimizer:
        numbers = numbers.with_8bit_optimizer()
    sharding = recipe.sharding
    if other.shard is not None:
        sharding = Sharding(gpus=case.machine.count, stage=other.shard)
    rollout = recipe.rollout
    if rollout is not None:
        rollout = replace(rollout, gathers_whole=False)
    if rollout is not None and other.engine == "colocated":
        rollout = replace(rollout, engine_bytes=2 * recipe.shape.parameters)
    elif rollout is not None and other.engine == "apart":
        rollout = replace(rollout, rows=0)
    return replace(recipe, numbers=numbers, sharding=replace(sharding, optimizer_on_cpu=other.offload), rollout=rollout)


def _plan(case: Case, name: str, section: StageSection) -> StagePlan | None:
    shares = isinstance(section, PolicyStage) and section.lora is not None and section.reward == "scorer"
    gpus = _gpus_of(case, section)
    recipe = stage_recipe(
        section, case.shape, dtype=case.dtype, tokens=case.longest, shares_reward=shares, processes=gpus
    )
    if recipe is None:
        return None
    machine = case.machine if case.machine.device.is_cpu else replace(case.machine, count=gpus)
    speed = Speed.of(machine, case.calibration, case.dtype, section.kind)
    time = stage_time(section, case.shape, _workload(case, section), speed)
    assert time is not None
    return StagePlan(
        name=name,
        section=section,
        memory=memory_of(placed(recipe, case, gpus=gpus)),
        gpus=gpus,
        seconds=time.seconds,
        sampling_seconds=time.sampling,
        reward=time.reward,
    )


def _gpus_of(case: Case, section: StageSection) -> int:
    """How many build the stage together."""
    if case.machine.device.is_cpu or (case.elsewhere.shard is None and _is_for_one(section)):
        return 1
    return case.machine.count


def _is_for_one(section: StageSection) -> bool:
    """Weights in 4 bits are in one process, and kinds that are not shared are built by one."""
    return section.kind not in SHARED_KINDS or getattr(section, "quantization", None) is not None


def _workload(case: Case, section: StageSection) -> Workload:
    return Workload(
        examples=case.prompts if section.kind in ("sample", "ppo", "rloo") else case.examples,
        prompt_tokens=case.prompt_tokens,
        response_tokens=case.response_tokens,
        responses=2 if section.kind in ("reward_model", "dpo", "orpo") else 1,
        longest=case.longest,
    )


def _verdict(case: Case, option: Option) -> tuple[str, list[str]]:
    fullest, usable, comfortable = option.fullest, case.machine.device.usable, case.machine.device.comfortable
    assert fullest is not None
    where = "of memory" if case.machine.device.is_cpu else f"on {_gpus(fullest.gpus)}"
    needs = f"{option.peak / GIB:.1f} GiB {where} in stage {fullest.name} ({fullest.memory.peak.name}), "
    reasons = [needs + f"of {case.machine.device.memory / GIB:.1f}"]
    if option.peak > usable:
        return "does not fit", reasons + list(_why_so_much(case, fullest))
    if case.hours is not None and option.hours > case.hours:
        return "over budget", [f"{option.hours:.1f} hours, of {case.hours:g} at hand", *reasons]
    if case.budget is not None and option.cost is not None and option.cost > case.budget:
        return "over budget", [f"costs {option.cost:.0f}, of {case.budget:g} at hand", *reasons]
    if not case.elsewhere.is_here:
        reasons.append("for another framework: this package does not train so, and the hours are its own")
    reasons += _traits(case, option)
    copied = _with_reference_copied(case, option)
    if copied is not None and copied > comfortable:
        told = "fits only because the reference is asked beforehand and kept as numbers: with a copy of it, "
        return "marginal", [told + f"{copied / GIB:.1f} GiB", *reasons]
    if option.peak > comfortable:
        return "marginal", [f"{100 * option.peak / case.machine.device.memory:.0f} % of the memory", *reasons]
    return "fits", reasons


def _why_so_much(case: Case, plan: StagePlan) -> Iterator[str]:
    """The largest parts of a stage that does not fit, and why it is not shared where there are more GPUs."""
    parts = sorted(plan.memory.peak.parts.items(), key=lambda item: -item[1])[:3]
    yield "largest parts: " + ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts)
    if plan.gpus < case.machine.count and getattr(plan.section, "quantization", None) is not None:
        yield f"weights in 4 bits are for one process, and so {plan.section.kind} runs on one GPU"


def _with_reference_copied(case: Case, option: Option) -> int | None:
    """Peak of DPO whose reference is a model of its own in memory; None where nothing is spared."""
    for plan in option.stages:
        if isinstance(plan.section, DPOStage) and plan.section.lora is None:
            recipe = stage_recipe(plan.section, case.shape, dtype=case.dtype, tokens=case.longest)
            assert recipe is not None
            copied = replace(recipe, roles=replace(recipe.roles, frozen=1))
            return memory_of(placed(copied, case, gpus=plan.gpus)).total
    return None


def _traits(case: Case, option: Option) -> Iterator[str]:
    """What speaks for a method, and against it, in this case."""
    if option.method == "orpo":
        yield "one stage from the base model: no demonstrations, no reference, no reward model"
    elif option.method == "dpo":
        yield "learns from pairs alone; what the policy itself would say is never seen"
    elif option.method == "sft":
        yield "imitates demonstrations; knows nothing of what is worse"
    else:
        yield "learns from its own responses, with a reward that is written down and can be audited"
        reward = next((plan.reward for plan in option.stages if plan.reward is not None), None)
        if reward is not None and reward.busy > 1:
            yield (
                f"apart, one reward model would be asked {reward.busy:.1f} times as fast as it answers: "
                f"{reward.needed} replicas"
            )
        sampling = sum(plan.sampling_seconds for plan in option.stages)
        yield f"{100 * sampling / max(1e-9, option.hours * 3600):.0f} % of the time is sampling"
    if uses_judge(case, option.method):
        yield "labels come from a judge: measure it against people before you believe them"
    elif case.regulated:
        yield "regulated: labels come from people or from rules, and the gate decides by measures"


def _ways(case: Case, option: Option) -> Iterator[str]:
    """The least change of each kind after which the method fits."""
    if option.verdict == "over budget":
        yield from _cheaper(case, option)
        return
    for finetune in ("lora", "qlora"):
        if case.finetune == "full" or (finetune == "qlora" and case.finetune == "lora"):
            changed = judge_method(replace(case, finetune=finetune), option.method, with_ways=False)
            if changed.verdict == "fits":
                roles = ", the roles on one base" if option.method == "ppo" else ""
                yield f"--finetune {finetune}{roles}: {changed.peak / GIB:.1f} GiB"
                break
    if option.method == "ppo" and case.roles is None:
        trunk = judge_method(replace(case, roles="one_trunk"), "ppo", with_ways=False)
        if trunk.verdict == "fits":
            yield f"--roles one_trunk (the value model as a second head, another method): {trunk.peak / GIB:.1f} GiB"
    device = case.machine.device
    if device.is_cpu:
        return
    for count in (2, 4, 8, 16, 32, 64):
        more = replace(case, machine=Machine(count, device))
        if count > case.machine.count and (changed := judge_method(more, option.method, with_ways=False)).feasible:
            yield f"{count}x{device.name}: {changed.peak / GIB:.1f} GiB on each"
            break
    larger = sorted((d for d in catalogue().values() if d.memory > device.memory), key=lambda d: d.memory)
    for other in larger:
        changed = judge_method(
            replace(case, machine=Machine(case.machine.count, other)), option.method, with_ways=False
        )
        if changed.feasible:
            yield f"{case.machine.count}x{other.name}: {changed.peak / GIB:.1f} GiB of {other.memory / GIB:.1f}"
            break


def _cheaper(case: Case, option: Option) -> Iterator[str]:
    limits = []
    if case.hours is not None:
        limits.append(case.hours / option.hours)
    if case.budget is not None and option.cost:
        limits.append(case.budget / option.cost)
    share = min(limits)
    yield f"{100 * share:.0f} % of the examples ({int(case.examples * share):,} of {case.examples:,}, prompts alike)"
    if case.finetune == "full":
        changed = judge_method(replace(case, finetune="lora"), option.method, with_ways=False)
        if changed.feasible:
            yield f"--finetune lora: {changed.hours:.1f} hours"


def _rank(case: Case, option: Option) -> tuple[int, float]:
    order: tuple[str, ...] = CHECKED_BY_PROGRAM if "verifiable" in case.have else ORDERS["balance"]
    if case.prefer == "quality":
        order = ORDERS["quality"]
    place = option.hours if case.prefer == "cost" else float(order.index(option.method))
    if option.method == "sft":  # where there is more than demonstrations, what learns from it comes first
        return max(VERDICTS.index(option.verdict), VERDICTS.index("marginal")), 1e9
    return VERDICTS.index(option.verdict), place


def _gpus(count: int) -> str:
    return "one GPU" if count == 1 else f"each of {count} GPUs"
