import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text

from boresight.errors import StorageError
from boresight.web.annotation.adjudication import adjudicate
from boresight.web.annotation.archive import backup, restore
from boresight.web.annotation.events import record
from boresight.web.annotation.people import add_person, make_invite, make_token, person_of_token
from boresight.web.annotation.projects import add_tasks, make_project, progress
from boresight.web.annotation.queue import claim, save_draft, submit
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, metadata
from boresight.web.annotation.settings import Settings, parse_overlap, settings_from
from boresight.web.annotation.store import Store, open_store
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.made import project_with, task
from tests.web.annotation.test_people import all_rows
from tests.web.postgres import new_database

Opener = Callable[[str], Store]


def at_work(store: Store) -> tuple[int, int, str]:
    """A store with something in every table; project, a person in the middle of a task, and that person's token."""
    project, (person, other) = project_with(store, overlap=2)
    reviewer = add_person(store, "Bär 熊", "reviewer")
    make_invite(store, valid_seconds=10)
    add_tasks(store, project.id, [task("a"), task("b", 3, suggestion=[1, 2, 2])])
    for annotator in (person, other):
        held = claim(store, project.id, annotator.id)
        assert held is not None
        submit(store, held.task_id, annotator.id, {"preference": -1, "comment": "so"}, key="k")
    adjudicate(store, held.task_id, reviewer.id, {"preference": 1}, key="d")
    held = claim(store, project.id, person.id)
    assert held is not None
    save_draft(store, held.task_id, person.id, {"ranks": [1, 2, 3]})
    return project.id, person.id, make_token(store, person.id, "api")


def test_an_archive_gives_back_every_row_in_either_kind_of_database(
    store: Store, tmp_path: Path, postgres: str, open_at: Opener
) -> None:
    project, person, token = at_work(store)
    assert backup(store, tmp_path / "labels.jsonl.gz") == "jsonl"
    before = all_rows(store)
    assert all(before.values()), "every table has rows, so that the check means something"
    for place in (str(tmp_path / "other.db"), new_database(postgres)):
        counts = restore(tmp_path / "labels.jsonl.gz", place)
        again = open_at(place)
        assert all_rows(again) == before and counts == {name: len(rows) for name, rows in before.items()}
        held = claim(again, project, person)
        assert held is not None and held.draft == {"ranks": [1, 2, 3]} and person_of_token(again, token) is not None
        submit(again, held.task_id, person, {"ranks": [1, 1, 2]}, key="after")  # new ids do not meet old ones
        add_person(again, "newcomer")
        make_project(again, "another")
        assert len(voted_tasks(again, project)[1].labelled.votes) == 1


def test_a_copy_of_sqlite_is_a_store_and_only_its_owners(sqlite_store: Store, tmp_path: Path, open_at: Opener) -> None:
    project, _, _ = at_work(sqlite_store)
    assert backup(sqlite_store, tmp_path / "copy.db") == "sqlite"
    record(sqlite_store, "login")  # after the copy
    for made in (tmp_path / "copy.db", tmp_path / "labels.db"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o600
    restore(tmp_path / "copy.db", tmp_path / "again.db")
    again = open_at(str(tmp_path / "again.db"))
    assert progress(again, project)["answers"] == 2
    assert len(all_rows(again)["events"]) == len(all_rows(sqlite_store)["events"]) - 1


def test_what_is_there_already_and_what_is_no_backup_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    at_work(sqlite_store)
    backup(sqlite_store, tmp_path / "a.jsonl")
    before = all_rows(sqlite_store)
    with pytest.raises(RefusedError, match="a file of this name"):
        backup(sqlite_store, tmp_path / "a.jsonl")
    with pytest.raises(RefusedError, match="already"):
        restore(tmp_path / "a.jsonl", tmp_path / "labels.db")
    assert all_rows(sqlite_store) == before
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "short.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(RefusedError, match="was written with"):
        restore(tmp_path / "short.jsonl", tmp_path / "short.db")
    (tmp_path / "other.jsonl").write_text(json.dumps({"prompt": "Why?"}) + "\n")
    for file in ("other.jsonl", "absent.jsonl"):
        with pytest.raises(RefusedError, match="what `label backup` wrote"):
            restore(tmp_path / file, tmp_path / "new.db")


def test_the_migrations_make_the_tables_of_the_schema(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_leases_of_the_second_revision_get_to_know_who_was_told_what_an_ai_answered(
    place: str, open_at: Opener
) -> None:
    store = open_at(place)
    annotators = [add_person(store, name).id for name in ("shown it", "told after the vote", "not told")]
    for mode, people in (("triage", annotators[:1]), ("blind", annotators[1:])):
        project = make_project(store, mode, Settings(mode=mode, overlap=2))  # type: ignore[arg-type]
        add_tasks(store, project.id, [task("a", suggestion=2)])
        held = [claim(store, project.id, person) for person in people]
        if mode == "blind" and held[0] is not None:
            submit(store, held[0].task_id, people[0], {"preference": 1}, key="k")
    with store.write() as connection:
        connection.execute(text("ALTER TABLE assignments DROP COLUMN told"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    with open_at(place).read() as connection:
        told = {row.person_id: row.told for row in connection.execute(select(assignments))}
    assert [told[person] for person in annotators] == [True, True, False]


def test_stores_of_a_newer_version_and_of_no_kind_are_refused(tmp_path: Path, sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RefusedError, match=r"9999.*newer one"):
        open_store(tmp_path / "labels.db")
    with pytest.raises(RefusedError, match="no such file"):
        open_store(tmp_path / "absent.db", create=False)
    with pytest.raises(RefusedError, match="no database of this kind"):
        open_store("mysql://localhost/labels")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_store("postgresql://nobody@127.0.0.1:1/labels")
    (tmp_path / "text.db").write_text("this is no database, but a text that is long enough to be looked at")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_store(tmp_path / "text.db")


def test_settings_are_checked_by_name_and_value() -> None:
    assert parse_overlap("3") == (3, 0.0) and parse_overlap("30%") == (1, 0.3)
    for wrong in ("0", "1.5", "120%", "many", "-1", "nan", "inf"):
        with pytest.raises(RefusedError, match="overlap"):
            parse_overlap(wrong)
    with pytest.raises(RefusedError, match='did you mean "gold_every"'):
        settings_from({"gold_evry": 1})
    with pytest.raises(RefusedError, match="mode is 'open'"):
        settings_from({"mode": "open"})
    with pytest.raises(RefusedError, match="another type"):
        settings_from({"overlap": "2"})
    with pytest.raises(RefusedError, match="a name of its own"):
        settings_from({"criteria": [{"name": "a", "question": "?"}, {"name": "a", "question": "?"}]})
