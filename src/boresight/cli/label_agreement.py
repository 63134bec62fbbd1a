"""`boresight label agreement`: of a store, with reliability and bias; of a file of any program, as `eval agreement`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.cli.eval_agreement import agreement as file_agreement
from boresight.cli.labelling import AsJson, ProjectName, opened, project_meant
from boresight.data.wording import counted
from boresight.tables import table

STORES = (".db", ".sqlite", ".sqlite3")


def agreement(
    place: Annotated[str, typer.Argument(metavar="STORE|FILE", help="A store, or a file with columns of raters.")],
    project: ProjectName = None,
    raters: Annotated[
        list[str] | None, typer.Option("--rater", metavar="COLUMN", help="Of a file: a rater's column.")
    ] = None,
    names: Annotated[bool, typer.Option("--names", help="Tell annotators by name, not by number.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """How far annotators agree, and what biases them.

    Of a store: percent agreement, Cohen's, Fleiss' and Krippendorff's coefficients with bootstrap intervals, each
    annotator's reliability (Dawid and Skene), side, length and speed, the models' strengths, and warnings. Any other
    file is read as `eval agreement` reads it.

    \b
    Example:
      boresight label agreement labels.db
      boresight label agreement ratings.csv --rater anna --rater ben
    """
    if "://" not in place and not place.endswith(STORES):
        file_agreement(Path(place), raters=raters, seed=seed, as_json=as_json)
        return
    with opened(place) as store:
        from boresight.web.annotation.bias import biases
        from boresight.web.annotation.quality import quality

        meant = project_meant(store, project)
        result = {"store": place, "project": meant.name, **quality(store, meant.id, names=names, seed=seed)}
        found = biases(store, meant.id, names=names)
    result |= {"annotators": [_bias_row(bias) for bias in found["annotators"]], "warnings": found["warnings"]}
    print(json.dumps(result, ensure_ascii=False) if as_json else _told(result))


def _bias_row(bias: Any) -> dict[str, Any]:
    shares = {"first": bias.first, "longer": bias.longer}
    told = {name: share and {"share": share.value, "ci95": [share.low, share.high]} for name, share in shares.items()}
    return {
        "annotator": bias.annotator,
        "votes": bias.votes,
        **told,
        "median_seconds": bias.median_seconds,
        "hasty": bias.hasty,
    }


def _told(result: dict[str, Any]) -> str:
    figures = dict(result["agreement"])
    counts = [figures.pop("pairs"), figures.pop("pairs_rated_twice")]
    parts = [f"{result['project']}\n  {counted(counts[0], 'pair')} rated, {counts[1]:,} of them by two or more"]
    rows = [[name, _share(one and one["value"]), _interval(one)] for name, one in figures.items()]
    parts.append(table(rows, right=(1,)))
    reliability = result["reliability"] or {}
    people = [["annotator", "votes", "reliability", "first shown", "longer", "seconds"]] + [
        [
            one["annotator"],
            f"{one['votes']:,}",
            _share(reliability.get(one["annotator"], {}).get("accuracy")),
            _share(one["first"] and one["first"]["share"]),
            _share(one["longer"] and one["longer"]["share"]),
            f"{one['median_seconds']:.1f}",
        ]
        for one in result["annotators"]
    ]
    parts.append(table(people, right=(1, 2, 3, 4, 5)))
    if models := result["strengths"]["models"]:
        parts.append(table([[m["model"], f"{m['strength']:+.3f}", f"± {m['standard_error']:.3f}"] for m in models]))
    parts += [f"warning: {warning}" for warning in result["warnings"]]
    return "\n\n".join(parts)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(one: dict[str, float] | None) -> str:
    return "" if one is None or one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
