"""What is in the stream of tasks besides work: training, hidden gold, skills, priorities, routes, suggestions."""

import pytest

from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import add_tasks, change_settings, make_project, progress
from boresight.web.annotation.queue import claim, submit, undo
from boresight.web.annotation.refused import RefusedError
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.made import project_with, task


def answer_all(store: Store, project_id: int, person_id: int, *, first_listed: bool = True) -> list[str]:
    """Prefer one response, as listed, in every task there is; the questions in their order."""
    asked = []
    while held := claim(store, project_id, person_id):
        is_first = held.responses[0].endswith("answer 0") == first_listed
        submit(store, held.task_id, person_id, {"preference": -1 if is_first else 1}, key=str(held.task_id))
        asked.append(held.prompt[0]["content"].split()[1].rstrip("?"))
    return asked


def test_training_comes_first_with_feedback_and_has_to_be_passed(sqlite_store: Store) -> None:
    store = sqlite_store
    project, (good, bad) = project_with(store, training_share=1.0)
    add_tasks(store, project.id, [task("work"), task("t", gold=1, purpose="training", explanation="The first is.")])
    held = claim(store, project.id, good.id)
    assert held is not None and held.training
    shown_first = held.responses[0].endswith("answer 0")
    receipt = submit(store, held.task_id, good.id, {"preference": -1 if shown_first else 1}, key="k")
    assert receipt.right and receipt.explanation == "The first is."
    assert receipt.expected == {"verdict": "ranked", "ranks": [1, 2] if shown_first else [2, 1]}
    assert answer_all(store, project.id, good.id) == ["work"]
    with pytest.raises(RefusedError, match="0 of 1 training tasks were right"):
        answer_all(store, project.id, bad.id, first_listed=False)


def test_gold_is_hidden_in_the_work_and_its_accuracy_is_known_at_once(sqlite_store: Store) -> None:
    store = sqlite_store
    project, (person, _) = project_with(store, gold_every=4)
    golds = [task(f"g{n}", gold=1 + n % 2, purpose="gold") for n in range(6)]
    add_tasks(store, project.id, [task(f"w{n}") for n in range(20)] + golds)
    asked = answer_all(store, project.id, person.id)
    places = [place for place, name in enumerate(asked) if name.startswith("g")]
    assert len([name for name in asked if name.startswith("w")]) == 20 and len(places) >= 3
    gaps = [after - before - 1 for before, after in zip([-1, *places], places, strict=False)]
    assert set(gaps) <= {2, 3, 4, 5, 6} and len(set(gaps)) > 1
    (mine,) = progress(store, project.id)["people"]
    right = sum(int(asked[place][1:]) % 2 == 0 for place in places)
    assert mine["gold"] == {"right": right, "of": len(places)} and mine["answers"] == 20


def test_a_gold_question_does_not_tell_that_it_is_one(sqlite_store: Store) -> None:
    project, (person, _) = project_with(sqlite_store, gold_every=1)
    add_tasks(sqlite_store, project.id, [task("w1"), task("w2"), task("g", gold=1, purpose="gold")])
    told = {}
    while held := claim(sqlite_store, project.id, person.id):
        receipt = submit(sqlite_store, held.task_id, person.id, {"preference": 1}, key=str(held.task_id))
        told[held.prompt[0]["content"]] = held.training, receipt.right, receipt.expected
    assert told["Question g?"] == told["Question w1?"] == (False, None, None)


def test_people_get_tasks_they_have_the_skills_for(sqlite_store: Store) -> None:
    store = sqlite_store
    project, (plain, _) = project_with(store, overlap=2)
    doctor = add_person(store, "doctor", skills=["medicine", "german"])
    new = [
        task("a"),
        task("b", skills=["medicine"]),
        task("c", skills=["medicine", "german"]),
        task("d", skills=["law"]),
    ]
    add_tasks(store, project.id, new)
    assert answer_all(store, project.id, plain.id) == ["a"]
    assert answer_all(store, project.id, doctor.id) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("route", "order"), [("order", ["urgent", "b", "c", "a"]), ("uncertainty", ["urgent", "c", "a", "b"])]
)
def test_priority_goes_first_and_then_what_the_route_says(sqlite_store: Store, route: str, order: list[str]) -> None:
    project, (person, _) = project_with(sqlite_store, route=route)
    new = [task("b", urgency=0.1), task("c", urgency=0.9), task("a", urgency=0.5), task("urgent", priority=1)]
    add_tasks(sqlite_store, project.id, new)
    assert answer_all(sqlite_store, project.id, person.id) == order


