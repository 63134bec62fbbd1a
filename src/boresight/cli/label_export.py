"""`boresight label export`: what a store holds, as files that training reads."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.labelling import AsJson, ProjectName, StorePlace, opened, project_meant
from boresight.data.wording import counted


def export(
    store: StorePlace,
    project: ProjectName = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Preference pairs.")] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FORM", help="Of the pairs: boresight, trl_explicit, …; see data convert.")
    ] = "boresight",
    demonstrations: Annotated[
        Path | None, typer.Option("--demonstrations", metavar="FILE", help="The better answers that people wrote.")
    ] = None,
    votes: Annotated[Path | None, typer.Option("--votes", metavar="FILE", help="Every vote, one a row.")] = None,
    ratings: Annotated[
        Path | None, typer.Option("--ratings", metavar="FILE", help="A column for each rater, for agreement.")
    ] = None,
    only_complete: Annotated[
        bool, typer.Option("--only-complete", help="Leave out tasks that wait for more answers.")
    ] = False,
    names: Annotated[bool, typer.Option("--names", help="Tell annotators by name, not by number.")] = False,
    as_json: AsJson = False,
) -> None:
    """Preference pairs, demonstrations and votes from a store.

    A pair's p_chosen is the share of its votes, or the decision of a reviewer where there was one; the votes stand in
    its meta. A ranking of K responses gives all its pairs under one ranking id. The file's name tells the container:
    .jsonl, .json, .parquet, .csv.

    \b
    Example:
      boresight label export labels.db --out pairs.parquet --demonstrations demos.jsonl
      boresight label export labels.db --out pairs.jsonl --to trl_conversational
    """
    from boresight.errors import DataError

    if not any((out, demonstrations, votes, ratings)):
        raise DataError("nothing to write; name a file: --out, --demonstrations, --votes or --ratings.")
    with opened(store) as opened_store:
        from boresight.web.annotation.export import export_demonstrations, export_pairs, export_ratings, export_votes

        meant = project_meant(opened_store, project).id
        written: dict[str, int] = {}
        if out:
            count = export_pairs(opened_store, meant, out, to=to, only_complete=only_complete, names=names)
            written[str(out)] = count
        if demonstrations:
            written[str(demonstrations)] = export_demonstrations(opened_store, meant, demonstrations, names=names)
        if votes:
            written[str(votes)] = export_votes(opened_store, meant, votes, names=names)
        if ratings:
            written[str(ratings)] = export_ratings(opened_store, meant, ratings)
    told = "\n".join(f"{file}: {counted(count, 'record')}" for file, count in written.items())
    print(json.dumps({"written": written}, ensure_ascii=False) if as_json else told)
