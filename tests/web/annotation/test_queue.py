import threading
from collections import Counter

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from boresight.web.annotation.events import audit_log
from boresight.web.annotation.projects import add_tasks, change_settings, pause, progress
from boresight.web.annotation.queue import claim, save_draft, skip, submit, undo
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.schema import assignments, events, tasks
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.conftest import Clock
from tests.web.annotation.made import project_with, task


def test_a_task_goes_to_as_many_people_as_its_overlap_and_to_nobody_twice(store: Store) -> None:
    project, people = project_with(store, 3, overlap=2)
    add_tasks(store, project.id, [task("a")])
    first, second = (claim(store, project.id, person.id) for person in people[:2])
    assert first and second and first.task_id == second.task_id
    assert claim(store, project.id, people[2].id) is None
    submit(store, first.task_id, people[0].id, {"preference": -1}, key="k")
    assert claim(store, project.id, people[0].id) is None
    assert claim(store, project.id, people[2].id) is None


def test_claiming_again_gives_the_same_task_with_its_draft_and_a_new_lease(store: Store, clock: Clock) -> None:
    project, (person, _) = project_with(store, lease_seconds=60)
    add_tasks(store, project.id, [task("a"), task("b")])
    first = claim(store, project.id, person.id)
    assert first is not None
    clock.now += 30
    assert save_draft(store, first.task_id, person.id, {"preference": 2}) == clock.now + 60
    clock.now += 30
    again = claim(store, project.id, person.id)
    assert again is not None and again.task_id == first.task_id and again.responses == first.responses
    assert again.draft == {"preference": 2} and again.leased_until == clock.now + 60


def test_a_lease_that_has_run_out_passes_to_the_next_and_a_late_answer_is_kept_uncounted(
    store: Store, clock: Clock
) -> None:
    project, (slow, other) = project_with(store, lease_seconds=60)
    add_tasks(store, project.id, [task("a")])
    held = claim(store, project.id, slow.id)
    assert held is not None and claim(store, project.id, other.id) is None
    clock.now += 61
    assert claim(store, project.id, other.id) is not None
    with pytest.raises(RefusedError, match="lease of this task has run out") as lost:
        submit(store, held.task_id, slow.id, {"preference": 3}, key="late")
    assert lost.value.reason == "lease_lost"
    with pytest.raises(RefusedError):  # sent twice, it is one
        submit(store, held.task_id, slow.id, {"preference": 3}, key="late")
    with pytest.raises(RefusedError):
        save_draft(store, held.task_id, slow.id, {})
    assert [event["kind"] for event in audit_log(store, person_id=slow.id)] == ["late_answer"]
    assert voted_tasks(store, project.id)[0].labelled.votes == ()


def test_a_late_answer_counts_where_nobody_else_has_come(store: Store, clock: Clock) -> None:
    project, (slow, other) = project_with(store, lease_seconds=60, overlap=2)
    add_tasks(store, project.id, [task("a")])
    held = claim(store, project.id, slow.id)
    assert held is not None
    clock.now += 61
    assert claim(store, project.id, other.id) is not None  # frees the lease, takes the other place
    submit(store, held.task_id, slow.id, {"preference": 3}, key="late")
    assert len(voted_tasks(store, project.id)[0].labelled.votes) == 1


def test_the_same_answer_sent_twice_is_stored_once_and_another_under_its_key_is_refused(store: Store) -> None:
    project, (person, _) = project_with(store)
    add_tasks(store, project.id, [task("a")])
    held = claim(store, project.id, person.id)
    assert held is not None
    answer = {"preference": -2, "comment": "clear"}
    receipt = submit(store, held.task_id, person.id, answer, key="k1")
    again = submit(store, held.task_id, person.id, answer, key="k1")
    assert again.repeated and again.event_id == receipt.event_id
    with pytest.raises(RefusedError, match="another answer"):
        submit(store, held.task_id, person.id, {"preference": 2}, key="k1")
    with pytest.raises(RefusedError, match="answered this task already"):
        submit(store, held.task_id, person.id, {"preference": 2}, key="k2")
    (vote,) = voted_tasks(store, project.id)[0].labelled.votes
    assert vote.strength == 2 and vote.comment == "clear"


def test_a_vote_is_stored_by_the_responses_as_listed_whatever_was_shown_first(store: Store) -> None:
    project, people = project_with(store, 12, overlap=12)
    add_tasks(store, project.id, [task("a"), task("r", 4)])
    seen = set()
    for person in people:
        pair = claim(store, project.id, person.id)
        assert pair is not None
        seen.add(tuple(pair.responses))
        first_is_better = pair.responses[0] == "a answer 0"
        submit(store, pair.task_id, person.id, {"preference": -3 if first_is_better else 3}, key="pair")
        ranking = claim(store, project.id, person.id)
        assert ranking is not None
        ranks = [int(text.split()[2][0]) + 1 for text in ranking.responses]
        submit(store, ranking.task_id, person.id, {"ranks": ranks}, key="ranking")
    assert len(seen) == 2
    pair_votes, ranking_votes = (voted.labelled.votes for voted in voted_tasks(store, project.id))
    assert {vote.ranks for vote in pair_votes} == {(1, 2)} and {vote.strength for vote in pair_votes} == {3}
    assert {vote.ranks for vote in ranking_votes} == {(1, 2, 3, 4)}
    assert len({vote.shown for vote in ranking_votes}) > 4


