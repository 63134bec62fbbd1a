"""The stages that make records: sampled responses, labels, preference data."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from boresight.config.judge_sections import AskedJudge
from boresight.config.sections import (
    AILabelsStage,
    LocalModelJudge,
    OpenAIJudge,
    PreferencesStage,
    RewardModelJudge,
    RulesJudge,
    SampleStage,
)
from boresight.data.filters import Dropped, Filters, filter_pairs, marked
from boresight.data.jsonl import read_records, write_records
from boresight.data.preferences import join_pairs, longer_share
from boresight.data.readers import read_pairs
from boresight.data.split import hold_out
from boresight.errors import DataError, PausedError
from boresight.feedback.ai_labels import Labels, choose_couples, comparisons_of, label_responses
from boresight.feedback.calibration import Calibration, load_calibration
from boresight.feedback.calibration_report import self_preference_warning
from boresight.feedback.drift import ask_again, drift_figures, drift_warning
from boresight.feedback.judge_bias import is_kin
from boresight.feedback.judged_couples import couple_of, write_judged
from boresight.feedback.jury import Jury, Verdicts
from boresight.feedback.label_file import estimate_file, estimate_words
from boresight.feedback.label_summary import label_summary, summary_warnings
from boresight.pipeline.answers import answer_prompts, fitting_prompts, limited
from boresight.pipeline.best_of_n import keep_best
from boresight.pipeline.context import StageContext
from boresight.pipeline.hybrid_labels import merge_with_people
from boresight.pipeline.inputs import HELD_OUT, PAIRS, RESPONSES, read_stage_prompts, rows_aside
from boresight.pipeline.judge_roles import build_judge, build_rubric_judge
from boresight.pipeline.revision import revise
from boresight.records import PreferencePair, Response

Result = dict[str, Any]
DROPPED, JUDGED = "dropped.jsonl", "judged.jsonl"
NEAR_BOTH = "near_both_parts"
"""Why a pair is neither trained on nor held out: its prompt is a near duplicate of one in either part."""
COLUMN_FILE = re.compile(r"\.(csv|tsv)(\.gz)?$")  # only in these are columns named by the user


def sample(context: StageContext, config: SampleStage) -> Result:
    """The stage `sample`: several responses to each prompt, with their log-probabilities."""
    models = [config.policy] if isinstance(config.policy, str) else config.policy
    read = fitting_prompts(context, config, models, read_stage_prompts(context))
    prompts = limited(read.records, config.limit, context.seed)
    drawn = config.best_of or 1
    responses: list[Response] = []
    for model in models:
        requests = [
            (f"{prompt.id}/{model}/{i}", prompt, config.temperatures[i // drawn % len(config.temperatures)])
            for prompt in prompts
            for i in range(config.responses_per_prompt * drawn)
        ]
        responses += answer_prompts(context, config, model, requests)
    chosen: Result = {}
    if config.best_of is not None:
        responses, chosen = keep_best(context, config, responses)
    if config.revise is not None:
        responses, revised = revise(context, config, config.revise, responses)
        chosen |= revised
    write_records(context.folder / RESPONSES, responses)
    return {
        "prompts": len(prompts),
        "read": read.read,
        "dropped": read.dropped,
        "responses": len(responses),
        "stop_rate": sum(r.stopped for r in responses) / len(responses),
        "mean_tokens": sum(r.tokens for r in responses) / len(responses),
        **chosen,
    }


def ai_labels(context: StageContext, config: AILabelsStage) -> Result:
    """The stage `ai_labels`: pairs from sampled responses, chosen by a judge. DataError where no pair comes out."""
    responses = read_records(context.stage_file(config.responses, RESPONSES), Response)
    labels, judge, figures = _label(context, config, responses)
    couples = [couple_of(one) for one in labels.compared]
    write_judged(context.folder / JUDGED, couples, judge)
    pairs = labels.pairs
    if config.human_labels:
        verdicts = Verdicts(Jury(judge, couples, [couples]), _calibration(context, config))
        merged = merge_with_people(context, config, verdicts, getattr(config.judge, "clip", 0.0))
        pairs, figures = list(merged.pairs), {**figures, "people": merged.report}
    if not pairs:
        raise DataError(
            f"stage {context.name}: the judge preferred no response to another ({labels.ties} ties, "
            f"{labels.verdict_flips} verdicts that turned with the order, {sum(labels.failed.values())} failed"
            f"{_reasons(figures)}); expected at least one pair. Sample more "
            "responses a prompt, or at a higher temperature."
        )
    write_records(context.folder / PAIRS, pairs)
    return {
        "responses": len(responses),
        "prompts": labels.prompts,
        "pairs": len(pairs),
        "ties": labels.ties,
        "verdict_flips": labels.verdict_flips,
        **figures,
    }


def _label(
    context: StageContext, config: AILabelsStage, responses: list[Response]
) -> tuple[Labels, dict[str, Any], Result]:
    """The labels, who judged, and what a judge that is asked by a rubric tells of itself.

    Where people label too, every judge is shown the couples that a judge who is paid for would be.
    """
    per_prompt = None if config.ranking else config.pairs_per_prompt
    calibration = _calibration(context, config)
    probability = None if calibration is None else calibration.of_compared
    drawn = choose_couples(responses, per_prompt, seed=context.seed)
    if not isinstance(config.judge, OpenAIJudge | LocalModelJudge):
        judge = build_judge(context, config.judge)
        identity = _identity(context, config.judge)
        if calibration is not None:
            calibration.require(identity, str(config.calibration))
        labels = label_responses(
            responses, judge, pairs_per_prompt=per_prompt, probability=probability,
            couples=drawn if config.human_labels else None,
        )  # fmt: skip
        return labels, identity, {"cycles": labels.cycles} if config.ranking else {}
    asked = build_rubric_judge(context, config.judge)
    if config.dry_run:
        estimate = estimate_file(responses, asked, pairs_per_prompt=per_prompt, seed=context.seed)
        raise PausedError(
            f"stage {context.name}: nothing was asked (dry_run). {estimate_words(estimate)} Set dry_run: false and "
            "give the same command to ask."
        )
    drift = {}
    if calibration is not None:
        calibration.require(asked.identity(), str(config.calibration))
        new_batch = asked.estimate(comparisons_of(drawn)).questions > 0
        drift = _look_for_drift(context, config.judge, calibration, new_batch=new_batch)
    labels = label_responses(
        responses,
        asked,
        pairs_per_prompt=per_prompt,
        couples=drawn,
        clip=config.judge.clip,
        meta=asked.identity(),
        probability=probability,
    )
    summary = label_summary(labels, asked)
    policy = context.pipeline.model_path or ""
    name = str(asked.identity()["judge"])
    kin = [self_preference_warning(name, policy)] if is_kin(policy, name) else []
    for line in [*summary_warnings(summary), *kin]:
        context.say(f"{context.name}: {line}")
    return labels, asked.identity(), {"failed": summary["failed"], "judging": summary, **drift}


def _identity(context: StageContext, judge: RulesJudge | RewardModelJudge) -> dict[str, Any]:
    """What tells this judge from another: its settings, and of a reward model its weights."""
    told = {"judge": judge.kind, **judge.model_dump(exclude={"kind"})}
    return told | ({"sha256": context.runs.output_hash(judge.model)} if isinstance(judge, RewardModelJudge) else {})


def _calibration(context: StageContext, config: AILabelsStage) -> Calibration | None:
    return None if config.calibration is None else load_calibration(context.pipeline.resolve_path(config.calibration))


def _look_for_drift(context: StageContext, config: AskedJudge, calibration: Calibration, *, new_batch: bool) -> Result:
    """The sample of the calibration asked again, where it carries one; told where the judge answers otherwise.

    Before each batch it is asked anew. A stage that goes on without a question to ask is told what was answered then.
    """
    if not calibration.audit:
        return {}
    replies = f"drift_replies_{context.name}.sqlite"
    if new_batch:
        for suffix in ("", "-wal", "-shm"):
            (context.runs.root / f"{replies}{suffix}").unlink(missing_ok=True)
    judge = build_rubric_judge(context, config, replies=replies)
    figures = drift_figures(*ask_again(calibration.audit, judge), seed=context.seed)
    if warning := drift_warning(figures):
        context.say(f"{context.name}: {warning}")
    return {"drift": figures}


def _reasons(figures: Result) -> str:
    examples = figures.get("judging", {}).get("failure_examples", {})
    return "".join(f"; {reason}" for reason in examples.values())


def preferences(context: StageContext, config: PreferencesStage) -> Result:
    """The stage `preferences`: sources joined, checked, filtered, split by prompt. DataError where no pair is left."""
    read: dict[str, int] = {}
    dropped: Counter[str] = Counter()
    sources: list[list[PreferencePair]] = []
    for source in config.sources:
        pairs, rows, left_out = _source_pairs(context, config, source)
        read[source] = rows
        dropped.update(left_out)
        sources.append(pairs)
    filtered = filter_pairs(join_pairs(sources), Filters(**config.filters.model_dump()))
    dropped.update(filtered.counts())
    pairs = filtered.kept
    if not pairs:
        raise DataError(
            f"stage {context.name}: no pair is left of {sum(read.values())} rows ({dict(dropped)}); expected some. "
            "Loosen the filters, or give other sources."
        )
    split = hold_out(pairs, config.held_out_fraction, context.seed, config.held_out_groups)
    train, held_out = split.parts["train"], split.parts["held_out"]
    kept = [*train, *held_out]
    aside = [Dropped(pair, NEAR_BOTH) for pair in split.aside]
    dropped.update(item.reason for item in aside)
    write_records(context.folder / PAIRS, train)
    write_records(context.folder / HELD_OUT, held_out)
    write_records(context.folder / DROPPED, [marked(item) for item in (*filtered.dropped, *aside)])
    return {
        "read": read,
        "kept": len(kept),
        "dropped": dict(sorted(dropped.items())),
        "train": len(train),
        "held_out": len(held_out),
        "kinds": dict(sorted(Counter(pair.kind for pair in kept if pair.kind).items())),
        "longer_share": longer_share(kept),
    }


def _source_pairs(
    context: StageContext, config: PreferencesStage, source: str
) -> tuple[list[PreferencePair], int, dict[str, int]]:
    """Pairs of one source, rows read, and what was left out while reading."""
    if source in context.pipeline.stages:
        pairs = read_records(context.stage_file(source, PAIRS), PreferencePair)
        return pairs, len(pairs), {}
    path: Path = context.pipeline.resolve_path(source)
    read = read_pairs(
        path,
        columns={str(field): name for field, name in config.columns.items()} if COLUMN_FILE.search(path.name) else None,
        on_identical=config.on_identical,
        on_empty=config.on_empty,
        on_context_differs=config.on_context_differs,
        on_unreadable=config.on_unreadable,
        aside=rows_aside(context, path),
    )
    return read.pairs, read.rows, read.dropped
