"""The command `boresight`: its verbs, each loaded only when it is asked for, and what its exit codes mean.

0: fine. 1: a check or a gate did not hold. 2: bad input or usage, told without a traceback. 130: interrupted.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from boresight.cli.faults import INTERRUPTED, told

VERBS = {
    "demo": "Run the embedded example end to end and report on it.",
    "init": "Write a pipeline file and example data to start from.",
    "check": "Find what is wrong before any computing is paid for.",
    "run": "Run a pipeline file, or go on with a run that was interrupted.",
    "plan": "Which method fits model, data and hardware, and what it takes.",
    "diagnose": "Find out what is wrong with a run, from its log.",
    "report": "Write the report of a run, or of two runs side by side.",
    "monitor": "Watch runs live in the browser.",
    "chat": "Talk to a model in the terminal.",
    "export": "Write a model for other tools to load.",
    "data": "Look into preference and demonstration data, and convert it.",
    "judge": "AI feedback: a language model compares responses by a rubric.",
    "label": "Human feedback: tasks for annotators, and what they answered.",
    "serve": "A reward model over HTTP.",
    "launch": "The same pipeline by several processes, or on a cluster.",
    "eval": "Win rates, agreement, a reward model's certificate, probes.",
    "doctor-env": "Versions, devices, and what each extra lacks.",
}
"""Each verb is the function `command` of the module of its name (a hyphen is `_` there); the line is what the list of
verbs shows. A module with `SUBVERBS` is a group: name -> module, function and line of each of its own verbs."""

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "true",
}
"""What libraries tell of themselves is off unless these are set otherwise; our own messages are not touched."""

RESUMING = ("run", "demo", "torchrun")
"""Verbs that go on where they were interrupted."""


class LazyVerb(TyperCommand):
    """A verb in the list: name and one line. Its module is imported when its arguments are to be read."""

    def __init__(self, name: str, module: str, function: str, **attributes: Any) -> None:
        super().__init__(name, rich_markup_mode=None, **attributes)
        self.module, self.function = module, function

    def load(self) -> TyperCommand | TyperGroup:
        module = importlib.import_module(self.module)
        if self.function == "command" and hasattr(module, "SUBVERBS"):
            return _group(str(self.name), module)
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        command = _guarded(str(self.name), getattr(module, self.function))
        app.command(self.name, context_settings={"max_content_width": 100})(command)
        loaded = typer.main.get_command(app)
        assert isinstance(loaded, TyperCommand)
        return loaded

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.load().make_context(info_name, args, parent, **extra)


def _group(name: str, module: ModuleType) -> TyperGroup:
    """A verb that has verbs of its own, none of them loaded."""
    subverbs: dict[str, tuple[str, str, str]] = module.SUBVERBS
    verbs: dict[str, Any] = {
        verb: LazyVerb(verb, place, function, help=line) for verb, (place, function, line) in subverbs.items()
    }
    return TyperGroup(
        name=name,
        commands=verbs,
        help=inspect.cleandoc(module.command.__doc__ or ""),
        no_args_is_help=True,
        rich_markup_mode=None,
        context_settings={"max_content_width": 100},
    )


class VerbGroup(TyperGroup):
    """All verbs, none of them loaded."""

    def __init__(self, **attributes: Any) -> None:
        verbs = {
            name: LazyVerb(name, f"boresight.cli.{name.replace('-', '_')}", "command", help=line)
            for name, line in VERBS.items()
        }
        super().__init__(**{**attributes, "commands": verbs})


app = typer.Typer(
    cls=VerbGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"max_content_width": 100},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"boresight {version('boresight')}")
        raise typer.Exit


@app.callback()
def boresight(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """From raw examples and preferences to an aligned language model, with the evidence that it is aligned.

    \b
    See it work:           boresight demo
    Begin with your data:  boresight init my-assistant
                           boresight check my-assistant/pipeline.yaml
                           boresight run my-assistant/pipeline.yaml

    Exit codes: 0 fine, 1 a check or gate did not hold, 2 bad input or usage, 130 interrupted.
    """


def main() -> None:
    """Entry point of the command."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    app(prog_name="boresight")


def _guarded(verb: str, command: Callable[..., None]) -> Callable[..., None]:
    """What a person can mend becomes a message and exit code 2; any other fault keeps its traceback."""

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            going_on = " The same command goes on from the last checkpoint." if verb in RESUMING else ""
            print(f"\n{INTERRUPTED}{going_on}", file=sys.stderr)
            raise typer.Exit(130) from None
        except Exception as error:  # told only where a person can mend it, otherwise raised again
            lines = told(error)
            if lines is None:
                raise
            print("\n".join(lines), file=sys.stderr)
            raise typer.Exit(2) from None

    return guarded
