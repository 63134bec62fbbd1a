"""Tasks from files of all kinds, labelled, and out again as files that training reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from boresight.data.batches import collate_pairs
from boresight.data.chat_template import ChatFormat
from boresight.data.jsonl import read_records, write_records
from boresight.data.readers import read_demonstrations, read_pairs
from boresight.data.tokenize import encode_pairs
from boresight.errors import DataError
from boresight.evaluation.agreement import rater_agreement
from boresight.evaluation.rater_files import Rated, read_raters
from boresight.models.tiny import tiny_tokenizer
from boresight.records import Message, PreferencePair, Prompt, Response
from boresight.web.annotation.adjudication import adjudicate
from boresight.web.annotation.events import audit_log
from boresight.web.annotation.export import (
    export_demonstrations,
    export_pairs,
    export_ratings,
    export_votes,
    preference_pairs,
)
from boresight.web.annotation.people import add_person
from boresight.web.annotation.projects import add_tasks, make_project
from boresight.web.annotation.quality import quality
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.settings import Settings
from boresight.web.annotation.store import Store
from boresight.web.annotation.task_files import read_tasks
from boresight.web.annotation.votes import voted_tasks
from tests.web.annotation.made import project_with, task


@pytest.fixture
def labelled(sqlite_store: Store) -> tuple[Store, int]:
    """Three people, two pairs and a ranking of three: all agree on the first listed but for one tie and one dispute."""
    store = sqlite_store
    criteria = ({"name": "honest", "question": "Which is more honest?"},)
    project, people = project_with(store, 3, overlap=3, criteria=criteria)
    add_tasks(store, project.id, [task("a"), task("b", meta={"kind": "law"}), task("r", 3)])
    for number, person in enumerate(people):
        while held := claim(store, project.id, person.id):
            order = [int(text.split()[2][0]) for text in held.responses]
            answer: dict[str, Any] = {"ranks": [n + 1 for n in order]}
            if len(order) == 2:
                answer = {
                    "preference": -2 if order == [0, 1] else 2,
                    "criteria": {"honest": -1 if order[0] == 0 else 1},
                }
                if number == 2:
                    answer = {"preference": 0, "comment": "the same, really"}
                if number == 1 and held.prompt[0]["content"] == "Question b?":
                    answer = {
                        "preference": 3 if order == [0, 1] else -3,
                        "edited": {"place": 1, "text": "A better one."},
                    }
            submit(store, held.task_id, person.id, answer, key=str(held.task_id))
    return store, project.id


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.json", "pairs.jsonl.gz", "pairs.parquet"])
def test_every_container_gives_back_the_pairs_with_their_votes(
    labelled: tuple[Store, int], tmp_path: Path, name: str
) -> None:
    store, project = labelled
    assert export_pairs(store, project, tmp_path / name) == 5
    read = read_pairs(tmp_path / name)
    assert read.format == "boresight" and read.pairs == list(preference_pairs(voted_tasks(store, project)))
    shares = {pair.id: (pair.chosen[0].content[0:10], pair.p_chosen, pair.n_votes) for pair in read.pairs}
    assert shares["a"] == ("a answer 0", pytest.approx(2.5 / 3), 3) and shares["b"] == ("b answer 0", 0.5, 3)
    assert shares["r#1-3"] == ("r answer 0", 1.0, 3)
    first = read.pairs[0]
    assert first.criteria == {"honest": 1.0} and first.strength == 2.0 and first.source == "human"
    assert [vote["preferred"] for vote in first.meta["votes"]] == ["chosen", "chosen", "tie"]
    assert first.meta["votes"][2]["comment"] == "the same, really"
    assert read.pairs[1].kind == "law" and {pair.ranking_id for pair in read.pairs[2:]} == {"r"}
    assert audit_log(store, limit=1)[0]["body"] == {"what": "pairs", "count": 5}


@pytest.mark.parametrize(
    ("to", "name"),
    [("trl_explicit", "p.jsonl"), ("trl_conversational", "p.parquet"), ("trl_implicit", "p.json"), ("csv", "p.csv")],
)
def test_other_forms_keep_texts_and_p_chosen(labelled: tuple[Store, int], tmp_path: Path, to: str, name: str) -> None:
    store, project = labelled
    export_pairs(store, project, tmp_path / name, to=to)
    own = {
        pair.id: (pair.prompt, pair.chosen, pair.rejected, pair.p_chosen)
        for pair in preference_pairs(voted_tasks(store, project))
    }
    read = read_pairs(tmp_path / name).pairs
    assert {pair.id: (pair.prompt, pair.chosen, pair.rejected, pair.p_chosen) for pair in read} == own


def test_edited_answers_are_demonstrations_that_sft_reads(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    assert export_demonstrations(store, project, tmp_path / "d.jsonl") == 1
    (made,) = read_demonstrations(tmp_path / "d.jsonl").demonstrations
    assert made.messages == (Message("user", "Question b?"), Message("assistant", "A better one."))


def test_ratings_are_a_file_of_raters_with_the_same_agreement(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    assert export_ratings(store, project, tmp_path / "ratings.csv") == 5
    rated = read_raters(tmp_path / "ratings.csv")
    assert isinstance(rated, Rated) and len(rated.raters) == 3
    figures, live = rater_agreement(rated), quality(store, project)["agreement"]
    for name in ("percent_agreement", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha"):
        assert live[name]["value"] == pytest.approx(figures[name])


def test_votes_are_written_whole_and_names_only_where_asked(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    assert export_votes(store, project, tmp_path / "votes.jsonl") == 9
    rows = [json.loads(line) for line in (tmp_path / "votes.jsonl").read_text().splitlines()]
    assert {row["annotator"] for row in rows} == {"person-1", "person-2", "person-3"}
    assert [row["edited"] for row in rows if row["edited"]] and all(
        sorted(r["shown"]) in ([0, 1], [0, 1, 2]) for r in rows
    )
    export_votes(store, project, tmp_path / "named.jsonl", names=True)
    assert "annotator 1" in (tmp_path / "named.jsonl").read_text()


def test_a_decision_is_what_is_exported(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    reviewer = add_person(store, "reviewer", "reviewer")
    disputed = next(voted for voted in voted_tasks(store, project) if voted.labelled.id == "b")
    adjudicate(store, disputed.task_id, reviewer.id, {"preference": 3}, key="d")
    export_pairs(store, project, tmp_path / "pairs.jsonl")
    pair = next(pair for pair in read_pairs(tmp_path / "pairs.jsonl").pairs if pair.id == "b")
    assert pair.chosen[0].content == "b answer 1!" and pair.p_chosen == 1.0 and len(pair.meta["votes"]) == 3


def test_nothing_to_write_and_wrong_names_are_told(sqlite_store: Store, tmp_path: Path) -> None:
    project = make_project(sqlite_store, "p")
    with pytest.raises(DataError, match="nobody has labelled anything"):
        export_pairs(sqlite_store, project.id, tmp_path / "pairs.jsonl")
    with pytest.raises(DataError, match=r"ends in \.csv"):
        export_pairs(sqlite_store, project.id, tmp_path / "pairs.jsonl", to="csv")
    with pytest.raises(DataError, match="no form"):
        export_pairs(sqlite_store, project.id, tmp_path / "pairs.jsonl", to="word")
    assert list(tmp_path.glob("pairs*")) == []


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_task_rows_of_our_own_are_read_with_all_they_say(tmp_path: Path) -> None:
    full = {
        "id": "t1", "prompt": [{"role": "user", "content": "Why?"}], "responses": ["a", {"text": "b", "model": "m"}],
        "gold": 2, "purpose": "training", "explanation": "b it is", "skills": ["law"], "priority": 3, "urgency": 0.5,
        "kind": "law", "batch": 7,
    }  # fmt: skip
    plain = {"prompt": "Why?", "responses": ["a", "b", "c"], "models": ["x", "y", "z"], "suggestion": [1, 2, 2]}
    first, second = read_tasks(write(tmp_path / "tasks.jsonl", full, plain))
    assert first.gold == {"verdict": "ranked", "ranks": [2, 1]} and first.purpose == "training"
    assert first.responses[1] == {"text": "b", "model": "m"} and first.meta == {"kind": "law", "batch": 7}
    assert (first.skills, first.priority, first.urgency, first.explanation) == (["law"], 3, 0.5, "b it is")
    assert second.key == "tasks:2" and [r["model"] for r in second.responses] == ["x", "y", "z"]
    assert second.suggestion == {"verdict": "ranked", "ranks": [1, 2, 2]}


def test_tasks_without_ids_on_one_line_of_a_json_list_are_told_apart(tmp_path: Path) -> None:
    rows = [{"prompt": question, "responses": ["a", "b"]} for question in ("Why?", "How?", "When?")]
    (tmp_path / "tasks.json").write_text(json.dumps(rows))
    assert [one.key for one in read_tasks(tmp_path / "tasks.json")] == ["tasks:1", "tasks:1.2", "tasks:1.3"]


def test_couples_that_a_judge_left_to_people_are_urgent(tmp_path: Path) -> None:
    row = {"id": "a|b", "prompt": [{"role": "user", "content": "Why?"}], "responses": ["a", "b"]}
    rows = [row | {"reason": "orders_disagree"}, row | {"id": "c|d", "reason": "unreadable"}]
    assert [one.urgency for one in read_tasks(write(tmp_path / "route.jsonl", *rows))] == [1.0, 0.0]


def test_tables_label_studio_and_argilla_are_read_by_the_names_of_their_fields(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('prompt,response_1,response_2\n"Why, though?",a,b\n')
    studio = {"id": 7, "data": {"prompt": "Why, though?", "answer1": "a", "answer2": "b"}, "annotations": []}
    argilla = {
        "id": "x",
        "fields": {"instruction": "Why, though?", "response-1": "a", "response-2": "b"},
        "responses": [],
    }
    files = [tmp_path / "t.csv", write(tmp_path / "ls.jsonl", studio), write(tmp_path / "argilla.jsonl", argilla)]
    for file, key in zip(files, ("t:2", "7", "x"), strict=True):
        (made,) = read_tasks(file)
        assert (made.key, made.prompt[0].content) == (key, "Why, though?")
        assert [response["text"] for response in made.responses] == ["a", "b"]


def test_sampled_responses_make_a_ranking_or_a_couple_of_each_prompt(tmp_path: Path) -> None:
    prompt = Prompt(id="p", messages=(Message("user", "Why?"),), kind="law")
    more: dict[str, Any] = {"model": "m", "temperature": 1.0, "stopped": True, "tokens": 1, "logp_sum": -1.0}
    made = [
        Response(id=f"p/{number}", prompt=prompt, text=text, **more) for number, text in enumerate(["a", "b", "a", "c"])
    ]
    (tmp_path / "stage").mkdir()
    write_records(tmp_path / "stage/responses.jsonl", made)
    (ranking,) = read_tasks(tmp_path / "stage")
    assert [response["id"] for response in ranking.responses] == ["p/0", "p/1", "p/3"] and ranking.meta == {
        "kind": "law"
    }
    (couple,) = read_tasks(tmp_path / "stage/responses.jsonl", pairs_only=True)
    assert len(couple.responses) == 2
    write_records(tmp_path / "same.jsonl", [made[0], made[2]])
    with pytest.raises(DataError, match="no prompt has two different"):
        read_tasks(tmp_path / "same.jsonl")


def test_our_own_export_can_be_labelled_again(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    export_pairs(store, project, tmp_path / "pairs.jsonl")
    again = read_tasks(tmp_path / "pairs.jsonl")
    pairs = read_records(tmp_path / "pairs.jsonl", PreferencePair)
    assert [one.key for one in again] == [pair.id for pair in pairs]
    assert again[1].urgency == 1.0 and again[2].urgency == 0.0 and again[0].suggestion is None
    target = make_project(store, "again", Settings())
    assert add_tasks(store, target.id, again) == 5 and add_tasks(store, target.id, again) == 0
    ai = replace(pairs[0], source="ai", meta={}, p_chosen=1.0)
    write_records(tmp_path / "ai.jsonl", [ai])
    assert read_tasks(tmp_path / "ai.jsonl")[0].suggestion == {"verdict": "ranked", "ranks": [1, 2], "source": "ai"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Why?", "responses": ["a"]}, "1 response; expected 2 to 9"),
        ({"prompt": "Why?", "responses": ["a", "a"]}, "the same text"),
        ({"prompt": "Why?", "responses": ["a", " "]}, "a response is empty"),
        ({"prompt": "Why?", "responses": ["a", "b"], "gold": 3}, r'tasks.jsonl:1: the answer\'s "answer" is 3'),
        ({"prompt": "Why?", "responses": ["a", "b"], "purpose": "test"}, "expected label, gold or training"),
        ({"prompt": "Why?", "responses": ["a", "b"], "urgency": 2}, "from 0 to 1"),
        ({"prompt": "Why?", "responses": ["a", "b"], "models": ["m"]}, '"models" has 1 values'),
        ({"prompt": "Why?", "responses": ["a", 3]}, "item 2"),
        ({"prompt": "Why?", "responses": ["a", "b"], "skils": ["law"]}, "skils"),
        ({"prompt": "Why?", "text": "x"}, "two or more responses"),
    ],
)
def test_what_makes_no_task_is_told_with_its_place(sqlite_store: Store, tmp_path: Path, row: Any, message: str) -> None:
    project = make_project(sqlite_store, "p")
    with pytest.raises(Exception, match=message) as told:
        add_tasks(sqlite_store, project.id, read_tasks(write(tmp_path / "tasks.jsonl", row)))
    assert "tasks" in str(told.value)


def test_the_export_becomes_a_training_batch_as_it_is(labelled: tuple[Store, int], tmp_path: Path) -> None:
    store, project = labelled
    export_pairs(store, project, tmp_path / "pairs.parquet")
    encoded = encode_pairs(ChatFormat(tiny_tokenizer()), read_pairs(tmp_path / "pairs.parquet").pairs)
    batch = collate_pairs(encoded.rows)
    assert batch.p_chosen.tolist() == pytest.approx([2.5 / 3, 0.5, 1.0, 1.0, 1.0])
    assert batch.chosen.response_mask.any(dim=1).all()
