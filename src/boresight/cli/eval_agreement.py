"""`boresight eval agreement`: how far raters agree, and a judge with them."""

import json
from pathlib import Path
from typing import Annotated

import typer


def agreement(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labels of several raters, or a judge in both orders.")],
    raters: Annotated[
        list[str] | None, typer.Option("--rater", metavar="COLUMN", help="A rater's column; give at least two.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help="A judge's verdicts on the same items, by idx.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """How far raters agree beyond chance, and a judge with them.

    Raters are columns such as annotator1, annotation_2 or rater_a, or those that --rater names. Where the file has
    final labels, its automatic labels are held against them; --verdicts holds a judge against the majority. LLMBar's
    result files give a judge's accuracy in both orders. Of more than two raters Cohen's kappa is the mean over pairs,
    weighted by the items that both rated. Intervals are bootstrapped over items; the ci95 of --json is that of
    Krippendorff's alpha.

    \b
    Example:
      boresight eval agreement testset-v1.json --verdicts judge-verdicts.json
      boresight eval agreement labels.csv --rater anna --rater ben --json
    """
    from boresight.api import evaluate

    done = evaluate.agreement(file, raters=raters or (), verdicts=verdicts, seed=seed)
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
