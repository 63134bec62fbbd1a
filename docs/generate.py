"""Writes the pages that are made from code or from measured figures, so that they cannot differ from them.

python docs/generate.py            # every page that is made, and the made parts of others
python docs/generate.py --check    # exit 1 where a page is not what the code says
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

from architecture_page import DRAWING, architecture_page, decisions_page, layers_drawing
from benchmarks_page import VERSUS, benchmarks_page
from choose_page import choose_page
from label_load_section import LABEL_HTTP, label_load_section
from museum_page import FIGURES as MUSEUM
from museum_page import museum_page
from planner_page import planner_page
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from python_api_page import python_api_page
from reward_service_page import SERVICE, reward_service_page
from rlaif_section import RLAIF, label_plans, rlaif_section
from stage_pages import stage_page
from verb_pages import verb_page

from boresight.cli.main import VERBS
from boresight.config.judge_sections import JUDGE_CLASSES, EndpointSection, LocalWriter, ReviseSection
from boresight.config.policy_stages import VLLMSection
from boresight.config.reward_sections import REWARD_CLASSES, RewardSection
from boresight.config.sections import (
    STAGE_CLASSES,
    DataSection,
    LoRASection,
    ModelSection,
    RunSection,
    Section,
)
from boresight.data.lint.catalogue import CATALOGUE
from boresight.diagnosis.rules.responses import RESPONSE_RULES
from boresight.diagnosis.rules.table import RULES
from boresight.diagnosis.signals import FOREIGN
from boresight.runlog.aliases import ALIASES
from boresight.runlog.names import markdown_table
from boresight.storage import read_json, write_text

DOCS = Path(__file__).parent
FIGURES = DOCS / "figures" / "demo_seeds.json"
BESIDE = DOCS / "figures" / "doctor_beside_rldoctor.json"
RLWATCH = DOCS / "figures" / "doctor_beside_rlwatch.json"
ENDPOINT = DOCS / "figures" / "judge_endpoint.json"
BESIDE_MARKS = ("<!-- made by docs/generate.py -->\n", "<!-- end -->\n")
RLWATCH_MARKS = (
    "<!-- made by docs/generate.py from figures/doctor_beside_rlwatch.json -->\n",
    "<!-- end of rlwatch -->\n",
)
RELEASE = DOCS / "figures" / "release.json"
RELEASE_MARKS = ("<!-- made by docs/generate.py from figures/release.json -->\n", "<!-- end of release -->\n")
LOAD_MARKS = ("<!-- made by docs/generate.py from figures/label_http.json -->\n", "<!-- end of load -->\n")
RLAIF_MARKS = ("<!-- made by docs/generate.py from figures/rlaif.json -->\n", "<!-- end of labels -->\n")
OPTIMUM, FRONTIER = DOCS / "figures" / "exact_optimum.json", DOCS / "figures" / "reward_kl_frontier.json"


def settings_page() -> str:
    parts = [
        "# Settings of a pipeline file",
        "",
        "Made from the code by `docs/generate.py`. A setting without a default must be given.",
        "Any of them can be overridden on the command line: `--set stages.ppo.kl_coefficient=0.1`.",
    ]
    for name, section in {"run": RunSection, "model": ModelSection, "data": DataSection}.items():
        parts += _section(f"`{name}`", section)
    for kind, section in STAGE_CLASSES.items():
        parts += _section(f"stage kind `{kind}`", section)
    parts += _section("`lora` of a stage", LoRASection)
    for kind, section in JUDGE_CLASSES.items():
        parts += _section(f"`judge` of the kind `{kind}`", section)
    parts += _section("`revise` of a `sample` stage", ReviseSection)
    for kind, section in {"openai": EndpointSection, "local_model": LocalWriter}.items():
        parts += _section(f"`by` of `revise`, of the kind `{kind}`", section)
    parts += _section("`sampler` of the kind `vllm`", VLLMSection)
    for kind, section in REWARD_CLASSES.items():
        parts += _section(f"`reward` of the kind `{kind}`", section)
    return "\n".join(parts) + "\n"


def metrics_page() -> str:
    head = [
        "# Metrics",
        "",
        "Made from the code by `docs/generate.py`. One row a step stands in a stage's `metrics.jsonl`; what depends on",
        "the machine (`time/`, `throughput/`, `memory/`) in `timings.jsonl` beside it. Sums and counts are carried",
        "through a step and divided once, so ragged batches average rightly.",
        "",
        "",
    ]
    return "\n".join(head) + markdown_table().strip() + "\n" + _aliases()


def _aliases() -> str:
    """The names that trackers get beside ours."""
    lines = [
        "",
        "## Under TRL's names",
        "",
        "[Trackers](trackers.md) get these as well, so that dashboards made for TRL show our runs.",
        "",
        "| kind of stage | ours | theirs |",
        "|---|---|---|",
        *(f"| {kind} | `{ours}` | `{theirs}` |" for kind, names in ALIASES.items() for ours, theirs in names.items()),
    ]
    return "\n".join(lines) + "\n"


def lint_page() -> str:
    head = [
        "# Findings of the lint",
        "",
        "Made from the code by `docs/generate.py`. The ids stay the same; [data quality](data_quality.md) tells how to",
        "call the lint and how its measures work. What is no warning by the third column is a note.",
        "",
        "| id | what is found | more than a note | what to do |",
        "|---|---|---|---|",
    ]
    rows = [f"| `{name}` | {entry.what} | {entry.warns} | {entry.advice} |" for name, entry in CATALOGUE.items()]
    return "\n".join([*head, *rows]) + "\n"


def findings_page() -> str:
    """The rules of the doctor, in the order in which their findings are told, and the signals they add to our own."""
    lines = [
        "# Findings",
        "",
        "Made from the code by `docs/generate.py`. Causes stand before what follows from them: of two findings of one",
        "severity the upper one is told first. A rule without its signals does not fire; they are listed as missing.",
        "Where no rule fires, the one finding is `healthy`, or `unclear` where the evidence allows no verdict.",
        "",
        "| Id | Fires on | Needs | Methods |",
        "|---|---|---|---|",
    ]
    for rule in RULES:
        needs = " and ".join(" or ".join(f"`{name}`" for name in group) for group in rule.needs)
        lines.append(f"| `{rule.id}` | {rule.looks_for} | {needs} | {', '.join(rule.methods) or 'all'} |")
    lines += ["", "Over the responses that a run keeps (`samples.jsonl`), from 24 of them on:", ""]
    lines += ["| Id | Fires on |", "|---|---|"]
    lines += [f"| `{rule.id}` | {rule.looks_for} |" for rule in RESPONSE_RULES]
    lines += ["", "Signals beyond [our own metrics](metrics.md):", "", "| Signal | Meaning | Unit |", "|---|---|---|"]
    lines += [f"| `{name}` | {meaning} | {unit} |" for name, (meaning, unit) in FOREIGN.items()]
    return "\n".join(lines) + "\n"


def figures_page() -> str:
    """The demo over several seeds, from the figures that experiments/demo_seeds.py measured."""
    measured = read_json(FIGURES)
    minutes = [run["seconds"] / 60 for run in measured["seeds"].values()]
    changed = " ".join(measured.get("set", []))
    # Times of runs with other settings than the demo's own say nothing about the demo.
    cores = "1 core" if measured["machine"]["cores"] == 1 else f"{measured['machine']['cores']} cores"
    how = f"with {changed}" if changed else f"{min(minutes):.1f} to {max(minutes):.1f} minutes a seed"
    return "\n".join(
        [
            "# Figures of the demo",
            "",
            "Made by `docs/generate.py` from `docs/figures/demo_seeds.json`, which `make experiments` writes: the",
            "whole chain of `boresight demo` for each seed, base model included, on held-out prompts, greedy.",
            "",
            f"Seeds {', '.join(measured['seeds'])}, {how}; {cores} ({measured['machine']['processor']}).",
            "",
            measured["table"],
            "",
        ]
    )


def policy_figures_page() -> str:
    """PPO and RLOO where the optimum is known, and what a nat of KL buys, from what the experiments measured."""
    optimum, frontier = read_json(OPTIMUM), read_json(FRONTIER)
    return "\n".join(
        [
            "# Figures of PPO and RLOO",
            "",
            "Made by `docs/generate.py` from `docs/figures/exact_optimum.json` and `reward_kl_frontier.json`, which",
            "`make experiments` writes. How to read them: [PPO and RLOO](ppo.md).",
            "",
            "## Distance to the known optimum",
            "",
            f"Seeds {', '.join(optimum['seeds'])}, beta {optimum['beta']:g}; promised: KL below {optimum['bound']:g}.",
            "",
            optimum["table"],
            "",
            "## Reward and KL",
            "",
            f"Seed {frontier['seed']}; {frontier['pairs']:,} pairs, of which the reward model orders "
            f"{100 * frontier['reward_model_accuracy']:.0f} % of the held-out ones as the noisy judge did.",
            "",
            frontier["table"],
            "",
            "![Gold reward against KL](figures/reward_kl_frontier.svg)",
            "",
        ]
    )


def doctor_page() -> str:
    """The page of the doctor, with its table beside rldoctor from the figures that were measured."""
    begin, end = BESIDE_MARKS
    before, rest = (DOCS / "doctor.md").read_text(encoding="utf-8").split(begin)
    page = f"{before}{begin}{read_json(BESIDE)['table']}\n{end}{rest.split(end)[1]}"
    begin, end = RLWATCH_MARKS
    before, rest = page.split(begin)
    return f"{before}{begin}{read_json(RLWATCH)['table']}\n{end}{rest.split(end)[1]}"


def ai_feedback_page() -> str:
    """The page of AI feedback, with what a bench (an endpoint that misbehaves) and a comparison of labels measured."""
    begin, end = BESIDE_MARKS
    found = read_json(ENDPOINT)
    before, rest = (DOCS / "ai_feedback.md").read_text(encoding="utf-8").split(begin)
    ended, faults = found["ended"], found["faults"]
    shares, seconds = found["share_of_the_allowed_rate"], found["seconds_before_and_after_the_kill"]
    rows = [
        ("comparisons, each in both orders", f"{found['comparisons']:,}"),
        ("labelled", f"{ended['labelled'] + ended['ties']:,}"),
        ("turned with the order", f"{ended['verdict_flips']:,}"),
        ("failed, each with its reason", f"{ended['failed']:,}"),
        ("requests, of which turned away (429)", f"{found['requests']:,}, {found['turned_away']:,}"),
        ("replies kept at the SIGKILL", f"{found['killed_with']:,}"),
        ("of those asked again", f"{found['kept_and_asked_again']:,}"),
        ("on the way at the SIGKILL; answered twice", f"{found['on_the_way_at_the_kill']}; {found['answered_twice']}"),
        ("seconds before and after it", " and ".join(f"{value:g}" for value in seconds)),
        ("share of the allowed rate before and after it", " and ".join(f"{100 * value:.1f} %" for value in shares)),
    ]
    table = "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])
    told = (
        f"The endpoint allows {found['requests_a_second_allowed']:g} requests a second (of one client with at most "
        f"{found['most_at_once']} on the way), answers after {1000 * faults['delay']:g} ms, hangs up on "
        f"{100 * faults['drops']:g} %, garbles {100 * faults['garbled']:g} % and fails with 500 on "
        f"{100 * faults['errors']:g} %; of the questions it refuses {100 * faults['refusals']:g} % and answers "
        f"{100 * faults['malformed']:g} % without a verdict, however often they are asked."
    )
    page = f"{before}{begin}{told}\n\n{table}\n{end}{rest.split(end)[1]}"
    begin, end = RLAIF_MARKS
    before, rest = page.split(begin)
    return f"{before}{begin}{rlaif_section(read_json(RLAIF))}{end}{rest.split(end)[1]}"


def versioning_page() -> str:
    """The page on versions, with what the last release check counted."""
    begin, end = RELEASE_MARKS
    found = read_json(RELEASE)
    rows = ["| Python | packages | beyond torch's and transformers' own | import | demo |", "|---|--:|--:|--:|---|"]
    for one in found["trials"]:
        demo = next(f"`{line}`, exit code {code}" for line, code in one["ran"].items() if line.startswith("demo"))
        counts = f"{one['packages']} | {one['beyond']} | {1000 * one['import_seconds']:.0f} ms"
        rows.append(f"| {one['python']} | {counts} | {demo} |")
    absent = f" Not present: Python {', '.join(found['absent'])}." if found["absent"] else ""
    told = f"The last check, of `{found['wheel']}`: {len(found['faults']) or 'no'} faults.{absent}"
    before, rest = (DOCS / "versioning.md").read_text(encoding="utf-8").split(begin)
    table = "\n".join(rows)
    return f"{before}{begin}\n{told}\n\n{table}\n\n{end}{rest.split(end)[1]}"


def human_feedback_page() -> str:
    """The page as it is, its table of the load test made anew."""
    begin, end = LOAD_MARKS
    before, rest = (DOCS / "human_feedback.md").read_text(encoding="utf-8").split(begin)
    return f"{before}{begin}{label_load_section()}{end}{rest.split(end)[1]}"


def _section(title: str, section: type[Section]) -> list[str]:
    lines = ["", f"## {title}", ""]
    if section.__doc__ and section.__doc__ != Section.__doc__:
        lines += [inspect.cleandoc(section.__doc__), ""]
    lines += ["| setting | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if name != "kind":
            meaning = " ".join(_description(section, name).split()).replace("|", "\\|")
            lines.append(f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {meaning} |")
    return lines


def _description(section: type[Section], name: str) -> str:
    """A setting's text; where a kind only changes the default, that of the class it comes from."""
    for owner in section.__mro__:
        field = getattr(owner, "model_fields", {}).get(name)
        if field is not None and field.description:
            return str(field.description)
    raise ValueError(f"{section.__name__}.{name} has no description")


