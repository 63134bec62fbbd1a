"""`boresight data`: what is in a data file, another form of it, and how a model will see it."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.data.wording import counted

if TYPE_CHECKING:
    from boresight.data.conversion import Conversion
    from boresight.data.refusals import RowsAside

HERE = "boresight.cli.data"
QUALITY = "boresight.cli.data_quality"
SUBVERBS = {
    "inspect": (HERE, "inspect", "Count what is in a file: rows, pairs, lengths, and what is odd."),
    "convert": (HERE, "convert", "Write a file in another form, and say what that form cannot hold."),
    "show": ("boresight.cli.data_show", "show", "Show records for people, or as a model reads them."),
    "lint": (QUALITY, "lint", "Find what is wrong with preference pairs or demonstrations."),
    "filter": (QUALITY, "filter_rows", "Leave rows out of preference data, each with its reason."),
    "split": (QUALITY, "split", "Part preference data so that no prompt leaks."),
}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Data files, or folders of save_to_disk.")]
Form = Annotated[str | None, typer.Option("--format", metavar="FORM", help="Read as this form; default: detected.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="PART=NAME", help="The column of a pair's part, as chosen=best; may repeat."),
]
OnError = Annotated[str, typer.Option("--on-error", metavar="stop|skip", help="What a row that is refused does.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def command() -> None:
    """Look into preference and demonstration data, and convert it.

    Read are CSV, TSV, JSON Lines, JSON, Parquet, gzip of these and folders of Hugging Face datasets, in our own form
    and those of TRL, HH-RLHF, ShareGPT, Alpaca, OpenAI, UltraFeedback, AlpacaEval, Label Studio and Argilla. The form
    is told from the file, printed, and can be forced with --format.

    \b
    Example:
      boresight data inspect pairs.csv
      boresight data convert pairs.csv --to trl_conversational --out pairs.jsonl
      boresight data show pairs.csv --model runs/kube-assistant/stages/demo/model
    """


def inspect(
    files: Files,
    form: Form = None,
    columns: Columns = None,
    on_error: OnError = "stop",
    as_json: AsJson = False,
) -> None:
    """Count what is in a file: rows, pairs, lengths, and what is odd.

    Odd are pairs whose two responses are the same, empty responses, and pairs whose conversations differ before the
    last answer; they are counted, with the first lines of each, and nothing is left out. With --on-error skip a row
    that cannot be read is written to FILE.skipped.jsonl with its reason; otherwise the first one ends the command. Of
    several files --json prints {"files": [...]}.

    \b
    Example:
      boresight data inspect pairs.csv
      boresight data inspect hh/*.jsonl.gz --json
      boresight data inspect answers.csv --column prompt=question --column chosen=best --column rejected=worst
    """
    from boresight.data.inspection import inspect_file
    from boresight.data.inspection_text import blocks_of
    from boresight.tables import joined

    found = []
    for file in files:
        with refusals(on_error) as refuse, progress() as report:
            inspected = inspect_file(file, form=form, columns=named(columns), refuse=refuse, progress=report)
            skipped = save_skipped(refuse, file)
        found.append({"file": str(file), **inspected.figures, **skipped})
        if not as_json:
            print(joined(blocks_of(inspected, skipped)))
    if as_json:
        print(json.dumps(found[0] if len(found) == 1 else {"files": found}, ensure_ascii=False))


def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Data file, or folder of save_to_disk.")],
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="The form to write; see above.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write; its name tells the container.")],
    form: Form = None,
    columns: Columns = None,
    on_error: OnError = "stop",
    as_json: AsJson = False,
) -> None:
    """Write a file in another form, and say what that form cannot hold.

    Forms: boresight (our own record, which holds everything), trl_explicit (texts), trl_conversational, trl_implicit,
    trl_unpaired, hh_rlhf, openai, sharegpt, alpaca, csv. The container follows from the name of --out: .jsonl, .json,
    .parquet, for csv .csv or .tsv, and gzip where it ends in .gz; the file is written whole or not at all.

    Every row is read back as it is written. Fields that come back changed are counted as lost; a record whose text
    would come back as other text is refused. With --on-error skip such records, and rows that cannot be read, go to
    a file beside --out, NAME.skipped.jsonl, with their reason. Columns that are not read are kept in a record's meta.

    \b
    Example:
      boresight data convert hh.jsonl.gz --to boresight --out pairs.jsonl
      boresight data convert pairs.jsonl --to csv --out pairs.csv --json
    """
    from boresight.data.conversion import convert_file

    with refusals(on_error) as refuse, progress() as report:
        conversion = convert_file(file, to, out, form=form, columns=named(columns), refuse=refuse, progress=report)
        skipped = save_skipped(refuse, out)
    print(json.dumps(conversion_json(conversion) | skipped) if as_json else conversion_text(conversion, skipped))


def conversion_json(conversion: "Conversion") -> dict[str, Any]:
    return {
        "format": conversion.format,
        "to": conversion.to,
        "kind": conversion.kind,
        "out": str(conversion.out),
        "rows": conversion.rows,
        "records": conversion.records,
        "lost": dict(conversion.lost),
        "left_out": conversion.left_out,
        "unkept": conversion.unkept,
    }


def conversion_text(conversion: "Conversion", skipped: dict[str, Any]) -> str:
    lines = [
        f"{conversion.out}: {conversion.records:,} {conversion.kind} as {conversion.to}, from {conversion.rows:,} rows "
        f"({conversion.format})"
    ]
    lines += [f"  lost in {counted(count, 'record')}: {name}" for name, count in conversion.lost.items()]
    lines += [f"  left out, {reason}: {counted(count, 'row')}" for reason, count in conversion.left_out.items()]
    lines += [
        f"  column {name}: {count:,} values that JSON has no form for" for name, count in conversion.unkept.items()
    ]
    if skipped.get("skipped"):
        lines.append(f"  skipped: {skipped['skipped']:,}, with their reasons in {skipped['skipped_file']}")
    return "\n".join(lines)


@contextmanager
def refusals(on_error: str) -> "Iterator[Callable[..., None]]":
    """What becomes of rows that cannot be read, as `--on-error` says."""
    from boresight.data.refusals import RowsAside
    from boresight.errors import DataError

    def stop(error: DataError, line: int, found: object) -> None:
        raise DataError(f"{error} To go on without such rows, and set them aside: --on-error skip.") from error

    if on_error not in ("stop", "skip"):
        raise typer.BadParameter(f"{on_error!r} is neither stop nor skip", param_hint="--on-error")
    if on_error == "stop":
        yield stop
        return
    with RowsAside() as aside:
        yield aside


def save_skipped(refuse: "Callable[..., None] | RowsAside", file: Path) -> dict[str, Any]:
    """Write the rows that were skipped beside their file; what is to be told of them."""
    from boresight.data.refusals import RowsAside

    if not isinstance(refuse, RowsAside):
        return {}
    side = file.with_name(f"{file.name}.skipped.jsonl")
    refuse.save(side)
    return {"skipped": refuse.count, "skipped_file": str(side) if refuse.count else None}


@contextmanager
def progress(every: int = 2000) -> Iterator[Callable[[int], None]]:
    """A counter of records on the terminal, for files that take a while."""
    shown = sys.stderr.isatty()

    def told(count: int) -> None:
        if shown and count % every == 0:
            print(f"\r{counted(count, 'record')}", end="", file=sys.stderr, flush=True)

    yield told
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def named(columns: list[str] | None) -> dict[str, str] | None:
    """`PART=NAME` options as a mapping."""
    if not columns:
        return None
    pairs = [item.partition("=") for item in columns]
    bad = next((item for item, (part, _, name) in zip(columns, pairs, strict=True) if not part or not name), None)
    if bad is not None:
        raise typer.BadParameter(f"{bad!r} is not PART=NAME, such as chosen=best", param_hint="--column")
    return {part: name for part, _, name in pairs}
