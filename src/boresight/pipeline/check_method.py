"""Classic mistakes of alignment that a pipeline shows before it runs; no model and no torch is needed to see them."""

from collections.abc import Iterable, Iterator

from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.sections import (
    DPOStage,
    EvaluateStage,
    GateStage,
    KTOStage,
    PolicyStage,
    PPOStage,
    PreferenceStage,
    RewardModelStage,
    RulesJudge,
    SimPOStage,
)
from boresight.data.preferences import prompt_key
from boresight.evaluation.probe_measures import MEASURES
from boresight.pipeline.check_data import PipelineData, StageData
from boresight.pipeline.check_findings import Finding
from boresight.pipeline.check_lineage import is_fine_tuned
from boresight.records import Messages

TINY_KL = 0.01
"""Reward deviations a nat; published runs take 0.02 to 0.2, and far below that the penalty hardly binds."""
FEW_PAIRS = 16
"""Pairs in one optimizer step; published reward models and DPO runs take 32 to 512."""
EXAMPLES = 3


def method_findings(pipeline: Pipeline, data: PipelineData) -> list[Finding]:
    """All of them, stage by stage in the order they run."""
    found: list[Finding] = []
    for name, stage in pipeline.stages.items():
        found.extend(_start_findings(pipeline, name))
        if isinstance(stage, PolicyStage):
            found.extend(_kl_findings(name, stage))
        if isinstance(stage, PreferenceStage) and stage.batch_size < FEW_PAIRS:
            found.append(_small_batch(name, stage.batch_size))
        if isinstance(stage, EvaluateStage):
            found.extend(_contamination(pipeline, data, name))
        if isinstance(stage, RewardModelStage):
            found.extend(_held_out_pairs(pipeline, data, name))
        if isinstance(stage, GateStage):
            found.extend(_unknown_measures(pipeline, data, name, stage))
    return found


def _start_findings(pipeline: Pipeline, name: str) -> Iterator[Finding]:
    stage = pipeline.stages[name]
    if isinstance(stage, RewardModelStage):
        yield from _tuning(pipeline, name, "reward_model_not_fine_tuned", "the reward model starts from", stage.start)
    if isinstance(stage, SimPOStage):
        yield from _tuning(pipeline, name, "policy_not_fine_tuned", "the policy starts from", stage.start)
    if not isinstance(stage, PolicyStage | DPOStage | KTOStage):
        return
    yield from _tuning(pipeline, name, "policy_not_fine_tuned", "the policy starts from", stage.policy)
    if stage.policy != stage.reference:
        yield Finding(
            "reference_differs",
            "warning",
            name,
            f"the policy starts from {stage.policy}, the reference is {stage.reference}: the KL to it is not 0 at the "
            "start, so the penalty pulls away from where training begins. Name the same stage in both.",
        )


def _tuning(pipeline: Pipeline, name: str, finding_id: str, what: str, start: str) -> Iterator[Finding]:
    tuned = is_fine_tuned(pipeline, start)
    if tuned is False:
        yield Finding(
            finding_id,
            "error",
            name,
            f"{what} {start}, which was never fine-tuned on demonstrations: it goes on with a text instead of "
            "answering. Put an sft stage before this one and start from that.",
        )
    elif tuned is None and start == BASE_MODEL:
        yield Finding(
            "start_unknown",
            "note",
            name,
            f"{what} {pipeline.model_path}, of which only the name is known here; make sure that it is a fine-tuned "
            "model.",
        )


def _kl_findings(name: str, stage: PolicyStage) -> Iterator[Finding]:
    if stage.kl_coefficient >= TINY_KL:
        return
    steered = isinstance(stage, PPOStage) and stage.target_kl_per_sequence is not None and stage.kl_coefficient > 0
    if not steered:
        yield Finding(
            "kl_coefficient_low",
            "warning",
            name,
            f"kl_coefficient is {stage.kl_coefficient:g}: next to nothing holds the policy to the reference, and it "
            "will find what the reward model likes by mistake. Set 0.02 to 0.2, or give target_kl_per_sequence.",
        )


def _small_batch(name: str, batch_size: int) -> Finding:
    return Finding(
        "batch_small",
        "warning",
        name,
        f"batch_size is {batch_size} pairs a step: the gradient of a preference loss is noisy at that size. Take 32 or "
        "more, with micro_batch_size where memory is short (the sum stays the same).",
    )


def _contamination(pipeline: Pipeline, data: PipelineData, name: str) -> Iterator[Finding]:
    """Held-out prompts on which a compared model, or what it rests on, was trained."""
    ancestors = pipeline.ancestors(name)
    held_out = {prompt_key(prompt.messages): prompt.id for prompt in data.stages[name].prompts}
    for ancestor in ancestors:
        trained = {prompt_key(prompt) for prompt in _trained_prompts(data.stages[ancestor])}
        yield from _seen(name, [held_out[key] for key in held_out if key in trained], len(held_out), ancestor)


def _held_out_pairs(pipeline: Pipeline, data: PipelineData, name: str) -> Iterator[Finding]:
    """Prompts of the named held-out pairs that stand in the pairs which the reward model learns from."""
    held_out = {prompt_key(pair.prompt): pair.id for pair in data.stages[name].held_out}
    for source in (name, *pipeline.stage_inputs(name)):
        trained = {prompt_key(pair.prompt) for pair in data.stages[source].pairs}
        yield from _seen(name, [held_out[key] for key in held_out if key in trained], len(held_out), source)


def _seen(name: str, ids: list[str], total: int, source: str) -> Iterator[Finding]:
    if ids:
        listed = ", ".join(ids[:EXAMPLES]) + (", …" if len(ids) > EXAMPLES else "")
        yield Finding(
            "held_out_contamination",
            "warning",
            name,
            f"{len(ids)} of {total} held-out prompts ({listed}) also stand in the training data of {source}; what is "
            "measured on them is memory. Take them out of one of the two.",
        )


def _trained_prompts(data: StageData) -> Iterable[Messages]:
    yield from (prompt.messages for prompt in data.prompts)
    yield from (pair.prompt for pair in data.pairs)
    yield from (rated.prompt for rated in data.rated)
    for demonstration in data.demonstrations:
        for index, message in enumerate(demonstration.messages):
            if message.role == "assistant" and index > 0:
                yield demonstration.messages[:index]


def _unknown_measures(pipeline: Pipeline, data: PipelineData, name: str, gate: GateStage) -> Iterator[Finding]:
    """Measures that no prompt of the evaluation has a rule of: the gate could only fail, after all the computing."""
    evaluation = pipeline.stages[gate.of]
    prompts = data.stages[gate.of].prompts
    if not prompts or not isinstance(evaluation, EvaluateStage):
        return
    known = {"mean_tokens", "stop_rate"}
    if evaluation.own_probes or evaluation.probe_sets:
        known |= set(MEASURES)
    for prompt in prompts:
        rules = (prompt.expect or {}).get("rules")
        known.update(
            rule["name"] for rule in rules or () if isinstance(rule, dict) and isinstance(rule.get("name"), str)
        )
    for measure in gate.measures.keys() - known:
        wanted = "no rule of that name" if isinstance(evaluation.judge, RulesJudge) else "no such rule"
        yield Finding(
            "measure_unknown",
            "error",
            name,
            f"measures.{measure}: the prompts of {gate.of} have {wanted}; known: {', '.join(sorted(known))}.",
        )
