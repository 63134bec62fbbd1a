import json
import threading
from pathlib import Path
from typing import Any

import pytest

from boresight.data.readers import read_pairs
from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import all_projects
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.store import open_store
from tests.cli.conftest import Call, write_lines
from tests.web.reward_service.served import save_reward_model

TASKS = [{"id": f"t{n}", "prompt": f"Question {n}?", "responses": [f"yes {n}", f"no, not {n}"]} for n in range(12)]


def label_all(place: Path, *, people: int = 2) -> None:
    """Everybody prefers the first listed response; the last person the second in every fourth task."""
    store = open_store(place)
    project = all_projects(store)[0]
    for number in range(people):
        person = add_person(store, f"person {number}")
        while held := claim(store, project.id, person.id):
            first = held.responses[0].startswith("yes")
            other = number == people - 1 and held.task_id % 4 == 0
            submit(store, held.task_id, person.id, {"preference": -1 if first != other else 1}, key=str(held.task_id))
    store.close()


@pytest.fixture
def labelled(call: Call, tmp_path: Path) -> Path:
    write_lines(tmp_path / "tasks.jsonl", TASKS)
    ended = call("label", "import", tmp_path / "tasks.jsonl", "--store", tmp_path / "labels.db", "--overlap", "2")
    assert ended.code == 0 and "12 tasks added" in ended.out
    label_all(tmp_path / "labels.db")
    return tmp_path / "labels.db"


def test_tasks_in_and_preference_pairs_out(call: Call, labelled: Path) -> None:
    out = labelled.parent / "pairs.parquet"
    ended = call("label", "export", labelled, "--out", out, "--json")
    assert json.loads(ended.out) == {"written": {str(out): 12}}
    pairs = read_pairs(out).pairs
    assert [pair.p_chosen for pair in pairs].count(0.5) == 3 and {pair.n_votes for pair in pairs} == {2}


def test_importing_again_adds_only_what_is_new(call: Call, labelled: Path) -> None:
    write_lines(labelled.parent / "more.jsonl", [*TASKS[:3], {**TASKS[0], "id": "new"}])
    ended = call("label", "import", labelled.parent / "more.jsonl", "--store", labelled, "--json")
    told = json.loads(ended.out)
    assert told["tasks"] == 4 and list(told["added"].values()) == [1] and told["new_project"] is False


def test_another_file_whose_rows_pass_for_those_that_are_there_is_warned_of(call: Call, tmp_path: Path) -> None:
    """Rows without ids are named by file and line, and next week's file may have the name of this week's."""
    rows = [{key: value for key, value in task.items() if key != "id"} for task in TASKS]
    told = []
    for week in (rows[:3], rows[:3], [rows[0], *rows[4:6]]):
        write_lines(tmp_path / "tasks.jsonl", week)
        told.append(call("label", "import", tmp_path / "tasks.jsonl", "--store", tmp_path / "labels.db").out)
    assert "3 tasks added" in told[0] and ["warning" in one for one in told] == [False, False, True]
    assert "3 tasks were there already" in told[2] and "2 ids are there with another prompt" in told[2]


def test_agreement_of_a_store_and_of_its_ratings_is_the_same(call: Call, labelled: Path) -> None:
    live = json.loads(call("label", "agreement", labelled, "--json").out)
    assert live["agreement"]["percent_agreement"]["value"] == pytest.approx(9 / 12)
    assert {one["annotator"]: one["votes"] for one in live["annotators"]} == {"person-1": 12, "person-2": 12}
    ratings = labelled.parent / "ratings.csv"
    assert call("label", "export", labelled, "--ratings", ratings).code == 0
    one, other = (call(verb, "agreement", ratings, "--json").out for verb in ("label", "eval"))
    assert one == other and json.loads(one)["krippendorff_alpha"] == live["agreement"]["krippendorff_alpha"]["value"]
    text = call("label", "agreement", labelled, "--names").out
    assert "krippendorff_alpha" in text and "person 1" in text


