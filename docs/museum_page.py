"""The page of the museum, from the figures that experiments/museum measured; curves lie beside it as SVG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boresight.storage import read_json

FIGURES = Path(__file__).parent / "figures" / "museum.json"
Figures = Mapping[str, Any]


def museum_page() -> str:
    measured = read_json(FIGURES)
    lines = [
        "# The museum of failures",
        "",
        "Made by `docs/generate.py` from `docs/figures/museum.json`, which `make experiments` writes",
        "(`experiments/museum/`). Every exhibit is a run that really fails, trained by our own loops in a world small",
        "enough to take seconds, beside a healthy twin that differs in the one thing that is wrong. The gold reward is",
        "known there; no method and no rule ever sees it. Red: failing, blue: healthy; a line a seed.",
        "",
        f"{measured['runs']} failing runs, of each exhibit at least {measured['seeds']}. Rules were mended with the",
        "first four seeds in view, so the figures say that it knows these failures, not how it does elsewhere.",
        "",
        *_totals(measured),
        "",
        measured["table"],
        "",
        *_lead(measured),
    ]
    for name in measured["order"]:
        lines += _exhibit(name, measured["exhibits"][name])
    return "\n".join(lines) + "\n"


def _totals(measured: Figures) -> list[str]:
    whole = measured["totals"]
    recall, alarms = whole["recall_ci95"], whole["false_alarm_ci95"]
    lines = [
        f"- Recognised: **{whole['recognised']} of {whole['failing']}** runs "
        f"({whole['recall']:.1%}, 95 % interval {recall[0]:.1%} to {recall[1]:.1%}): the first finding is the fault or "
        "what it brings about, or a note names it and nothing graver is found.",
        f"- The fault itself is among the findings in {whole['named']} of them; {whole['faults_with_alarm']} of "
        f"{whole['faults']} broken runs raise an alarm.",
        f"- False alarms: **{whole['healthy_with_alarm']} of {whole['healthy']}** healthy runs "
        f"({whole['false_alarm_rate']:.1%}, 95 % interval {alarms[0]:.1%} to {alarms[1]:.1%}).",
    ]
    beside = measured["beside_rldoctor"]
    if beside:
        lines.append(
            f"- rldoctor {beside['version']} on the same logs, written out under names that it reads: first finding "
            f"right in {beside['recognised']} of {beside['failing']} broken runs (the doctor: {beside['ours']}), an "
            f"alarm in {beside['healthy_with_alarm']} of {beside['healthy']} healthy ones (the doctor: "
            f"{beside['ours_with_alarm']}). It is made for GRPO and knows nothing of reward models, DPO or responses."
        )
    return lines


WAYS = {
    "logs_alone": "`reward_hacking`, from the log alone",
    "logs_any": "`reward_hacking` or `kl_runaway`, from the log alone",
    "with_canary": "`reward_hacking`, with a canary (reward model of other pairs and other initial weights)",
    "with_audit": "`reward_hacking`, with an audit as canary (each answer judged once, the judge off by 1.0)",
}


def _lead(measured: Figures) -> list[str]:
    lines = [
        "## How early reward hacking is seen",
        "",
        "Steps from the peak of the gold reward to the first alarm, looking after every step (of 60); above 0 is late.",
        "The gold reward has lost 0.25 after "
        + _spread([lead["quarter_lost"] - lead["peak"] for lead in measured["lead"] if lead["quarter_lost"]])
        + " steps. No rule speaks before eight steps are there.",
        "",
        "| alarm | runs with one | lag: median | from | to |",
        "|---|---|---|---|---|",
    ]
    for name, words in WAYS.items():
        one = measured["lead_summary"][name]
        told = f"{one['median']:g} | {one['from']} | {one['to']}" if one["alarms"] else "| |"
        lines.append(f"| {words} | {one['alarms']} of {one['of']} | {told} |")
    return [
        *lines,
        "",
        "So the log alone does not see hacking before it costs: it sees, later, a policy far away and poor answers.",
        "A second reward model that learned from the same kind of pairs errs much as the first and helps little;",
        "judging a few dozen answers a step by other means sees it within a few steps.",
        "",
    ]


def _spread(values: list[int]) -> str:
    return f"{min(values)} to {max(values)}" if values else "no"


def _exhibit(name: str, one: Figures) -> list[str]:
    lines = [f"## {one['title']}", "", one["wrong"], "", f"![{one['title']}](figures/museum/{name}.svg)", ""]
    if one["gold"] and one["twin_gold"]:
        lines += [
            f"Gold reward: {_course(one['gold'])} failing, {_course(one['twin_gold'])} healthy (means of the seeds).",
            "",
        ]
    lines.append("The doctor on the first failing run:")
    for found in one["words"]:
        lines += ["", f"> **{found['id']}** ({found['severity']}): {found['cause']}", f"> *{found['action']}*"]
    first = one["twin_words"][0]
    return [*lines, "", f"And on its twin: **{first['id']}**: {first['cause']}", ""]


def _course(gold: Figures) -> str:
    start, end = (sum(gold[name]) / len(gold[name]) for name in ("start", "end"))
    return f"{start:.2f} to {end:.2f}"