def test_what_people_dispute_is_asked_next_where_the_route_says_so(sqlite_store: Store) -> None:
    project, people = project_with(sqlite_store, 3, route="dispute", overlap=3)
    add_tasks(sqlite_store, project.id, [task("a"), task("b")])
    answer_all(sqlite_store, project.id, people[0].id)
    for first_listed in (True, False):
        held = claim(sqlite_store, project.id, people[1].id)
        assert held is not None
        is_first = held.responses[0].endswith("answer 0") == first_listed
        submit(sqlite_store, held.task_id, people[1].id, {"preference": -1 if is_first else 1}, key=str(held.task_id))
    assert answer_all(sqlite_store, project.id, people[2].id) == ["b", "a"]


def test_suggestions_are_hidden_until_the_vote_except_in_triage(sqlite_store: Store) -> None:
    for mode in ("blind", "triage"):
        project = make_project(sqlite_store, mode, Settings(mode=mode))  # type: ignore[arg-type]
        person = add_person(sqlite_store, f"for {mode}")
        add_tasks(sqlite_store, project.id, [task("a", suggestion=2)])
        held = claim(sqlite_store, project.id, person.id)
        assert held is not None
        expected = [2, 1] if held.responses[0].endswith("answer 0") else [1, 2]
        assert held.suggestion == (None if mode == "blind" else {"verdict": "ranked", "ranks": expected})
        receipt = submit(sqlite_store, held.task_id, person.id, {"preference": 0}, key="k")
        assert receipt.suggestion == {"verdict": "ranked", "ranks": expected}


def test_what_was_approved_in_triage_stays_hybrid_whatever_the_mode_is_later(sqlite_store: Store) -> None:
    """Or labels that people only sent on would be told as theirs alone."""
    store = sqlite_store
    project, (person, _) = project_with(store, mode="triage")
    add_tasks(store, project.id, [task("approved", suggestion=2), task("plain")])
    answer_all(store, project.id, person.id)
    change_settings(store, project.id, mode="blind")
    add_tasks(store, project.id, [task("blind", suggestion=2)])
    answer_all(store, project.id, person.id)
    assert sources(store, project.id) == {"approved": "hybrid", "plain": "human", "blind": "human"}
    change_settings(store, project.id, mode="triage")
    assert sources(store, project.id) == {"approved": "hybrid", "plain": "human", "blind": "human"}


def test_an_answer_that_was_taken_back_and_given_anew_knows_the_suggestion(sqlite_store: Store) -> None:
    store = sqlite_store
    project, (person, _) = project_with(store)
    add_tasks(store, project.id, [task("a", suggestion=2), task("b")])
    for key in ("first", "again"):
        held = claim(store, project.id, person.id) if key == "first" else undo(store, project.id, person.id)
        assert held is not None
        submit(store, held.task_id, person.id, {"preference": 1}, key=key)
        assert sources(store, project.id)["a"] == ("human" if key == "first" else "hybrid")


def test_a_vote_tells_what_was_shown_whatever_the_mode_is_when_it_comes(sqlite_store: Store) -> None:
    store = sqlite_store
    project, (saw, not_shown, looked_again) = project_with(store, people=3, overlap=1, mode="triage")
    add_tasks(store, project.id, [task("saw", suggestion=2)])
    leases = [claim(store, project.id, saw.id)]
    change_settings(store, project.id, mode="blind")
    add_tasks(store, project.id, [task("not shown", suggestion=2), task("looked again", suggestion=2)])
    leases += [claim(store, project.id, person.id) for person in (not_shown, looked_again)]
    change_settings(store, project.id, mode="triage")
    again = claim(store, project.id, looked_again.id)
    assert again is not None and again.suggestion is not None
    change_settings(store, project.id, mode="blind")
    for person, held in zip((saw, not_shown, looked_again), leases, strict=True):
        assert held is not None
        submit(store, held.task_id, person.id, {"preference": 1}, key="k")
    assert sources(store, project.id) == {"saw": "hybrid", "not shown": "human", "looked again": "hybrid"}


def sources(store: Store, project_id: int) -> dict[str, str]:
    return {one.labelled.id: one.labelled.source for one in voted_tasks(store, project_id)}


def test_a_share_of_the_tasks_is_asked_once_more(sqlite_store: Store) -> None:
    project, _ = project_with(sqlite_store, overlap=1, more_share=0.3, seed=4)
    add_tasks(sqlite_store, project.id, [task(f"t{n}") for n in range(1000)])
    wanted = progress(sqlite_store, project.id)["answers_wanted"]
    assert 1000 + 300 - 60 < wanted < 1000 + 300 + 60  # four standard deviations
