"""What no single field can tell: fields that must fit each other, and stages that must fit together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from boresight.config.idle_settings import idle_rules
from boresight.config.judge_rules import label_rules, price_rules
from boresight.config.problems import Problem, nearest, suggestion
from boresight.config.references import (
    BASE_MODEL,
    FITTING_KINDS,
    MODEL_KINDS,
    Entry,
    circles,
    entries,
    file_entries,
    resolve,
    stage_inputs,
)
from boresight.config.reward_rules import controller_rules, reward_rules
from boresight.config.reward_sections import reward_parts
from boresight.config.sections import (
    AILabelsStage,
    EvaluateStage,
    GateStage,
    ModelSection,
    ORPOStage,
    PolicyStage,
    PPOStage,
    PreferencesStage,
    PreferenceStage,
    PretrainStage,
    RewardModelStage,
    SampleStage,
    SFTStage,
    StageSection,
)


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The parts of a file that hold by themselves, so that faults between stages are told beside faults within."""

    stages: dict[str, StageSection]
    """Stages whose own fields are right."""
    faulty: dict[str, StageSection]
    """The others of a known kind, built without validation: only what they refer to is looked at."""
    kinds: Mapping[str, str]
    """Kind of every stage of the file, also of those with a fault."""
    model: ModelSection
    folder: Path
    """Folder of the pipeline file; `model.path` starts from it."""
    data_root: Path
    """Folder that data paths start from."""


def cross_problems(draft: Draft) -> list[Problem]:
    """Every fault that takes two fields, two stages, or a look at the disk."""
    found = [*_root_problems(draft), *_model_problems(draft), *_circle_problems(draft)]
    for name, stage in (draft.stages | draft.faulty).items():
        own = [*_reference_problems(draft, stage), *_file_problems(draft, stage)]
        if name in draft.stages:
            own.extend(_twice_problems(draft, stage))
            own.extend(problem for kind, rule in FIELD_RULES if isinstance(stage, kind) for problem in rule(stage))
        if name in draft.stages and isinstance(stage, GateStage):
            own.extend(_gate_problems(draft, stage))
        if name in draft.stages and isinstance(stage, RewardModelStage):
            own.extend(_held_out_problems(draft, stage))
        found.extend(Problem(("stages", name, *problem.path), problem.message) for problem in own)
    return found


def _root_problems(draft: Draft) -> Iterator[Problem]:
    if not draft.data_root.is_dir():
        yield Problem(("data", "root"), f"no such folder: {draft.data_root}; correct it, or leave it out")


def _model_problems(draft: Draft) -> Iterator[Problem]:
    path = draft.model.path
    if path is not None and (path.startswith((".", "/", "~")) or path.count("/") > 1):
        folder = resolve(path, draft.folder)
        if not folder.is_dir():
            yield Problem(
                ("model", "path"), f"no such folder: {folder}; give a model folder, or a hub name (owner/name)"
            )
    if BASE_MODEL in draft.kinds:
        yield Problem(
            ("stages", BASE_MODEL), f'"{BASE_MODEL}" stands for model.path and cannot name a stage; choose another name'
        )


def _circle_problems(draft: Draft) -> Iterator[Problem]:
    stages = draft.stages | draft.faulty
    needs = {name: stage_inputs(stage, stages) for name, stage in stages.items()}
    for circle in circles(needs):
        way = " -> ".join([*circle, circle[0]])
        yield Problem(("stages", circle[0]), f"stages wait for each other in a circle: {way}; take one reference out")


def _reference_problems(draft: Draft, stage: StageSection) -> Iterator[Problem]:
    for field in stage.REFERENCES:
        for entry in entries(stage, field):
            if message := _wrong_reference(draft, entry, _fitting(stage, field), field in stage.PATHS):
                yield Problem(entry.path, message)


def _fitting(stage: StageSection, field: str) -> tuple[str, ...]:
    return stage.FITTING.get(field) or FITTING_KINDS[field]


