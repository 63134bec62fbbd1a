"""`boresight data show`: records as people read them, or as a model will."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from boresight.data.chat_template import ChatFormat
    from boresight.data.record_stream import Record
    from boresight.data.showing import Part

TRAINED, REJECTED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
OPEN, CLOSE = "⟦", "⟧"
"""What trained text stands between where there is no colour."""


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data file, or folder of save_to_disk.")],
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help="Model whose template is used.")] = None,
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="tokenizer (its own), chatml or llama3.")
    ] = "tokenizer",
    count: Annotated[int, typer.Option("--count", min=1, help="How many records.")] = 1,
    record_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The record with this id.")] = None,
    form: Annotated[str | None, typer.Option("--format", metavar="FORM", help="Read as this form.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", metavar="PART=NAME", help="The column of a pair's part.")
    ] = None,
    colour: Annotated[str, typer.Option("--color", metavar="auto|always|never", help="Colour trained text.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show records for people, or as a model reads them.

    With --model they are rendered by its chat template: text that is trained is green, that of a rejected response
    red; without colour it stands between ⟦ and ⟧. Before anything is shown a probe dialogue is rendered and its mask
    checked: every assistant turn covered, closed by the stop token, no second BOS. Nothing is trained of a pair's
    prompt.

    \b
    Example:
      boresight data show pairs.csv --count 3
      boresight data show pairs.csv --model runs/kube-assistant/stages/demo/model
    """
    from boresight.cli.data import named
    from boresight.data.showing import first_records

    if colour not in ("auto", "always", "never"):
        raise typer.BadParameter(f"{colour!r} is not auto, always or never", param_hint="--color")
    records = first_records(file, count=count, record_id=record_id, form=form, columns=named(columns))
    chat_format = _chat_format(model, template) if model is not None else None
    shown = [(record, _parts(chat_format, record, f"{file}:{line}")) for line, record in records]
    if as_json:
        print(json.dumps({"records": [_json(record, parts) for record, parts in shown]}, ensure_ascii=False))
        return
    coloured = colour == "always" or (colour == "auto" and takes_colour())
    print("\n\n".join(record_text(record, parts, coloured) for record, parts in shown))


def takes_colour() -> bool:
    """A terminal that is not told otherwise (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def record_text(record: "Record", parts: "tuple[Part, ...]", coloured: bool) -> str:
    """A record for a person: as rendered where there are parts, otherwise message by message."""
    from boresight.data.jsonl import as_record

    if parts:
        return "\n".join([f"── {record.id}", *(part_text(part, coloured) for part in parts)])
    lines = [f"── {record.id}"]
    for key, value in as_record(record).items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(key)
            lines += [f"  {message['role']}: {_indented(message['content'])}" for message in value]
        elif key != "id":
            lines.append(
                f"{key}: {_visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))}"
            )
    return "\n".join(lines)


def part_text(part: "Part", coloured: bool) -> str:
    """A title with its tokens, and the text the model reads, trained text marked."""
    trained = f", {part.trained_tokens:,} trained" if part.trained_tokens else ""
    opening, closing = (REJECTED if part.title == "rejected" else TRAINED, PLAIN) if coloured else (OPEN, CLOSE)
    pieces = [f"{opening}{_visible(text)}{closing}" if on else _visible(text) for text, on in part.segments]
    return f"── {part.title} ({part.tokens:,} tokens{trained})\n{''.join(pieces)}"


def _chat_format(model: Path, template: str) -> "ChatFormat":
    from boresight.data.chat_template import BUILT_IN_TEMPLATES
    from boresight.data.showing import checked_format
    from boresight.errors import ModelError
    from boresight.models.loading import chat_format, load_tokenizer

    if template not in ("tokenizer", *BUILT_IN_TEMPLATES):
        known = ", ".join(("tokenizer", *BUILT_IN_TEMPLATES))
        raise typer.BadParameter(f"{template!r} is not one of {known}", param_hint="--template")
    if not model.is_dir():
        raise ModelError(f"{model}: no such folder; expected one with a tokenizer, as a stage of a run or a download.")
    return checked_format(chat_format(load_tokenizer(model), template))


def _parts(chat_format: "ChatFormat | None", record: "Record", where: str) -> "tuple[Part, ...]":
    from boresight.data.showing import rendered

    return () if chat_format is None else rendered(chat_format, record, where)


def _json(record: "Record", parts: "tuple[Part, ...]") -> dict[str, Any]:
    from boresight.data.jsonl import as_record

    rendered = [
        {
            "title": part.title,
            "tokens": part.tokens,
            "trained_tokens": part.trained_tokens,
            "segments": [{"text": text, "trained": trained} for text, trained in part.segments],
        }
        for part in parts
    ]
    return {"record": as_record(record), **({"rendered": rendered} if parts else {})}


def _indented(text: str) -> str:
    return _visible(text).replace("\n", "\n    ")


def _visible(text: str) -> str:
    """Text without characters that would steer the terminal; line ends and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)
