"""`boresight chat`: talk to a model in the terminal, or through a pipe."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from boresight.models.conversation import Conversation

YOU, MODEL = "you> ", "model> "
HELP = "/reset begins a new conversation, /quit leaves"
PORT = 7009


def command(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder, or RUN/stages/NAME.")],
    temperature: Annotated[float, typer.Option(min=0.0, help="Sampling temperature; 0: always the likeliest.")] = 0.7,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest reply in tokens.")] = 256,
    seed: Annotated[int | None, typer.Option(help="Makes the replies the same each time.")] = None,
    versus: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="A second model, to compare with, blind.")
    ] = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="With --versus: where votes are added as preference pairs.")
    ] = Path("chat_pairs.jsonl"),
    browser: Annotated[
        bool, typer.Option("--browser", help="With --versus: a page on this machine in place of the terminal.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of that page; 0 takes a free one.")] = PORT,
) -> None:
    """Talk to a model in the terminal.

    The model sees the whole conversation, written by its own chat template. /reset begins a new one, /quit leaves.
    Lines may come through a pipe: then the replies alone are printed. With --versus two models answer, as A and B in an
    order drawn anew each time; you say which is better, and which was which is told at the end. With --browser they
    do so side by side on a page, which this machine alone can open.

    \b
    Example:
      boresight chat runs/kube-assistant/stages/ppo
      boresight chat runs/kube-assistant/stages/ppo --versus runs/kube-assistant/stages/dpo --browser
      echo "How do I list the pods in staging?" | boresight chat runs/kube-assistant/stages/dpo --temperature 0
    """
    from boresight.models.conversation import open_conversation

    if browser and versus is None:
        from boresight.errors import ConfigError

        raise ConfigError("--browser: compares two models; name the second one with --versus MODEL.")
    conversation = open_conversation(model, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    if versus is not None:
        from boresight.cli.chat_versus import duel, duel_in_browser

        other = open_conversation(versus, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
        if browser:
            duel_in_browser((conversation, other), (model, versus), out, seed, port)
        else:
            duel((conversation, other), (model, versus), out, seed)
        return
    watched = sys.stdin.isatty()
    if watched:
        print(HELP, file=sys.stderr)
    while (line := _next_line(watched)) is not None and line != "/quit":
        if line == "/reset":
            conversation.reset()
            print("a new conversation", file=sys.stderr)
        elif line.startswith("/"):
            print(f"unknown command {line.split()[0]}; {HELP}", file=sys.stderr)
        elif line:
            _answer(conversation, line, watched)


def _next_line(watched: bool) -> str | None:
    """The next line without white space at its ends; None at the end of the input."""
    if watched:
        import readline  # noqa: F401  gives input() its history

        try:
            return input(YOU).strip()
        except EOFError:
            print()
            return None
    line = sys.stdin.readline()
    return line.strip() if line else None


def _answer(conversation: "Conversation", line: str, watched: bool) -> None:
    from boresight.errors import DataError

    def show(piece: str) -> None:
        sys.stdout.write(piece)
        sys.stdout.flush()

    if watched:
        show(MODEL)
    try:
        reply = conversation.ask(line, show)
    except DataError as error:
        print(f"{error.label}: {error}", file=sys.stderr)
        return
    print()
    if not reply.stopped:
        print("(cut off at the limit of tokens)", file=sys.stderr)