def _wrong_reference(draft: Draft, entry: Entry, fitting: tuple[str, ...], may_be_file: bool) -> str | None:
    """What is wrong with a name: not a stage (nor a file, where one may stand), or a stage of the wrong kind."""
    if entry.text in draft.kinds:
        kind = draft.kinds[entry.text]
        return None if kind in fitting else f'"{entry.text}" is {_a(kind)} stage; expected {_expected(draft, fitting)}'
    if entry.text == BASE_MODEL and fitting == MODEL_KINDS:
        missing = "base_model is the model at model.path, and none is given; set model.path, or name a stage"
        return missing if draft.model.path is None else None
    if may_be_file:
        return _neither(draft, entry.text, fitting)
    return f'no stage "{entry.text}"; {_stage_hint(draft, entry.text, fitting)}'


def _neither(draft: Draft, text: str, fitting: tuple[str, ...]) -> str | None:
    place = resolve(text, draft.data_root)
    if place.exists():
        return None
    hint = f"expected {_expected(draft, fitting)}"
    if meant := nearest(text, [name for name, kind in draft.kinds.items() if kind in fitting]):
        hint = f'did you mean the stage "{meant}"?'  # of the others none could stand here
    elif near := _nearest_file(place):
        hint = f'did you mean the file "{near}"?'
    return f'"{text}" is neither a stage nor a file (looked for {place}); {hint}'


def _stage_hint(draft: Draft, text: str, fitting: tuple[str, ...]) -> str:
    if near := nearest(text, draft.kinds):
        return f'did you mean the stage "{near}"?'
    return f"expected {_expected(draft, fitting)}"


def _expected(draft: Draft, fitting: tuple[str, ...]) -> str:
    here = [name for name, kind in draft.kinds.items() if kind in fitting]
    listed = ", ".join(here) if here else "none in this file"
    kinds = " or ".join(filter(None, (", ".join(fitting[:-1]), fitting[-1])))
    return f"a stage of kind {kinds} (here: {listed})"


def _a(kind: str) -> str:
    """The kind with its article, as the abbreviations are spoken."""
    return f"an {kind}" if kind in ("sft", "rloo", "orpo", "ai_labels", "evaluate") else f"a {kind}"


def _file_problems(draft: Draft, stage: StageSection) -> Iterator[Problem]:
    for entry in file_entries(stage, draft.kinds):
        if entry.field in stage.REFERENCES:
            continue  # told by _reference_problems, with both readings
        place = resolve(entry.text, draft.data_root)
        if place.exists():
            continue
        if entry.text in draft.kinds:
            yield Problem(
                entry.path, f'"{entry.text}" is a stage, and {_a(stage.kind)} stage reads files here; name a file'
            )
        elif draft.data_root.is_dir() or Path(entry.text).is_absolute():
            hint = "" if (near := _nearest_file(place)) is None else f'; did you mean "{near}"?'
            yield Problem(entry.path, f'no such file: "{entry.text}" (looked for {place}){hint}')


def _twice_problems(draft: Draft, stage: StageSection) -> Iterator[Problem]:
    """Stages and files that stand in one list twice, files also under another spelling of their path."""
    for field in dict.fromkeys((*stage.REFERENCES, *stage.PATHS, *stage.LATE_PATHS)):
        first: dict[tuple[object, ...], str] = {}
        for entry in entries(stage, field):
            *place, last = entry.path
            if not isinstance(last, int):
                continue
            is_file = field not in stage.REFERENCES or (field in stage.PATHS and entry.text not in draft.kinds)
            key = (*place, resolve(entry.text, draft.data_root) if is_file else entry.text)
            if key not in first:
                first[key] = entry.text
            elif first[key] == entry.text:
                yield Problem(entry.path, f'"{entry.text}" stands in the list twice; remove one')
            else:
                yield Problem(
                    entry.path, f'"{entry.text}" is the file "{first[key]}", which the list holds already; remove one'
                )


def _nearest_file(place: Path) -> str | None:
    if not place.parent.is_dir():
        return None
    return nearest(place.name, sorted(file.name for file in place.parent.iterdir()))


def _pretrain_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, PretrainStage)
    if stage.hidden_size % (2 * stage.heads):
        yield Problem(
            ("hidden_size",),
            f"{stage.hidden_size} into {stage.heads} heads: the width of a head must be a whole even number; "
            "change hidden_size or heads",
        )
    if stage.sequence_length > stage.context_length:
        yield Problem(
            ("sequence_length",),
            f"{stage.sequence_length} tokens, more than context_length ({stage.context_length}); "
            "raise context_length or shorten the rows",
        )


