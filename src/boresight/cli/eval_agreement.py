"""`boresight eval agreement`: how far raters agree, and a judge with them."""

import json
from pathlib import Path
from typing import Annotated, Any

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
    result files give a judge's accuracy in both orders. Of more than two raters Cohen's kappa is the mean over pairs.
    Intervals are bootstrapped over items; the ci95 of --json is that of Krippendorff's alpha.

    \b
    Example:
      boresight eval agreement testset-v1.json --verdicts judge-verdicts.json
      boresight eval agreement labels.csv --rater anna --rater ben --json
    """
    from boresight.errors import DataError
    from boresight.evaluation.agreement import both_orders_agreement, rater_agreement
    from boresight.evaluation.rater_files import BothOrders, read_raters, read_verdicts

    read = read_raters(file, tuple(raters or ()))
    if not isinstance(read, BothOrders):
        given = read_verdicts(verdicts, read.ids) if verdicts else None
        result = rater_agreement(read, verdicts=given, seed=seed)
    elif verdicts:
        raise DataError(f"{file}: holds a judge's verdicts in both orders itself; leave --verdicts out.")
    else:
        result = both_orders_agreement(read, seed=seed)
    print(json.dumps({"file": str(file), **result}, ensure_ascii=False) if as_json else agreement_text(file, result))


def agreement_text(file: Path, result: dict[str, Any]) -> str:
    """Figures with their intervals, one a line; then labels and judges."""
    from boresight.cli.tables import table

    rows = [[name, _number(result[name]), _interval(bounds)] for name, bounds in result["intervals"].items()]
    parts = [f"{file}\n  {result['n']:,} items, {result['raters']} raters", table(rows, right=(1,))]
    orders = ("accuracy_given_order", "accuracy_swapped", "correct_in_both", "correct_by_vote", "same_verdict_in_both",
              "first_position_rate", "unparsable", "cohen_kappa_given_order", "cohen_kappa_swapped")  # fmt: skip
    if "accuracy_given_order" in result:
        parts.append(table([[name, _number(result[name])] for name in orders], right=(1,)))
    if len(result["cohen_kappa_pairs"]) > 1:
        pairs = [[f"kappa of {names}", _number(kappa)] for names, kappa in result["cohen_kappa_pairs"].items()]
        parts.append(table(pairs, right=(1,)))
    labels = {**result.get("labels", {}), **{k: result[k] for k in ("majority", "final") if k in result}}
    labels |= {f"final, {group}": counts for group, counts in result.get("final_by_group", {}).items()}
    if labels:
        parts.append(table([[name, ", ".join(f"{k}: {v:,}" for k, v in own.items())] for name, own in labels.items()]))
    for name, judge in result.get("judges", {}).items():
        figures = [[f"{name}: {key}", _number(value)] for key, value in judge.items()]
        parts.append(table(figures, right=(1,)))
    return "\n\n".join(parts)


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _interval(bounds: list[float | None]) -> str:
    return "" if None in bounds else f"{bounds[0]:.4f} to {bounds[1]:.4f}"
