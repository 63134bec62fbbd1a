"""What the verbs of `boresight label` share: opening a store, and which of its projects is meant."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from boresight.web.annotation.projects import Project
    from boresight.web.annotation.store import Store

StorePlace = Annotated[str, typer.Argument(metavar="STORE", help="labels.db, or postgresql://user@host/name.")]
ProjectName = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="Needed where the store has several.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def need_packages() -> None:
    """Raises StorageError where the packages for a store are not installed."""
    from boresight.errors import StorageError

    missing = [name for name in ("sqlalchemy", "alembic") if find_spec(name) is None]
    if missing:
        raise StorageError(f"labelling needs the package {missing[0]}: pip install 'boresight[web]'.")


@contextmanager
def opened(place: str, *, create: bool = False) -> "Iterator[Store]":
    """The store at a path or an address, closed at the end."""
    need_packages()
    from boresight.web.annotation.store import open_store

    store = open_store(place, create=create)
    try:
        yield store
    finally:
        store.close()


def project_meant(store: "Store", name: str | None) -> "Project":
    """The project of that name, or the only one. Raises RefusedError that lists them."""
    from boresight.web.annotation.projects import all_projects
    from boresight.web.annotation.refused import RefusedError

    found = all_projects(store)
    chosen = [project for project in found if name in (None, project.name)]
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(project.name for project in found) or "none"
    wanted = f"project {name!r}: not in this store" if name else "which project? --project NAME"
    raise RefusedError("not_found", f"{wanted}; the store holds {names}.")
