"""Bringing a store's tables up to date with the revisions in `migrations/versions`, when it is opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from boresight.web.annotation.refused import RefusedError

MIGRATIONS = Path(__file__).with_name("migrations")
LOCK = 0x626F7265  # one number for PostgreSQL's advisory lock: of two that open a new store, one makes the tables


def newest_revision() -> str:
    """The newest revision of the tables that this version knows."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert head is not None
    return head


def upgrade(engine: Engine) -> None:
    """Apply what is missing, all of it or nothing. Raises RefusedError for a store that a newer version has written."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    with engine.connect().execution_options(reading=True) as connection:
        if MigrationContext.configure(connection).get_current_revision() == scripts.get_current_head():
            return
    with engine.connect() as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
        _apply(connection, scripts)


def _apply(connection: Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise RefusedError(
            "bad_request", f"the store is of revision {current}, which this version does not know. Install a newer one."
        )

    def missing(revision: Sequence[str], context: Any) -> Any:
        return scripts._upgrade_revs("head", revision)  # type: ignore[arg-type]  # what `alembic upgrade` calls

    context = MigrationContext.configure(connection, opts={"fn": missing})
    with Operations.context(context):
        context.run_migrations()
