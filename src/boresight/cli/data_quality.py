"""`boresight data lint`, `filter` and `split`: what is wrong with preference data, and what to do about it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from boresight.cli.data import AsJson, Columns, named, progress

if TYPE_CHECKING:
    from boresight.data.length_balance import LengthWeights
    from boresight.data.quality_files import FilteredFile, SplitFiles

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Data files.")]
Evaluation = Annotated[
    list[Path] | None, typer.Option("--eval", metavar="FILE", help="Evaluation prompts; must not be trained on.")
]
LintIds = list[str] | None


def lint(
    files: Files,
    evaluation: Evaluation = None,
    prompts: Annotated[
        list[Path] | None, typer.Option("--prompts", metavar="FILE", help="Prompts that PPO will be rewarded on.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="PAGE", help="Write an HTML page with plots here.")
    ] = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with preference pairs or demonstrations.

    Each finding has an id, a severity, the rows concerned, three examples and what to do: length bias, duplicates,
    contradictions, ties, empty, equal, cut-off and off-topic answers, style that predicts the label, sycophancy,
    special tokens and damaged text, personal data, narrow demonstrations. Several files are splits of one set: what
    stands in two of them is told. docs/data_quality.md lists the ids. Exit code 1: a finding is an error.

    \b
    Example:
      boresight data lint pairs.csv
      boresight data lint train.jsonl test.jsonl --eval held_out.jsonl --report data.html
    """
    from boresight.api.linting import lint as look

    with progress() as told:
        done = look(
            *files, evaluation=evaluation or (), prompts=prompts or (), columns=named(columns), report=report,
            progress=told,
        )  # fmt: skip
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
    if not done.passed:
        raise typer.Exit(1)


def filter_rows(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Preference pairs.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="File for what stays: .jsonl or .jsonl.gz.")],
    max_length_ratio: Annotated[
        float | None, typer.Option(min=0, help="Chosen at most this many times as long as rejected.")
    ] = None,
    length_unit: Annotated[Literal["words", "characters"], typer.Option(help="What lengths count.")] = "words",
    dedupe: Annotated[Literal["exact", "near"] | None, typer.Option(help="Drop repeated rows.")] = None,
    drop_ties: Annotated[bool, typer.Option("--drop-ties", help="Drop pairs without a preference.")] = False,
    max_per_prompt: Annotated[int | None, typer.Option(min=1, help="Keep a prompt's first pairs.")] = None,
    balance_length: Annotated[
        Literal["drop", "reweight"] | None,
        typer.Option(help="Drop pairs, or weigh them in meta.weight, until length alone tells nothing in any kind."),
    ] = None,
    drop_lint: Annotated[
        LintIds, typer.Option("--drop-lint", metavar="ID", help="Drop rows of a finding; may repeat.")
    ] = None,
    only_lint: Annotated[
        LintIds, typer.Option("--only-lint", metavar="ID", help="Keep only rows of a finding; may repeat.")
    ] = None,
    evaluation: Evaluation = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Leave rows out of preference data, each with its reason.

    What stays is written to --out as JSON Lines; what goes to NAME.dropped.jsonl beside it, each record with its
    reason in meta.dropped. A row goes for the first reason that holds. With --balance-length reweight nothing goes for
    its length: meta.weight of each pair evens it out, where a training stage has pair_weights: true.

    \b
    Example:
      boresight data filter pairs.csv --max-length-ratio 2 --dedupe near --out kept.jsonl
      boresight data filter pairs.csv --only-lint sycophancy --out look.jsonl
    """
    from boresight.data.filters import Filters
    from boresight.data.quality_files import filter_file

    filters = Filters(
        max_length_ratio=max_length_ratio,
        length_unit=length_unit,
        duplicates="drop_near" if dedupe == "near" else "drop" if dedupe else "keep",
        ties="drop" if drop_ties else "keep",
        max_per_prompt=max_per_prompt,
        balance_length=balance_length == "drop",
    )
    done = filter_file(
        file,
        out,
        filters,
        drop_lint=drop_lint or (),
        only_lint=only_lint or (),
        evaluation=evaluation or (),
        reweight=balance_length == "reweight",
        columns=named(columns),
    )
    print(json.dumps(done.as_json(), ensure_ascii=False) if as_json else filter_text(done))


def split(
    files: Files,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for one file of each part.")],
    parts: Annotated[
        str, typer.Option("--parts", metavar="NAME=SHARE,...", help="Parts and their shares, which add up to 1.")
    ] = "train=0.9,test=0.1",
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
    groups: Annotated[
        Literal["beginnings", "paraphrases"], typer.Option(help="Which prompts go to one part together.")
    ] = "paraphrases",
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Part preference data so that no prompt leaks.

    Conversations that begin with the same message of the user go to one part together; by default also those whose
    prompts are paraphrases: the same words in another order, or near duplicates. A row's part follows from the seed
    and its own words, so rows that are added later move none; one that is near to rows of two parts goes to
    aside.jsonl.

    \b
    Example:
      boresight data split pairs.jsonl --out data --parts train=0.8,validation=0.1,test=0.1
    """
    from boresight.data.quality_files import split_files

    done = split_files(files, out, shares(parts), seed, named(columns), groups)
    print(json.dumps(done.as_json(), ensure_ascii=False) if as_json else split_text(done))


def filter_text(done: "FilteredFile") -> str:
    lines = [f"{done.out}: {done.kept:,} of {done.rows:,} pairs kept"]
    lines += [f"  left out, {reason}: {count:,}" for reason, count in done.dropped.items()]
    lines.append(f"  what was left out: {done.dropped_file}")
    if done.weights:
        lines += weights_text(done.weights)
    return "\n".join(lines)


def weights_text(weights: "LengthWeights") -> list[str]:
    from boresight.data.wording import percent

    plain, weighted = (weights.accuracy(weighted=weighted) for weighted in (False, True))
    if plain is None or weighted is None:
        return ["  all pairs weigh 1: no two responses differ in length"]
    lines = [f"  a rule that sees length alone is right in {percent(plain)}, by weight in {percent(weighted)}"]
    if weights.one_sided:
        names = ", ".join(name or "(none)" for name in weights.one_sided)
        lines.append(f"  not evened out, because all of their chosen responses are longer, or all shorter: {names}")
    return lines


def split_text(done: "SplitFiles") -> str:
    from boresight.tables import table

    rows = [["rows", *done.parts], ["all", *(f"{done.rows[name]:,}" for name in done.parts)]]
    rows += [[stratum, *(f"{counts[name]:,}" for name in done.parts)] for stratum, counts in done.strata.items()]
    lines = [f"{sum(done.rows.values()):,} rows, {done.placement.groups:,} groups of prompts"]
    lines.append(table(rows, right=range(1, len(rows[0]))))
    if done.rows["aside"]:
        lines.append(f"  near to rows of two parts, left aside: {done.rows['aside']:,} in {done.files['aside']}")
    if not done.placement.searched:
        lines.append("  near duplicates were not looked for: rensa is not installed (pip install 'boresight[data]')")
    return "\n".join(lines)


def shares(parts: str) -> dict[str, float]:
    """train=0.9,test=0.1 as a mapping."""
    found: dict[str, float] = {}
    for item in parts.split(","):
        name, _, share = item.partition("=")
        try:
            found[name.strip()] = float(share)
        except ValueError:
            raise typer.BadParameter(f"{item!r} is not NAME=SHARE, such as train=0.9", param_hint="--parts") from None
    return found
