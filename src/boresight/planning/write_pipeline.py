"""A plan as a pipeline file that runs, with comments that say why it is as it is."""

from pathlib import Path
from typing import Any

import yaml

from boresight.config.sections import StageSection
from boresight.planning.case import Case
from boresight.planning.choose import Option
from boresight.planning.numbers import GIB

WRITTEN_BY = ", written by `boresight plan`."
"""How the first line of such a file ends."""
WHY = {
    "sft": "Teaches the form of an answer. Only the assistant's tokens are trained, the stop token included.",
    "sample": "Several answers to each prompt, for a judge to compare.",
    "ai_labels": "A language model compares them in both orders; measure it against people (docs/ai_feedback.md).",
    "preferences": "Joins, checks and splits the pairs; a tenth of the prompts is kept for the certificate.",
    "reward_model": "Learns what people prefer; its certificate says on held-out pairs how far to believe it.",
    "orpo": "Answers and preferences in one loss, from the base model: no reference, no reward model.",
    "dpo": "Learns from pairs against where it started; the reference is asked once, before the first update.",
    "rloo": "Samples, scores, and learns by comparing answers to one prompt: no value model.",
    "ppo": "Samples, scores and learns with a value model; the KL penalty keeps it near the reference.",
}
"""Of each kind of stage, in a line."""
EVIDENCE = """\
# The evidence is still to come: hold the result against where it started, on prompts that no stage has seen.
#   compare: {{kind: evaluate, candidates: [{last}], baseline: {baseline}, prompts: data/held_out.jsonl,
#             judge: {judge}}}
#   gate:    {{kind: gate, of: compare, min_win_rate: 0.60, min_lower_bound: 0.50}}
"""


def pipeline_text(case: Case, option: Option) -> str:
    """The file. Only what differs from the settings' defaults is written."""
    lines = [
        f"# {option.method.upper()} for {case.model} on {case.machine}{WRITTEN_BY}",
        *(f"# {reason[0].upper()}{reason[1:]}." for reason in option.reasons),
        f"# About {option.hours:.1f} hours. First: boresight check THIS_FILE; then: {_command(case, option)}",
        *_notes(case),
        "",
        f"run:   {_flow({'name': f'{option.method}-plan', 'seed': 7} | _price(case))}",
        f"model: {_flow({'path': case.model, 'dtype': case.dtype} | _template(case))}",
        "stages:",
    ]
    for plan_name, section in option.sections.items():
        lines.append(f"  # {WHY[section.kind]}")
        planned = next((plan for plan in option.stages if plan.name == plan_name), None)
        if planned is not None:
            lines.append(f"  # {planned.memory.total / GIB:.1f} GiB at most, about {planned.seconds / 3600:.2f} hours.")
        lines.append(f"  {plan_name}: {_flow(_written(section))}")
    last = next(reversed(option.sections))
    baseline = "demo" if "demo" in option.sections and last != "demo" else "base_model"
    judge = "{kind: reward_model, model: scorer}" if "scorer" in option.sections else "{kind: rules}"
    lines += ["", EVIDENCE.format(last=last, baseline=baseline, judge=judge)]
    return "\n".join(lines)


def files_named(option: Option, folder: Path) -> list[Path]:
    """Data files that the pipeline reads and that are not there."""
    named: dict[Path, None] = {}
    for section in option.sections.values():
        for field in section.PATHS:
            value = getattr(section, field, None)
            for path in [value] if isinstance(value, str) else value or []:
                if path not in option.sections:
                    named[folder / path] = None
    return [path for path in named if not path.exists()]


def _written(section: StageSection) -> dict[str, Any]:
    """What differs from the defaults, the kind first."""
    fields: dict[str, Any] = section.model_dump(exclude_defaults=True, mode="json")
    return {"kind": section.kind} | {name: value for name, value in fields.items() if name != "kind"}


def _notes(case: Case) -> list[str]:
    if case.tuned or case.finetune == "full":
        return []
    return [
        "# Adapters learn no new tokens: the model must bring a chat template of its own (an instruct model does).",
    ]


def _price(case: Case) -> dict[str, float]:
    price = case.cost_per_gpu_hour
    return {} if price is None else {"cost_per_hour": price * case.machine.count}


def _template(case: Case) -> dict[str, str]:
    """A base model has no template of its own; adapters cannot learn the tokens of another."""
    return {} if case.tuned or case.finetune != "full" else {"chat_template": "chatml"}


def _command(case: Case, option: Option) -> str:
    if case.machine.count > 1 and any(plan.gpus > 1 for plan in option.stages):
        return f"boresight launch torchrun THIS_FILE --processes {case.machine.count}"
    return "boresight run THIS_FILE"


def _flow(value: dict[str, Any]) -> str:
    """One line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.strip()
