"""The stages that make models: each loads its roles, trains, saves, and says what it did."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from boresight.config.sections import (
    DPOStage,
    KTOStage,
    ORPOStage,
    PreferenceStage,
    PretrainStage,
    RewardModelStage,
    SFTStage,
    SimPOStage,
)
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import (
    EncodedPair,
    EncodedSet,
    encode_all_rated,
    encode_demonstrations,
    encode_pairs,
    probe_mask,
    scored_text_probe,
)
from boresight.errors import DataError, TrainingError
from boresight.evaluation.baselines import fit_baselines
from boresight.evaluation.certificate import certify, require_preferences
from boresight.models.loading import (
    chat_format,
    context_length,
    default_device,
    load_tokenizer,
    save_model,
)
from boresight.models.roles import Policy, StartingPolicy
from boresight.models.tiny import build_llama, train_tokenizer
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import (
    Records,
    add_counts,
    held_out_pairs,
    read_stage_demonstrations,
    read_stage_documents,
    read_stage_pairs,
    read_stage_rated,
)
from boresight.pipeline.model_card import model_card
from boresight.pipeline.trained_models import (
    frozen_reference,
    save_policy,
    save_reward_model,
    spare_memory,
    starting_reference,
    trained_policy,
    trained_reward_model,
)
from boresight.planning.workload import workload_of
from boresight.records import PreferencePair
from boresight.runlog.reader import read_metrics
from boresight.training.comparisons import comparisons
from boresight.training.dpo import train_dpo
from boresight.training.kto import train_kto
from boresight.training.orpo import train_orpo
from boresight.training.pretrain import token_rows, train_pretrain
from boresight.training.reward_model import score_all, train_reward_model
from boresight.training.sft import train_sft
from boresight.training.simpo import train_simpo

Result = dict[str, Any]
LAST_STEPS = 10  # `final` figures are means over this many last steps


def pretrain(context: StageContext, config: PretrainStage) -> Result:
    """The stage `pretrain`: a tokenizer and a small model from text."""
    read = read_stage_documents(context)
    documents = read.records
    tokenizer = train_tokenizer(documents, config.vocabulary_size, config.chat_template)
    rows = token_rows(tokenizer, documents, config.sequence_length)
    model = build_llama(
        tokenizer,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        layers=config.layers,
        heads=config.heads,
        context_length=config.context_length,
        initializer_range=config.initializer_range,
        seed=context.seed,
    ).to(default_device())
    spare_memory(model, config)
    context.workloads.append(workload_of([0] * len(rows), [[rows.shape[1]]] * len(rows)))
    run = context.run()
    train_pretrain(config, model, rows.to(model.device), run)
    save_model(context.folder / "model", model, tokenizer, model_card(context))
    return {
        "documents": len(documents),
        **counts(read),
        "tokens": rows.numel(),
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary_size": len(tokenizer),
        "steps": config.steps,
        "final_loss": final_metrics(context.folder, ["loss/total"])["loss/total"],
    }


def sft(context: StageContext, config: SFTStage) -> Result:
    """The stage `sft`: the mask is checked, then the loop is called."""
    policy = trained_policy(context, config, config.start)
    probe_mask(policy.chat)
    read = read_stage_demonstrations(context)
    encoded = encode_demonstrations(
        policy.chat,
        read.records,
        max_length=config.max_length or context_length(policy.model),
        on_too_long=config.on_too_long,
    )
    _refuse_none(context, encoded)
    trained = [sum(row.response_mask) for row in encoded.rows]
    prompts = [len(row.input_ids) - count for row, count in zip(encoded.rows, trained, strict=True)]
    context.workloads.append(workload_of(prompts, [[count] for count in trained]))
    run = context.run()
    train_sft(config, policy, encoded.rows, run)
    saved = save_policy(context, policy, config.start)
    return {
        "conversations": len(encoded.rows),
        **counts(read, encoded),
        "trained_tokens": sum(trained),
        "steps": _steps(context.folder),
        "final_loss": final_metrics(context.folder, ["loss/total"])["loss/total"],
        **saved,
    }


def reward_model(context: StageContext, config: RewardModelStage) -> Result:
    """The stage `reward_model`: training, then the certificate on held-out pairs."""
    tokenizer = load_tokenizer(context.model_path(config.start))
    chat = chat_format(tokenizer, context.chat_template(config.start))
    probe_mask(chat)
    model, adapter = trained_reward_model(context, config, tokenizer)
    limit = config.max_length or context_length(model)
    read = read_stage_pairs(context, config.data, config)
    encoded = _encode_training_pairs(context, config, chat, read, limit)
    _refuse_none(context, encoded)
    held_out = {
        name: (found, encode_pairs(chat, found.records, max_length=limit, on_too_long=config.on_too_long))
        for name, found in held_out_pairs(context, config).items()
    }
    for name, (found, kept) in held_out.items():  # before anything is paid for
        require_preferences(_pairs_of(kept, found), f"stage {context.name}, set {name}")
    run = context.run()
    stopping = train_reward_model(
        config, model, encoded.rows, run, held_out={name: kept.rows for name, (_, kept) in held_out.items()}
    )
    model, saved = save_reward_model(context, config, model, adapter, tokenizer)
    if not context.processes.first:
        return {}
    baselines = fit_baselines(_pairs_of(encoded, read))  # no pair more than the reward model had
    certificate = {}
    scores: list[float] = []  # of every held-out response
    for name, (found, kept) in held_out.items():
        chosen, rejected = score_all(model, kept.rows)
        scores += [*chosen, *rejected]
        certificate[name] = certify(_pairs_of(kept, found), chosen, rejected, baselines) | {
            "read": sum(found.read.values()),
            "dropped": add_counts(found.dropped, kept.dropped),
        }
    result = {
        "pairs": len(encoded.rows),
        **counts(read, encoded),
        "steps": _steps(context.folder),
        "certificate": certificate,
        "scored_text": scored_text_probe(chat),
        **({"held_out_scores": {"mean": fmean(scores), "deviation": pstdev(scores)}} if scores else {}),
        **_suggested_batch(context.folder),
        **saved,
    }
    if config.rankings != "as_pairs":
        result["examples"] = len(comparisons(encoded.rows, together=True))
    if config.margin_per_strength:
        result["pairs_with_margin"] = sum(bool(pair.strength) for pair in encoded.rows)
    if stopping is None:
        return result
    certificate[config.early_stopping_on]["decided_early_stopping"] = True
    return result | {"early_stopping": {"best_step": stopping.best_step, "best_nll": stopping.best_value}}


def dpo(context: StageContext, config: DPOStage) -> Result:
    """The stage `dpo`: policy and frozen reference are loaded, and the loop is called."""
    policy = trained_policy(context, config, config.policy)
    reference = starting_reference(context, config, policy)
    itself = isinstance(reference, StartingPolicy)
    read, encoded = _encoded_pairs(context, config, policy)
    before = None if itself else reference.fingerprint()
    run = context.run()
    train_dpo(config, policy, reference, encoded.rows, run, cache=context.runs.root / "cache" / "reference_logps")
    if before is not None:
        check_unmoved(before, reference.fingerprint(), "reference")
    saved = save_policy(context, policy, config.policy)
    said = {"reference_is_start": True} if itself else {"reference_unchanged": True}
    return _preference_result(context.folder, read, encoded) | said | saved


def orpo(context: StageContext, config: ORPOStage) -> Result:
    """The stage `orpo`: no reference is loaded."""
    policy = trained_policy(context, config, config.start)
    read, encoded = _encoded_pairs(context, config, policy)
    run = context.run()
    train_orpo(config, policy, encoded.rows, run)
    saved = save_policy(context, policy, config.start)
    soft = sum(pair.p_chosen != 1.0 for pair in encoded.rows)  # ORPO knows no soft labels: it imitates the chosen one
    return _preference_result(context.folder, read, encoded) | {"soft_labels_taken_as_hard": soft} | saved


def simpo(context: StageContext, config: SimPOStage) -> Result:
    """The stage `simpo`: no reference is loaded."""
    policy = trained_policy(context, config, config.start)
    read, encoded = _encoded_pairs(context, config, policy)
    run = context.run()
    train_simpo(config, policy, encoded.rows, run)
    saved = save_policy(context, policy, config.start)
    return _preference_result(context.folder, read, encoded) | saved


def kto(context: StageContext, config: KTOStage) -> Result:
    """The stage `kto`: responses rated one by one, against a frozen reference. DataError unless there are good and bad
    ones."""
    policy = trained_policy(context, config, config.policy)
    reference = frozen_reference(context, config, policy)
    probe_mask(policy.chat)
    read = read_stage_rated(context, config.data, config)
    limit = config.max_length or context_length(policy.model)
    encoded = encode_all_rated(policy.chat, read.records, max_length=limit, on_too_long=config.on_too_long)
    desirable = sum(response.desirable for response in encoded.rows)
    undesirable = len(encoded.rows) - desirable
    if not (desirable and undesirable):
        raise DataError(
            f"stage {context.name}: {desirable} good and {undesirable} bad responses; expected some of both, since "
            "what is pushed one way alone runs off. Give other data."
        )
    context.workloads.append(
        workload_of([len(row.prompt_ids) for row in encoded.rows], [[len(row.response_ids)] for row in encoded.rows])
    )
    before = reference.fingerprint()
    run = context.run()
    train_kto(config, policy, reference, encoded.rows, run)
    check_unmoved(before, reference.fingerprint(), "reference")
    saved = save_policy(context, policy, config.policy)
    return {
        "responses": len(encoded.rows),
        "desirable": desirable,
        "weight_ratio": config.desirable_weight * desirable / (config.undesirable_weight * undesirable),
        **counts(read, encoded),
        "steps": _steps(context.folder),
        "first_loss": read_metrics(context.folder / "metrics.jsonl").series("loss/total", "train")[0][1],
        "final": final_metrics(context.folder),
        "reference_unchanged": True,
        **saved,
    }


def final_metrics(folder: Path, names: Sequence[str] | None = None) -> dict[str, float]:
    """Means over the last steps of the train split, of the named metrics or of all."""
    table = read_metrics(folder / "metrics.jsonl")
    wanted = names if names is not None else table.names
    result = {}
    for name in wanted:
        values = [value for _, value in table.series(name, "train")][-LAST_STEPS:]
        if values:
            result[name] = sum(values) / len(values)
    return result


def _encoded_pairs(
    context: StageContext, config: PreferenceStage, policy: Policy
) -> tuple[Records[PreferencePair], EncodedSet[EncodedPair]]:
    probe_mask(policy.chat)
    read = read_stage_pairs(context, config.data, config)
    limit = config.max_length or context_length(policy.model)
    encoded = _encode_training_pairs(context, config, policy.chat, read, limit)
    _refuse_none(context, encoded)
    return read, encoded


def _encode_training_pairs(
    context: StageContext, config: PreferenceStage, chat: ChatFormat, read: Records[PreferencePair], limit: int | None
) -> EncodedSet[EncodedPair]:
    if config.pair_weights and not any("weight" in pair.meta for pair in read.records):
        raise DataError(
            f"stage {context.name}: pair_weights is true, but none of the {len(read.records)} pairs has a meta.weight. "
            "Write them with `boresight data filter --balance-length reweight`, or take the setting out."
        )
    encoded = encode_pairs(
        chat, read.records, max_length=limit, on_too_long=config.on_too_long, weighted=config.pair_weights
    )
    responses = [[len(row.chosen_ids), len(row.rejected_ids)] for row in encoded.rows]
    context.workloads.append(workload_of([len(row.prompt_ids) for row in encoded.rows], responses))
    return encoded


def _refuse_none(context: StageContext, encoded: EncodedSet[Any]) -> None:
    if not encoded.rows:
        raise DataError(
            f"stage {context.name}: no record is left to train on (left out: {encoded.dropped or 'none'}); expected at "
            "least one. Raise max_length, or give other data."
        )


def _pairs_of(encoded: EncodedSet[EncodedPair], read: Records[PreferencePair]) -> list[PreferencePair]:
    """The pairs that were not left out, in the order of their rows."""
    known = {pair.id: pair for pair in read.records}
    return [known[row.id] for row in encoded.rows]


def _preference_result(folder: Path, read: Records[PreferencePair], encoded: EncodedSet[EncodedPair]) -> Result:
    table = read_metrics(folder / "metrics.jsonl")
    return {
        "pairs": len(encoded.rows),
        **counts(read, encoded),
        "steps": _steps(folder),
        "first_loss": table.series("loss/total", "train")[0][1],
        "final": final_metrics(folder),
        **_suggested_batch(folder),
    }


def _suggested_batch(folder: Path) -> Result:
    """The gradient noise scale at the end, where it was logged: the batch size at which more examples begin to be
    worth less (McCandlish et al. 2018)."""
    name = "optim/gradient_noise_scale"
    found = final_metrics(folder, [name])
    return {"suggested_batch_size": max(1, round(found[name]))} if found else {}


def check_unmoved(before: str, after: str, role: str) -> None:
    """Raises TrainingError where a frozen role's fingerprint is not the same at the end."""
    if before != after:
        raise TrainingError(
            f"the {role} changed during training (fingerprint {before[:12]} before, {after[:12]} after); every figure "
            "that rests on it is void and nothing was saved. This is a fault of boresight: please report it."
        )


def counts(read: Records[Any], encoded: EncodedSet[Any] | None = None) -> Result:
    """Rows read by source, and what was left out of them while reading and while encoding."""
    return {"read": read.read, "dropped": add_counts(read.dropped, encoded.dropped if encoded else {})}


def _steps(folder: Path) -> int:
    return len(read_metrics(folder / "metrics.jsonl").series("loss/total", "train"))
