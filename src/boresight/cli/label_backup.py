"""`boresight label backup` and `restore`: a store as one file, and back."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.labelling import AsJson, StorePlace, need_packages, opened


def backup(
    store: StorePlace,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: .db, .jsonl or .jsonl.gz.")],
    as_json: AsJson = False,
) -> None:
    """Copy a store while it is in use, as of one moment.

    A name ending in .jsonl or .jsonl.gz makes an archive that SQLite and PostgreSQL take back; any other name a copy of
    the SQLite file. Both hold password hashes: only their owner may read them.

    \b
    Example:
      boresight label backup labels.db backups/monday.db
      boresight label backup postgresql://boresight@db/labels backups/monday.jsonl.gz
    """
    with opened(store) as opened_store:
        from boresight.web.annotation.archive import backup as write_backup

        kind = write_backup(opened_store, out)
    print(json.dumps({"out": str(out), "kind": kind}) if as_json else f"{out}: written ({kind})")


def restore(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="What `label backup` wrote.")],
    store: StorePlace,
    as_json: AsJson = False,
) -> None:
    """Make a store from a backup. Where there is one already, nothing is changed.

    \b
    Example:
      boresight label restore backups/monday.jsonl.gz postgresql://boresight@db/labels
    """
    need_packages()
    from boresight.web.annotation.archive import restore as read_backup

    counts = read_backup(source, store)
    told = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
    print(json.dumps({"store": store, "rows": counts}) if as_json else f"{store}: restored ({told})")