def _sft_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, SFTStage)
    if stage.epochs is not None and stage.steps is not None:
        yield Problem(("steps",), f"given beside epochs ({stage.epochs:g}); keep one of the two")
    if stage.epochs is None and stage.steps is None:
        yield Problem((), "how long to train is missing; give epochs or steps")


def _preference_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, PreferenceStage)
    size = stage.micro_batch_size
    if stage.gradient_noise_scale and (size is None or 2 * size > stage.batch_size):
        yield Problem(
            ("gradient_noise_scale",),
            "compares the micro-batches of a step, of which there must be two at least; set micro_batch_size, at most "
            f"half of batch_size ({stage.batch_size})",
        )


def _reward_model_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, RewardModelStage)
    sets = ("held_out", *stage.held_out)
    if stage.early_stopping_patience is not None and stage.early_stopping_on not in sets:
        hint = suggestion(stage.early_stopping_on, sets)
        yield Problem(("early_stopping_on",), f'no held-out set "{stage.early_stopping_on}"; {hint}')


def _held_out_problems(draft: Draft, stage: RewardModelStage) -> Iterator[Problem]:
    """Looks at held-out pairs of which there are none: no `preferences` stage holds some out, and none are named."""
    if draft.kinds.get(stage.data) == "preferences":
        source = draft.stages.get(stage.data)
        if not isinstance(source, PreferencesStage) or source.held_out_fraction:
            return
    none = f"but {stage.data} holds no pairs out"
    watched = stage.early_stopping_on == "held_out" and "held_out" not in stage.held_out
    if stage.early_stopping_patience is not None and watched:
        yield Problem(
            ("early_stopping_patience",),
            f"{stage.early_stopping_patience}, {none} that could tell when to stop; name a set under `held_out`, and "
            "it in early_stopping_on, or take this out",
        )
    if stage.evaluate_every is not None and not stage.held_out:
        yield Problem(
            ("evaluate_every",),
            f"{stage.evaluate_every}, {none} to look at; name a set under `held_out`, or take this out",
        )


def _policy_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, PolicyStage)
    responses = stage.prompts_per_step * stage.responses_per_prompt
    if responses % stage.minibatches:
        yield Problem(
            ("minibatches",),
            f"{stage.minibatches} do not divide the {responses} responses of a step (prompts_per_step "
            f"{stage.prompts_per_step} x responses_per_prompt {stage.responses_per_prompt}) into equal parts; "
            "change one of the three",
        )
    yield from reward_rules(stage)
    if stage.roles == "shared" and stage.lora is None:
        yield Problem(
            ("roles",), "shared, but roles share a base as adapters in it; add `lora: {}`, or leave roles out"
        )
    if stage.offload and stage.layout != "separate" and stage.lora is not None:
        yield Problem(("offload",), f"{stage.offload}, but roles: {stage.layout} keeps one base; take it out")
    if stage.canary is not None and reward_parts(stage.canary) == reward_parts(stage.reward):
        yield Problem(("canary",), "the reward itself, which is no second opinion; name another, or take it out")
    if stage.on_finding == "adapt_kl" and not stage.kl_coefficient:
        yield Problem(
            ("on_finding",), "adapt_kl, but kl_coefficient is 0, and no multiple of it is more; give it a value"
        )
    if stage.staleness and stage.importance_correction == "none":
        yield Problem(
            ("importance_correction",),
            f"none, but with staleness {stage.staleness} responses are written by older weights than are trained, and "
            "their gradient is another one without it; take it out, or say truncated",
        )
    if stage.staleness >= stage.steps:
        yield Problem(
            ("staleness",),
            f"{stage.staleness} of {stage.steps} steps: every response would be of the weights at the start; lower it",
        )
    warmup = getattr(stage, "value_warmup_steps", 0)
    if warmup >= stage.steps:
        yield Problem(
            ("value_warmup_steps",),
            f"{warmup} of {stage.steps} steps leave none in which the policy learns; lower it, or raise steps",
        )


