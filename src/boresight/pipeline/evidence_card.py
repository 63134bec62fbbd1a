"""MODEL_CARD.md beside every model that a run made: what it is, what the run found out about it, what it rests on.

The README.md inside the model's folder is written when the model is saved, before anybody has judged it, and is part of
what later stages are keyed by. This card stands beside that folder and is written with the report, from the same files:
equal runs write equal cards.
"""

from collections.abc import Sequence
from pathlib import Path

from boresight.data.wording import counted, percent
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord, measures_of
from boresight.pipeline.report_verdict import certificate_sets, gate_bounds
from boresight.pipeline.report_words import Rate, interval_text, number_text, plain
from boresight.storage import write_text

PURPOSE = {
    "pretrain": "A small base language model trained from nothing by next-token prediction.",
    "sft": "A language model fine-tuned on demonstrations.",
    "reward_model": "A Bradley-Terry reward model: one score for a whole conversation, read at the stop token.",
    "ppo": "A language model aligned with proximal policy optimisation against a reward model.",
    "rloo": "A language model aligned with REINFORCE and a leave-one-out baseline against a reward model.",
    "dpo": "A language model aligned with direct preference optimisation.",
    "orpo": "A language model aligned with odds-ratio preference optimisation.",
    "simpo": "A language model aligned with simple preference optimisation (SimPO).",
    "kto": "A language model aligned with Kahneman-Tversky optimisation.",
}
"""What each kind of stage that makes a model makes."""

CARD = "MODEL_CARD.md"
SHORT_HASH = 16
_CURVES = (
    "loss/total",
    "loss/preference",
    "reward/score",
    "reward/accuracy",
    "reward/margin",
    "policy/kl_to_reference",
)


def write_cards(run: RunRecord) -> list[Path]:
    """One card for each finished stage that made a model."""
    paths = []
    for stage in run.finished(*PURPOSE):
        path = stage.folder / CARD
        write_text(path, evidence_card(run, stage))
        paths.append(path)
    return paths


def evidence_card(run: RunRecord, stage: StageRecord) -> str:
    """Markdown; every number stands in the run folder."""
    lines = [f"# {run.name}: {stage.name}", "", PURPOSE[stage.kind], "", *_verdict(run, stage)]
    for title, rows in (
        ("Found in blind comparison", _comparisons(run, stage)),
        ("Measured on held-out prompts", _measures(run, stage)),
        ("Certificate on held-out pairs", _certificate(stage)),
        ("At the end of training", _training(stage)),
    ):
        if rows:
            lines += [f"## {title}", "", *rows, ""]
    lines += ["## Made from", "", *_lineage(run, stage), "", "## Limits", "", *_limits(run, stage), ""]
    return "\n".join(lines)


def _verdict(run: RunRecord, stage: StageRecord) -> list[str]:
    """What the gates decided of this model, if any judged it."""
    checks = [c for g in run.finished("gate") for c in g.outcome["checks"] if c["candidate"] == stage.name]
    if not checks:
        return []
    failed = [check["reason"] for check in checks if not check["passed"]]
    if not failed:
        return [f"**Passed the gate:** all {counted(len(checks), 'check')} hold.", ""]
    return [f"**Did not pass the gate:** {'; '.join(failed)}.", ""]


def _comparisons(run: RunRecord, stage: StageRecord) -> list[str]:
    rows = []
    for evaluation in run.finished("evaluate"):
        result = evaluation.outcome["candidates"].get(stage.name)
        if result is not None:
            judge = str(evaluation.outcome.get("judge", {}).get("kind", "a judge")).replace("_", " ")
            rows.append(
                f"- `{evaluation.name}`: against `{evaluation.outcome['baseline']}`, judged by {judge} in both orders: "
                f"{_rate(result, 'win_rate')}; {result['wins']} won, {result['losses']} lost, {result['ties']} tied."
            )
            rows += [f"  - {plain(kind)}: {_rate(own, 'win_rate')}" for kind, own in result.get("by_kind", {}).items()]
    return rows


def _measures(run: RunRecord, stage: StageRecord) -> list[str]:
    rows = []
    bounds = {bound.measure: f"{bound.direction}. {bound.value:g}" for bound in gate_bounds(run)}
    for evaluation in run.finished("evaluate"):
        for name, own in measures_of(evaluation, stage.name).items():
            bound = f" (gate: {bounds[name]})" if name in bounds else ""
            rows.append(f"- `{evaluation.name}`: {plain(name)} {_rate(own, 'value')}{bound}")
    return rows


def _certificate(stage: StageRecord) -> list[str]:
    if "certificate" not in stage.outcome:
        return []
    rows = []
    for name, block in certificate_sets(stage):
        length = percent(block["length_only"]["accuracy"])
        rows.append(
            f"- {plain(name)}: ranks {_rate(block, 'accuracy')} of the pairs as labelled, where length alone gets "
            f"{length}; calibration error {number_text(block['ece'])}."
        )
        rows += [f"  - {plain(kind)}: {_rate(own, 'accuracy')}" for kind, own in block["by_kind"].items()]
    return rows


def _training(stage: StageRecord) -> list[str]:
    rows = []
    for name in _CURVES:
        value = stage.metrics.last(name)
        if value is not None:
            rows.append(f"- {name}: {number_text(value)}")
    if stage.outcome.get("reference_unchanged"):
        rows.append("- The reference's weights were the same at the end.")
    return rows


def _lineage(run: RunRecord, stage: StageRecord) -> list[str]:
    manifest = stage.manifest
    versions = ", ".join(f"{library} {version}" for library, version in manifest["versions"].items())
    rows = ["| input | what | content (SHA-256) |", "|---|---|---|"]
    sources: Sequence[tuple[str, Json]] = [(f, s) for f, found in manifest["inputs"].items() for s in found]
    rows += [
        f"| {f} | {str(s.get('stage') or s['path']).rsplit('/', 1)[-1]} | `{s['sha256'][:SHORT_HASH]}` |"
        for f, s in sources
    ]
    told = f"Stage `{stage.name}` (`{stage.kind}`), seed {manifest['seed']}, key `{manifest['key'][:SHORT_HASH]}`, "
    return [*rows, "", f"{told}{versions}. Settings: config.json in this folder."]


def _limits(run: RunRecord, stage: StageRecord) -> list[str]:
    """What the run does not know of this model."""
    judged = [e for e in run.finished("evaluate") if stage.name in e.outcome.get("models", {})]
    if stage.kind == "reward_model":
        if "certificate" not in stage.outcome:
            return ["- It was held against no held-out pairs: nothing is known of its accuracy."]
        return ["- It is known on prompts like its held-out pairs alone; a policy that moves away leaves that ground."]
    if not judged:
        return ["- It was not evaluated in this run: nothing here says how good its answers are."]
    asked = ", ".join(counted(int(e.outcome["prompts"]), "prompt") + f" in `{e.name}`" for e in judged)
    return [f"- What is said here rests on {asked}, and holds for prompts like these."]


def _rate(record: Json, key: str) -> str:
    rate = Rate.read(record, key)
    facts = [interval_text(rate)] if rate.low is not None else []
    facts += [f"n = {rate.n:,}"] if rate.n is not None else []
    return percent(rate.value) + (f" ({', '.join(facts)})" if facts else "")