def _type(annotation: Any) -> str:
    """A type in the words of someone who writes YAML."""
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null"}
    if annotation in plain:
        return plain[annotation]
    if isinstance(annotation, type) and issubclass(annotation, RewardSection):
        return "mapping"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"mapping to {_type(arguments[1])}"
    if str(origin) == "typing.Literal":
        return " \\| ".join(f"`{value}`" for value in arguments)
    if hasattr(annotation, "__metadata__"):  # Annotated: the bounds are told by the error message
        return _type(arguments[0])
    if arguments:
        return " or ".join(dict.fromkeys(_type(argument) for argument in arguments))
    return f"`{annotation.__name__}`"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    value = field.default
    if isinstance(value, Section):
        return "its own defaults"
    if value is None or value in ([], {}):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "lint.md": lint_page,
    "findings.md": findings_page,
    "planner_figures.md": planner_page,
    "python_api.md": python_api_page,
    "choose.md": choose_page,
    "contributing/architecture.md": architecture_page,
    "decisions/index.md": decisions_page,
    DRAWING: layers_drawing,
}
PAGES |= {f"verbs/{verb}.md": partial(verb_page, verb) for verb in VERBS}
PAGES |= {f"stages/{kind}.md": partial(stage_page, kind, _section) for kind in STAGE_CLASSES}
if FIGURES.exists():
    PAGES["demo_figures.md"] = figures_page
if OPTIMUM.exists() and FRONTIER.exists():
    PAGES["ppo_figures.md"] = policy_figures_page
if MUSEUM.exists():
    PAGES["museum.md"] = museum_page
if SERVICE.exists():
    PAGES["reward_service.md"] = reward_service_page
if BESIDE.exists() and RLWATCH.exists():
    PAGES["doctor.md"] = doctor_page
if RLAIF.exists():
    PAGES["../src/boresight/planning/labelling.json"] = label_plans
if ENDPOINT.exists():
    PAGES["ai_feedback.md"] = ai_feedback_page
if LABEL_HTTP.exists():
    PAGES["human_feedback.md"] = human_feedback_page
if RELEASE.exists():
    PAGES["versioning.md"] = versioning_page
if VERSUS.exists():
    PAGES["benchmarks.md"] = benchmarks_page


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = [name for name, page in PAGES.items() if not (DOCS / name).exists() or (DOCS / name).read_text() != page()]
    if check:
        for name in stale:
            print(f"docs/{name} is not what the code says; run `python docs/generate.py`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        write_text(DOCS / name, PAGES[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