def test_undo_takes_back_the_last_answer_and_leaves_it_in_the_log(store: Store) -> None:
    project, (person, other) = project_with(store)
    add_tasks(store, project.id, [task("a"), task("b")])
    first = claim(store, project.id, person.id)
    assert first is not None
    submit(store, first.task_id, person.id, {"preference": 1}, key="k1")
    following = claim(store, project.id, person.id)
    back = undo(store, project.id, person.id)
    assert following is not None and back.task_id == first.task_id and back.draft == {"preference": 1}
    taken_meanwhile = claim(store, project.id, other.id)
    assert taken_meanwhile is not None and taken_meanwhile.task_id == following.task_id
    submit(store, first.task_id, person.id, {"preference": -1}, key="k2")
    (vote,) = voted_tasks(store, project.id)[0].labelled.votes
    assert vote.strength == 1 and [e["kind"] for e in audit_log(store, person_id=person.id)] == [
        "answer",
        "undo",
        "answer",
    ]


def test_undo_of_a_skip_fails_once_the_task_has_gone_to_others(store: Store) -> None:
    project, (person, other) = project_with(store)
    add_tasks(store, project.id, [task("a")])
    held = claim(store, project.id, person.id)
    assert held is not None
    skip(store, held.task_id, person.id, reason="not my field")
    assert claim(store, project.id, person.id) is None
    assert undo(store, project.id, person.id).task_id == held.task_id
    skip(store, held.task_id, person.id)
    assert claim(store, project.id, other.id) is not None
    with pytest.raises(RefusedError, match="gone to others"):
        undo(store, project.id, person.id)
    with pytest.raises(RefusedError, match="no answer of yours"):
        undo(store, project.id, other.id)


def test_paused_and_closed_projects_give_nothing_out_but_take_what_is_under_way(store: Store, clock: Clock) -> None:
    project, (person, other) = project_with(store, deadline=clock.now + 100)
    add_tasks(store, project.id, [task("a"), task("b")])
    held = claim(store, project.id, person.id)
    assert held is not None
    pause(store, project.id)
    with pytest.raises(RefusedError, match="paused"):
        claim(store, project.id, other.id)
    submit(store, held.task_id, person.id, {"preference": 0}, key="k")
    pause(store, project.id, paused=False)
    assert claim(store, project.id, other.id) is not None
    clock.now += 100
    with pytest.raises(RefusedError, match="deadline"):
        claim(store, project.id, other.id)
    change_settings(store, project.id, deadline=None)
    assert claim(store, project.id, other.id) is not None


def test_a_refused_answer_changes_nothing(store: Store) -> None:
    project, (person, _) = project_with(store)
    add_tasks(store, project.id, [task("a")])
    held = claim(store, project.id, person.id)
    assert held is not None
    for answer in (
        {"preference": 4},
        {"ranks": [1, 2]},
        {"verdict": "best"},
        {},
        {"preference": 1, "flags": {"7": []}},
    ):
        with pytest.raises(RefusedError, match="the answer's"):
            submit(store, held.task_id, person.id, answer, key="k")
    submit(store, held.task_id, person.id, {"preference": 1}, key="k")


def test_the_database_itself_refuses_to_change_an_event(store: Store) -> None:
    project_with(store)
    for statement in ("UPDATE events SET at = 0", "DELETE FROM events"):
        with pytest.raises(DBAPIError, match="never changed"), store.write() as connection:
            connection.execute(text(statement))
    assert audit_log(store)[0]["body"] == {"person": 2, "role": "annotator"}


@pytest.mark.parametrize("overlap", [1, 2])
def test_threads_that_race_for_tasks_neither_collide_nor_lose_an_answer(store: Store, overlap: int) -> None:
    project, people = project_with(store, 8, overlap=overlap)
    add_tasks(store, project.id, [task(f"t{n}", 2 + n % 3) for n in range(20)])
    acknowledged: list[int] = []
    faults: list[Exception] = []

    def work(person_id: int) -> None:
        try:
            while held := claim(store, project.id, person_id):
                sent = {"preference": 1} if len(held.responses) == 2 else {"ranks": [1] * len(held.responses)}
                acknowledged.append(submit(store, held.task_id, person_id, sent, key=f"k{held.task_id}").event_id)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(person.id,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert faults == []
    assert len(acknowledged) == len(set(acknowledged)) == 20 * overlap
    with store.read() as connection:
        counted = connection.execute(select(tasks.c.taken, tasks.c.answered, tasks.c.open)).all()
        per_task = Counter(connection.execute(select(assignments.c.task_id)).scalars())
        answers = connection.execute(select(func.count()).where(events.c.kind == "answer")).scalar_one()
    assert set(counted) == {(overlap, overlap, False)} and answers == 20 * overlap
    assert set(per_task.values()) == {overlap}
    assert progress(store, project.id)["tasks_done"] == 20


def test_one_person_in_two_tabs_holds_one_task(store: Store) -> None:
    project, (person, _) = project_with(store)
    add_tasks(store, project.id, [task(f"t{n}") for n in range(10)])
    given: list[int] = []

    def ask() -> None:
        held = claim(store, project.id, person.id)
        assert held is not None
        given.append(held.task_id)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(given) == 4 and len(set(given)) == 1
