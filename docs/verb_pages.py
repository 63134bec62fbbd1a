"""A page for each verb: what it does, its examples, its arguments and options; all of it from the command itself."""

import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import typer

from boresight.cli.main import VERBS

MORE = {
    "demo": [("the embedded example", "example.md")],
    "init": [("the embedded example", "example.md"), ("coming and going", "coming_and_going.md")],
    "export": [("coming and going", "coming_and_going.md")],
    "check": [("the classic mistakes", "concepts.md"), ("settings", "settings.md")],
    "run": [("runs", "runs.md"), ("settings", "settings.md")],
    "plan": [("the planner", "planner.md"), ("choose a method", "choose.md")],
    "diagnose": [("the doctor", "doctor.md"), ("findings", "findings.md"), ("the museum of failures", "museum.md")],
    "report": [("runs", "runs.md")],
    "monitor": [("the monitor", "monitor.md"), ("metrics", "metrics.md")],
    "chat": [("human feedback", "human_feedback.md")],
    "data": [("data", "data.md"), ("data quality", "data_quality.md"), ("findings of the lint", "lint.md")],
    "judge": [("AI feedback", "ai_feedback.md")],
    "label": [("human feedback", "human_feedback.md")],
    "serve": [("the reward service", "reward_service.md")],
    "launch": [("Kubernetes", "kubernetes.md"), ("models that hardly fit", "scale.md")],
    "eval": [("evaluation", "evaluation.md")],
    "doctor-env": [("the command line", "command_line.md")],
}
"""Hand-written pages that tell more about a verb."""

ELSEWHERE = (
    ("--rendezvous", "needs a cluster"),
    ("--address", "needs a cluster"),
    ("launch ray", "starts a Ray cluster"),
    ("boresight demo", "minutes of training"),
    ("boresight run my-assistant", "minutes of training"),
)
"""Examples that `make check` does not run, told by a part of the line, and why."""


class Verb(NamedTuple):
    name: str
    function: Callable[..., None]
    line: str


def verb_page(verb: str) -> str:
    parts = ["Made from the command by `docs/generate.py`; `--help` tells the same."]
    for found in verbs_of(verb):
        parts += [f"{'#' if found.name == verb else '##'} boresight {found.name}", *_told(found)]
    title = parts.pop(1)
    more = ", ".join(f"[{name}](../{page})" for name, page in MORE.get(verb, []))
    return "\n\n".join([title, *parts, *([f"More: {more}."] if more else [])]) + "\n"


def verbs_of(verb: str) -> Iterator[Verb]:
    """A verb and all verbs below it."""
    yield from _below(verb, f"boresight.cli.{verb.replace('-', '_')}", "command", VERBS[verb])


def _below(name: str, module: str, function: str, line: str) -> Iterator[Verb]:
    loaded = importlib.import_module(module)
    yield Verb(name, getattr(loaded, function), line)
    if function == "command":
        for sub, (place, own, told) in getattr(loaded, "SUBVERBS", {}).items():
            yield from _below(f"{name} {sub}", place, own, told)


def _told(verb: Verb) -> list[str]:
    text, _, examples = inspect.cleandoc(verb.function.__doc__ or "").replace("\b\n", "").partition("Example:\n")
    return [_escaped(text.strip()), *_examples(examples), *_options(verb)]


def _examples(text: str) -> list[str]:
    """Example lines as blocks: those that run, then those that do not, each with its reason above it."""
    joined = re.sub(r"\n\s{2,}", " \\\\\n    ", textwrap.dedent(text))
    lines = re.findall(r"(?:[^\n]*\\\n)*[^\n]+", joined)
    parts: list[tuple[str | None, list[str]]] = []
    for line in lines:
        reason = next((why for part, why in ELSEWHERE if part in line), None)
        if not parts or parts[-1][0] != reason:
            parts.append((reason, []))
        parts[-1][1].append(line)
    mark = "<!-- not run: {} -->\n"
    return [
        (mark.format(reason) if reason else "") + "```console\n" + "\n".join(block) + "\n```" for reason, block in parts
    ]


def _options(verb: Verb) -> list[str]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(verb.name)(verb.function)
    command: Any = typer.main.get_command(app)
    context = typer.Context(command)
    rows = []
    for parameter in command.params:
        if parameter.name == "help" or getattr(parameter, "hidden", False):
            continue
        record = parameter.get_help_record(context)
        name, told = record if record is not None else (parameter.make_metavar(context), parameter.help or "")
        rows.append(f"| `{name.replace('|', chr(92) + '|')}` | {_escaped(' '.join(told.split()))} |")
    return ["\n".join(["| argument or option | meaning |", "|---|---|", *rows])] if rows else []


def _escaped(text: str) -> str:
    """Plain text that Markdown would read otherwise: tables, tags, and names in brackets."""
    return re.sub(r"([|<\[*_])", r"\\\1", text)