def test_a_backup_is_restored_as_a_store(call: Call, labelled: Path) -> None:
    folder = labelled.parent
    for name in ("copy.db", "copy.jsonl.gz"):
        assert call("label", "backup", labelled, folder / name).code == 0
        ended = call("label", "restore", folder / name, folder / f"{name}.restored.db", "--json")
        assert json.loads(ended.out)["rows"]["tasks"] == 12
        again = call("label", "export", folder / f"{name}.restored.db", "--out", folder / f"{name}.pairs.jsonl")
        assert again.code == 0
    assert (folder / "copy.db.pairs.jsonl").read_bytes() == (folder / "copy.jsonl.gz.pairs.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "absent.db", "--out", "pairs.jsonl"], "there is no such file"),
        (["export", "labels.db"], "nothing to write"),
        (["export", "labels.db", "--project", "other", "--out", "pairs.jsonl"], "the store holds labels"),
        (["import", "tasks.jsonl", "--store", "labels.db", "--overlap", "two"], "expected a whole number"),
        (["import", "tasks.jsonl", "--store", "new.db", "--mode", "open"], "mode is 'open'"),
        (["import", "bad.jsonl", "--store", "new.db"], "bad.jsonl:2"),
        (["restore", "tasks.jsonl", "new.db"], "no backup of labels"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(
    call: Call, labelled: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(labelled.parent)
    rows: list[Any] = [TASKS[0], {"prompt": "Why?", "responses": ["a", 3]}]
    write_lines(labelled.parent / "bad.jsonl", rows)
    before = sorted(path.name for path in labelled.parent.iterdir())
    ended = call("label", *arguments)
    assert ended.code == 2 and message in " ".join(ended.told)
    assert sorted(path.name for path in labelled.parent.iterdir()) == before


def test_a_backup_while_people_label_is_of_one_moment(call: Call, labelled: Path) -> None:
    store = open_store(labelled)
    person = add_person(store, "busy")
    stop = threading.Event()

    def label() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            add_person(store, f"p{number}")

    writer = threading.Thread(target=label)
    writer.start()
    try:
        assert call("label", "backup", labelled, labelled.parent / "busy.jsonl").code == 0
    finally:
        stop.set()
        writer.join(timeout=30)
        store.close()
    assert person.name == "busy"
    assert call("label", "restore", labelled.parent / "busy.jsonl", labelled.parent / "busy.db").code == 0


def test_what_reward_models_can_tell_least_goes_first(call: Call, tmp_path: Path) -> None:
    write_lines(tmp_path / "tasks.jsonl", TASKS[:4])
    members = {"t0": ((5, -5), (6, -4)), "t1": ((1, 0), (1.5, 0)), "t2": ((8, 0), (0, 8)), "t3": ((3, 0), (3, 1))}
    files = [tmp_path / f"rm{n}.jsonl" for n in (0, 1)]
    for place, file in enumerate(files):
        write_lines(file, [{"id": key, "scores": scores[place]} for key, scores in members.items()])
    command = ("label", "import", tmp_path / "tasks.jsonl", "--route", "uncertainty")
    ended = call(*command, "--store", tmp_path / "a.db", "--scores", files[0], "--scores", files[1])
    assert ended.code == 0, ended.err
    store = open_store(tmp_path / "a.db")
    person = add_person(store, "p")
    order = []
    while held := claim(store, 1, person.id):
        order.append(held.prompt[0]["content"])
        submit(store, held.task_id, person.id, {"preference": 0}, key=str(held.task_id))
    store.close()
    assert order == ["Question 2?", "Question 1?", "Question 3?", "Question 0?"], "contradiction, then small margins"

    write_lines(files[1], [{"id": "t1", "scores": [1, 2, 3]}])
    bad = call(*command, "--store", tmp_path / "b.db", "--scores", files[1])
    assert bad.code == 2 and f"{files[1]}:1" in bad.err and not (tmp_path / "b.db").exists()
    scorer = save_reward_model(tmp_path / "scorer")
    ended = call(*command, "--store", tmp_path / "c.db", "--reward-model", scorer)
    assert ended.code == 0 and "scoring the responses of 4 tasks" in ended.err
