"""What a run came to, stage by stage: for people, and as one JSON object. This module loads no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boresight.data.wording import percent as percent_text
from boresight.pipeline.report_words import Rate, interval_text, number_text
from boresight.storage import read_json
from boresight.tables import Table

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The finished stages of a run that are to be told, with their kinds; `built` are those made just now."""

    folder: Path
    name: str
    kinds: Mapping[str, str]
    built: tuple[str, ...]
    gates: Mapping[str, bool]

    @property
    def passed(self) -> bool:
        return all(self.gates.values())

    def result(self, stage: str) -> Json:
        """The `result.json` of a stage."""
        found: Json = read_json(self.folder / "stages" / stage / "result.json")
        return found


def stage_table(summary: Summary) -> Table:
    """A line for each stage; evaluations and gates have one for each candidate or failed check."""
    rows = [["stage", "kind", "state", "result"]]
    for name, kind in summary.kinds.items():
        lines = HEADLINES[kind](summary.result(name))
        rows.append([name, kind, "built" if name in summary.built else "kept", lines[0]])
        rows.extend(["", "", "", line] for line in lines[1:])
    return Table(rows)


def as_object(summary: Summary, report: Path) -> dict[str, Any]:
    """The keys of `boresight run --json`; `report` is the page of the run."""
    return {
        "run": str(summary.folder),
        "name": summary.name,
        "passed": summary.passed,
        "gates": dict(summary.gates),
        "built": list(summary.built),
        "reused": [name for name in summary.kinds if name not in summary.built],
        "report": str(report),
        "results": {name: summary.result(name) for name in summary.kinds},
    }


def _pretrain(result: Json) -> list[str]:
    return [
        f"{result['parameters']:,} parameters, {result['vocabulary_size']:,} tokens in the vocabulary, "
        f"loss {number_text(result['final_loss'])} nats a token"
    ]


def _sft(result: Json) -> list[str]:
    return [
        f"{result['conversations']:,} conversations, loss {number_text(result['final_loss'])} nats a token"
        + _dropped(result)
    ]


def _sample(result: Json) -> list[str]:
    stopped = percent_text(result["stop_rate"])
    return [f"{result['responses']:,} responses to {result['prompts']:,} prompts, {stopped} stopped"]


def _ai_labels(result: Json) -> list[str]:
    flips = result["verdict_flips"]
    failed = f", {result['failed']:,} failed" if "failed" in result else ""
    lines = [f"{result['pairs']:,} pairs, {result['ties']:,} ties, {flips:,} verdicts turned with the order{failed}"]
    if people := result.get("people"):
        lines.append(f"{people['human']:,} pairs by people ({percent_text(people['human_share'])})")
        if error := people["ai_label_error"]:
            found = _rate(Rate.read(error, n=error["audited"]))
            lines.append(f"of the judge's labels {found} are wrong by people's word")
    return lines


def _preferences(result: Json) -> list[str]:
    return [
        f"{result['kept']:,} pairs kept: {result['train']:,} to train on, {result['held_out']:,} held out"
        + _dropped(result)
    ]


def _reward_model(result: Json) -> list[str]:
    lines = [f"{result['pairs']:,} pairs" + _dropped(result), *_suggested_batch(result)]
    for name, certificate in result["certificate"].items():
        lines.append(f"{name}: {_rate(Rate.read(certificate, 'accuracy'))} ordered as preferred")
    if kept := result.get("early_stopping"):
        lines.append(
            f"{result['steps']:,} steps; kept are the weights of step {kept['best_step']}, of the lowest held-out loss "
            f"({number_text(kept['best_nll'])})"
        )
    return lines


def _policy(result: Json) -> list[str]:
    final = result["final"]
    return [
        f"{result['responses']:,} responses, score {number_text(final['reward/score_normalized'])} deviations above "
        f"the reference's, KL {number_text(final['policy/kl_to_reference'])} nats a response"
    ]


def _pairwise(result: Json) -> list[str]:
    accuracy = result["final"].get("reward/accuracy")
    margin = "" if accuracy is None else f", {percent_text(accuracy)} of the last pairs ordered as preferred"
    return [f"{result['pairs']:,} pairs{margin}" + _dropped(result), *_suggested_batch(result)]


def _orpo(result: Json) -> list[str]:
    soft = result.get("soft_labels_taken_as_hard", 0)
    told = [f"{soft:,} soft labels were taken as hard ones, which is all that ORPO knows"] if soft else []
    return [*_pairwise(result), *told]


def _kto(result: Json) -> list[str]:
    counts = f"{result['responses']:,} responses, {result['desirable']:,} of them good"
    return [f"{counts}, weights {number_text(result['weight_ratio'])} to 1" + _dropped(result)]


def _suggested_batch(result: Json) -> list[str]:
    size = result.get("suggested_batch_size")
    return [] if size is None else [f"gradients suggest a batch_size of about {size:,} (gradient noise scale)"]


def _evaluate(result: Json) -> list[str]:
    return [
        f"{name} wins {_rate(Rate.read(comparison, 'win_rate'))} against {result['baseline']}"
        for name, comparison in result["candidates"].items()
    ]


def _gate(result: Json) -> list[str]:
    failed = [check for check in result["checks"] if not check["passed"]]
    if not failed:
        return [f"holds: all {len(result['checks'])} checks"]
    return [f"DOES NOT HOLD: {len(failed)} of {len(result['checks'])} checks", *(check["reason"] for check in failed)]


HEADLINES: Mapping[str, Callable[[Json], list[str]]] = {
    "pretrain": _pretrain,
    "sft": _sft,
    "sample": _sample,
    "ai_labels": _ai_labels,
    "preferences": _preferences,
    "reward_model": _reward_model,
    "ppo": _policy,
    "rloo": _policy,
    "dpo": _pairwise,
    "orpo": _orpo,
    "simpo": _pairwise,
    "kto": _kto,
    "evaluate": _evaluate,
    "gate": _gate,
}


def _rate(rate: Rate) -> str:
    facts = [interval_text(rate)] if rate.low is not None else []
    facts += [] if rate.n is None else [f"n = {rate.n:,}"]
    return percent_text(rate.value) + (f" ({', '.join(facts)})" if facts else "")


def _dropped(result: Json) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in (result.get("dropped") or {}).items() if count)
    side = result.get("left_out")
    told = f" ({side['rows']:,} rows in {side['file']})" if side else ""
    return f"; left out: {reasons}{told}" if reasons else ""
