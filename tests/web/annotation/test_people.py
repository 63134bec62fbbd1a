import pytest
from sqlalchemy import select

from boresight.web.annotation.erasure import erase_person
from boresight.web.annotation.events import audit_log, count_since, record
from boresight.web.annotation.people import (
    accept_invite,
    add_person,
    all_people,
    change_person,
    invited_role,
    let_in,
    make_invite,
    make_token,
    person_by_id,
    person_named,
    person_of_token,
    revoke_tokens,
    set_password_hash,
)
from boresight.web.annotation.projects import add_tasks, project_named
from boresight.web.annotation.queue import claim, save_draft, submit
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, metadata
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.conftest import Clock
from tests.web.annotation.made import project_with, task


def test_an_invite_lets_one_person_in_until_it_expires(store: Store, clock: Clock) -> None:
    admin = add_person(store, "admin", "admin")
    code = make_invite(store, "reviewer", valid_seconds=60, skills=["law"], by=admin.id)
    with pytest.raises(RefusedError, match="somebody has this name"):
        accept_invite(store, code, "admin")
    joined = accept_invite(store, code, "ben", "$argon2id$…")
    assert (joined.role, joined.skills) == ("reviewer", ("law",))
    assert let_in(store, "ben") == (joined, ("$argon2id$…", clock.now))
    late = make_invite(store, valid_seconds=60)
    clock.now += 60
    for used in (code, late, "guess"):
        with pytest.raises(RefusedError, match="unknown, used or expired"):
            accept_invite(store, used, "carl")


def test_of_the_links_that_make_the_first_admin_one_works(store: Store) -> None:
    printed = [make_invite(store, "admin", valid_seconds=60) for _ in range(3)]
    ada = accept_invite(store, printed[1], "ada")
    colleague = make_invite(store, "admin", valid_seconds=60, by=ada.id)
    for code in (printed[0], printed[2]):
        assert invited_role(store, code) is None
        with pytest.raises(RefusedError, match="unknown, used or expired"):
            accept_invite(store, code, "eve")
    assert accept_invite(store, colleague, "ben").role == "admin"


def test_tokens_are_kept_as_hashes_expire_and_can_be_revoked(sqlite_store: Store, clock: Clock) -> None:
    store = sqlite_store
    person = add_person(store, "anna")
    token, short = make_token(store, person.id, "api"), make_token(store, person.id, "api", expires_at=clock.now + 5)
    assert person_of_token(store, token) == person_of_token(store, short) == person
    clock.now += 5
    assert person_of_token(store, short) is None and person_of_token(store, "guess") is None
    assert revoke_tokens(store, person.id) == 2 and person_of_token(store, token) is None
    assert token not in str(all_rows(store))


def test_sessions_end_with_a_new_password_and_nobody_locked_out_is_let_in(sqlite_store: Store, clock: Clock) -> None:
    person = add_person(sqlite_store, "anna")
    clock.now += 60
    set_password_hash(sqlite_store, person.id, "$argon2id$…")
    assert let_in(sqlite_store, "anna") == (person, ("$argon2id$…", clock.now))
    change_person(sqlite_store, person.id, active=False)
    assert let_in(sqlite_store, "anna") is None


def test_roles_reach_downwards_and_the_last_admin_stays(sqlite_store: Store) -> None:
    admin, reviewer = add_person(sqlite_store, "a", "admin"), add_person(sqlite_store, "r", "reviewer")
    assert admin.may("annotator") and admin.may("admin") and reviewer.may("annotator") and not reviewer.may("admin")
    with pytest.raises(RefusedError, match="last active admin"):
        change_person(sqlite_store, admin.id, role="annotator")
    with pytest.raises(RefusedError, match="last active admin"):
        change_person(sqlite_store, admin.id, active=False)
    assert person_by_id(sqlite_store, admin.id).role == "admin"
    change_person(sqlite_store, reviewer.id, role="admin", skills=["law"])
    assert not change_person(sqlite_store, admin.id, active=False).may("annotator")
    assert person_by_id(sqlite_store, reviewer.id).skills == ("law",)
    assert change_person(sqlite_store, reviewer.id, skills=[]).skills == ()


def test_deleting_a_persons_data_leaves_the_votes_under_a_number(store: Store) -> None:
    project, (person, _) = project_with(store)
    set_password_hash(store, person.id, "$argon2id$secret")
    token = make_token(store, person.id, "api")
    record(store, "login", person_id=person.id, private={"address": "192.0.2.7"})
    add_tasks(store, project.id, [task("a"), task("b")])
    held = claim(store, project.id, person.id)
    assert held is not None
    submit(store, held.task_id, person.id, {"preference": 1, "comment": "I live in Bern"}, key="k")
    other = claim(store, project.id, person.id)
    assert other is not None
    save_draft(store, other.task_id, person.id, {"comment": "as I, Anna, said"})
    erase_person(store, person.id)
    left = str(all_rows(store))
    for private in ("annotator 0", "secret", "192.0.2.7", "Bern", "Anna"):
        assert private not in left, private
    (vote,) = voted_tasks(store, project.id)[0].labelled.votes
    assert vote.annotator == f"person-{person.id}" and vote.strength == 1
    assert person_of_token(store, token) is None and not person_by_id(store, person.id).active
    with store.read() as connection:
        states = set(connection.execute(select(assignments.c.state)).scalars())
    assert states == {"answered", "released"}


def test_the_audit_log_has_who_did_what_newest_first_by_pages(sqlite_store: Store, clock: Clock) -> None:
    store = sqlite_store
    admin = add_person(store, "admin", "admin")
    for _ in range(3):
        record(store, "login_failed", person_id=admin.id, private={"address": "192.0.2.7"})
        clock.now += 10
    log = audit_log(store, limit=2)
    assert [event["kind"] for event in log] == ["login_failed"] * 2 and log[0]["person"] == "admin"
    assert log[0]["private"] == {"address": "192.0.2.7"}
    assert [event["kind"] for event in audit_log(store, before=log[-1]["id"])] == ["login_failed", "person_added"]
    assert count_since(store, "login_failed", clock.now - 20, person_id=admin.id) == 2


def test_names_are_checked_and_missing_things_are_told(sqlite_store: Store) -> None:
    for name in ("", "  ", "a\nb", "x" * 201):
        with pytest.raises(RefusedError, match="printable"):
            add_person(sqlite_store, name)
    with pytest.raises(RefusedError, match="no comma"):
        add_person(sqlite_store, "a", skills=["a,b"])
    with pytest.raises(RefusedError, match="role 'boss'"):
        add_person(sqlite_store, "a", "boss")  # type: ignore[arg-type]
    assert person_named(sqlite_store, "a") is None and project_named(sqlite_store, "p") is None
    assert all_people(sqlite_store) == []
    with pytest.raises(RefusedError, match="no person 7"):
        claim(sqlite_store, 1, 7)


def all_rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    with store.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))] for table in metadata.sorted_tables
        }