def _ppo_rules(stage: StageSection) -> Iterator[Problem]:
    """One trunk has one learning rate and one start; models apart have rates of their own in place of a weight."""
    assert isinstance(stage, PPOStage)
    if stage.roles != "one_trunk":
        if stage.value_coefficient is not None:
            yield Problem(
                ("value_coefficient",),
                f"{stage.value_coefficient:g}, but only roles: one_trunk adds the two losses up; take it out, or set "
                "value_learning_rate",
            )
        return
    trunk = "but on one trunk"
    if stage.value_start == "reward":
        yield Problem(("value_start",), f"reward, {trunk} the value head stands on the policy; take it out")
    if stage.value_learning_rate is not None:
        yield Problem(
            ("value_learning_rate",),
            f"{stage.value_learning_rate:g}, {trunk} there is one rate; take it out, or set value_coefficient",
        )
    if stage.value_warmup_steps:
        yield Problem(
            ("value_warmup_steps",),
            f"{stage.value_warmup_steps}, {trunk} the policy cannot rest while the value head learns; set it to 0",
        )


def _adapter_rules(stage: StageSection) -> Iterator[Problem]:
    lora, quantization = getattr(stage, "lora", None), getattr(stage, "quantization", None)
    if quantization is not None and lora is None:
        yield Problem(("quantization",), f"{quantization} weights cannot be trained; add `lora: {{}}`, or leave it out")
    if lora is not None and lora.dropout and not isinstance(stage, SFTStage | ORPOStage):
        yield Problem(
            ("lora", "dropout"),
            f"{lora.dropout:g}, but {_a(stage.kind)} stage trains without dropout; leave it at 0",
        )


def _sample_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, SampleStage)
    if stage.revise is not None:
        yield from price_rules(stage.revise.by, ("revise", "by"))
    if stage.best_of is not None and stage.reward is None:
        yield Problem(("best_of",), f"{stage.best_of}, but nobody chooses; name a reward_model stage in `reward`")
    if stage.reward is not None and stage.best_of is None:
        yield Problem(("reward",), f'"{stage.reward}" has nothing to choose from; give best_of, or take it out')
    if stage.best_of is not None and 0.0 in stage.temperatures:
        yield Problem(
            ("temperatures",), f"at 0 all {stage.best_of} responses of best_of are the same; give temperatures above 0"
        )


def _evaluate_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, EvaluateStage)
    yield from price_rules(stage.judge)


def _gate_rules(stage: StageSection) -> Iterator[Problem]:
    assert isinstance(stage, GateStage)
    for measure, bounds in stage.measures.items():
        if bounds.min is None and bounds.max is None:
            yield Problem(("measures", measure), "no bound given; give min, max or both")
        elif bounds.min is not None and bounds.max is not None and bounds.min > bounds.max:
            yield Problem(
                ("measures", measure), f"nothing is at least {bounds.min:g} and at most {bounds.max:g}; exchange them"
            )


def _gate_problems(draft: Draft, stage: GateStage) -> Iterator[Problem]:
    evaluation = draft.stages.get(stage.of)
    if not isinstance(evaluation, EvaluateStage):
        return
    if stage.no_worse_probes and not (evaluation.own_probes or evaluation.probe_sets):
        message = f"{stage.of} asks no probes; set its own_probes or probe_sets, or leave this out"
        yield Problem(("no_worse_probes",), message)
    for index, name in enumerate(stage.candidates or ()):
        if name not in evaluation.candidates and name in draft.kinds:
            hint = suggestion(name, evaluation.candidates, "it has")
            yield Problem(("candidates", index), f'"{name}" is not a candidate of {stage.of}; {hint}')


FIELD_RULES: tuple[tuple[type[StageSection], Callable[[StageSection], Iterator[Problem]]], ...] = (
    (PretrainStage, _pretrain_rules),
    (SFTStage, _sft_rules),
    (PreferenceStage, _preference_rules),
    (RewardModelStage, _reward_model_rules),
    (StageSection, idle_rules),
    (StageSection, _adapter_rules),
    (PolicyStage, _policy_rules),
    (PPOStage, controller_rules),
    (PPOStage, _ppo_rules),
    (SampleStage, _sample_rules),
    (AILabelsStage, label_rules),
    (EvaluateStage, _evaluate_rules),
    (GateStage, _gate_rules),
)
