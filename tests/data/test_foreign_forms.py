"""Forms of other programs: each row below is as that program documents or writes it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest

from boresight.data.jsonl import write_records
from boresight.data.readers import detect_format, read_demonstrations, read_pairs, read_prompts
from boresight.data.refusals import RowsAside
from boresight.data.sources import FORM_NAMES, open_source
from boresight.data.tables import iterate_rows
from boresight.data.votes import pairs_of_ranking
from boresight.errors import DataError
from boresight.records import Message, PreferencePair, Ranking

U, C, R = Message("user", "Hi"), Message("assistant", "Hello."), Message("assistant", "No.")


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def said(speaker: str, value: str) -> dict[str, str]:
    return {"from": speaker, "value": value}


def told(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ONE_PAIR: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "sharegpt_pairs",
        {"conversations": [said("human", "Hi")], "chosen": said("gpt", "Hello."), "rejected": said("gpt", "No.")},
        {},
    ),
    ("alpaca_pairs", {"instruction": "Hi", "input": "", "chosen": "Hello.", "rejected": "No."}, {}),
    (
        "openai_preference",
        {
            "input": {"messages": [told("user", "Hi")], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [told("assistant", "Hello.")],
            "non_preferred_output": [told("assistant", "No.")],
        },
        {},
    ),
    (
        "alpaca_eval",
        {"instruction": "Hi", "output_1": "No.", "output_2": "Hello.", "preference": 1.75, "annotator": "judge"},
        {"p_chosen": 0.75, "source": "ai", "annotators": ("judge",)},
    ),
    ("llmbar", {"input": "Hi", "output_1": "Hello.", "output_2": "No.", "label": 1}, {}),
    (
        "pandalm",
        {
            "instruction": "Hi", "input": "", "response1": "No.", "response2": "Hello.",
            "annotator1": 2, "annotator2": 2, "annotator3": 0,
        },
        {
            "p_chosen": 2.5 / 3, "source": "human", "n_votes": 3,
            "annotators": ("annotator1", "annotator2", "annotator3"),
        },
    ),
    (
        "arena_battles",
        {
            "question_id": "p:1", "winner": "model_b", "judge": "ann",
            "conversation_a": [told("user", "Hi"), told("assistant", "No.")],
            "conversation_b": [told("user", "Hi"), told("assistant", "Hello.")],
        },
        {"source": "human", "annotators": ("ann",)},
    ),
    (
        "label_studio",
        {
            "id": 7,
            "data": {"prompt": "Hi", "answer1": "No.", "answer2": "Hello."},
            "annotations": [
                {"completed_by": 3, "was_cancelled": False, "result": [
                    {"type": "pairwise", "value": {"selected": "right"}, "to_name": "answer1,answer2"}]},
                {"completed_by": {"id": 4, "email": "b@example.org"}, "result": [
                    {"type": "pairwise", "value": {"selected": "right"}, "to_name": "answer1,answer2"}]},
                {"completed_by": 5, "was_cancelled": True, "result": [
                    {"type": "pairwise", "value": {"selected": "left"}, "to_name": "answer1,answer2"}]},
            ],
        },
        {"id": "7", "source": "human", "n_votes": 2, "annotators": ("3", "b@example.org")},
    ),
    (
        "label_studio_min",
        {"id": 7, "prompt": "Hi", "text1": "Hello.", "text2": "No.", "pw": "left", "annotator": 3, "annotation_id": 9},
        {"id": "9", "source": "human", "annotators": ("3",)},
    ),
    (
        "argilla",
        {
            "id": "r", "status": "completed",
            "fields": {"instruction": "Hi", "response_1": "No.", "response_2": "Hello."},
            "responses": {"preference": [{"value": "response-2", "user_id": "u1"}, {"value": "tie", "user_id": "u2"}]},
        },
        {
            "id": "r#1-2", "ranking_id": "r", "p_chosen": 0.75, "source": "human", "n_votes": 2,
            "annotators": ("u1", "u2"),
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("form", "row", "more"), ONE_PAIR, ids=[form for form, _, _ in ONE_PAIR])
@pytest.mark.parametrize("container", ["p.jsonl", "p.json"])
def test_a_row_of_another_program_becomes_a_pair(
    form: str, row: dict[str, Any], more: dict[str, Any], container: str, tmp_path: Path
) -> None:
    path = tmp_path / container
    path.write_text(json.dumps([row] if container == "p.json" else row), encoding="utf-8")
    read = read_pairs(path)
    expected: dict[str, Any] = {"id": "p:1", "prompt": (U,), "chosen": (C,), "rejected": (R,), **more}
    assert read.pairs == [PreferencePair(**expected)]
    assert read.format == detect_format(path) == form
    forced = read_pairs(path, form=form)
    assert forced.pairs == read.pairs


def ranked(*scores: float | None, key: str = "overall_score") -> dict[str, Any]:
    completions = [{"response": f"answer {i}", key: score, "model": "m"} for i, score in enumerate(scores, start=1)]
    return {"instruction": "Hi", "completions": completions}


def order(path: Path) -> list[tuple[str, str, str, float]]:
    pairs = read_pairs(path).pairs
    return [(p.id, p.chosen[0].content[-1], p.rejected[0].content[-1], p.p_chosen) for p in pairs]


def test_ultrafeedback_gives_every_two_of_k_under_one_ranking(tmp_path: Path) -> None:
    path = lines(tmp_path / "u.jsonl", ranked(4.0, 5.0, 4.0), ranked(1, None, 2))
    assert order(path) == [
        ("u:1#1-2", "2", "1", 1.0),
        ("u:1#1-3", "1", "3", 0.5),
        ("u:1#2-3", "2", "3", 1.0),
        ("u:2#1-3", "3", "1", 1.0),
    ]
    assert {pair.ranking_id for pair in read_pairs(path).pairs} == {"u:1", "u:2"}
    with pytest.raises(DataError, match=r"u\.jsonl:1: \"completions\", item 1: score: found 'N/A', expected a number"):
        read_pairs(lines(tmp_path / "u.jsonl", ranked("N/A", 1)))  # type: ignore[arg-type]


def test_rankings_go_by_scores_or_by_ranks(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "responses": ["answer 1", {"text": "answer 2"}, "answer 3"]}
    path = lines(tmp_path / "r.jsonl", {**row, "id": "a", "scores": [1, 3, 2]}, {**row, "id": "b", "ranks": [3, 1, 2]})
    chosen = [("2", "1"), ("3", "1"), ("2", "3")]
    assert [(a, b) for _, a, b, _ in order(path)] == chosen * 2
    with pytest.raises(DataError, match=r'r\.jsonl:1: "scores" has 2 values, "responses" 3'):
        read_pairs(lines(tmp_path / "r.jsonl", {**row, "scores": [1, 2]}))
    with pytest.raises(DataError, match=r'r\.jsonl:1: "scores": the number is too large'):
        read_pairs(lines(tmp_path / "r.jsonl", {**row, "scores": [1, 2, 10**400]}))


def test_a_ranking_that_is_written_is_read_as_all_its_pairs(tmp_path: Path) -> None:
    ranking = Ranking(
        id="r",
        prompt=(Message("user", "Hi"),),
        responses=("answer 1", "answer 2", "answer 3", "answer 4"),
        ranks=(2, 1, 2, None),
    )
    write_records(tmp_path / "r.jsonl", [ranking])
    assert read_pairs(tmp_path / "r.jsonl").pairs == [row.pair for row in pairs_of_ranking(ranking)]
    assert order(tmp_path / "r.jsonl") == [
        ("r#1-2", "2", "1", 1.0),
        ("r#1-3", "1", "3", 0.5),
        ("r#2-3", "2", "3", 1.0),
    ]
    with pytest.raises(ValueError, match="shorter"):
        pairs_of_ranking(replace(ranking, ranks=(1, 2)))


def test_argilla_rankings_and_ratings_are_votes_of_their_users(tmp_path: Path) -> None:
    fields = {"prompt": "Hi", "reply-1": "answer 1", "reply-2": "answer 2", "reply-3": "answer 3"}
    ranking = [{"value": f"reply-{n}", "rank": rank} for n, rank in ((1, 2), (2, 1), (3, 2))]
    second = {"fields": fields, "id": "two", "responses": {"order": [{"value": ranking, "user_id": "u"}]}}
    first = {
        "fields": fields,
        "id": "one",
        "responses": [
            {"user_id": "u", "status": "submitted", "values": {f"reply-{n}-rating": {"value": n} for n in (1, 2, 3)}},
            {"user_id": "v", "status": "discarded", "values": {f"reply-{n}-rating": {"value": 1} for n in (1, 2, 3)}},
        ],
    }
    assert order(lines(tmp_path / "a.jsonl", second, first)) == [
        ("two#1-2", "2", "1", 1.0),
        ("two#1-3", "1", "3", 0.5),
        ("two#2-3", "2", "3", 1.0),
        ("one#1-2", "2", "1", 1.0),
        ("one#1-3", "3", "1", 1.0),
        ("one#2-3", "3", "2", 1.0),
    ]
    columns = {"order.responses": [ranking], "order.responses.users": ["u"], "order.responses.status": ["submitted"]}
    flat = {"id": "flat", "status": "completed", "_server_id": "s", **fields, **columns, "order.suggestion": None}
    path = lines(tmp_path / "a.jsonl", flat)
    assert (detect_format(path), order(path)[0]) == ("argilla_columns", ("flat#1-2", "2", "1", 1.0))
    assert read_pairs(path).unused_columns == ("_server_id", "order.suggestion")
    best = {"fields": fields, "id": "one", "responses": {"best": [{"value": "reply-1", "user_id": "u"}]}}
    with pytest.raises(DataError, match="names the best of 3 responses, which does not tell how the others compare"):
        read_pairs(lines(tmp_path / "a.jsonl", best))


def test_left_and_right_are_told_by_the_tags_of_the_comparison(tmp_path: Path) -> None:
    result = {"type": "pairwise", "value": {"selected": "left"}, "to_name": "txt-2,txt-1"}
    task = {"id": 1, "data": {"prompt": "Hi", "text1": "No.", "text2": "Hello."}, "annotations": [{"result": [result]}]}
    assert read_pairs(lines(tmp_path / "l.jsonl", task)).pairs[0].chosen == (C,)
    other = {**result, "from_name": "honest", "value": {"selected": "right"}}
    asked = {**task, "annotations": [{"result": [{**result, "from_name": "helpful"}, other]}]}
    with pytest.raises(DataError, match=r"l\.jsonl:1: 'helpful' and 'honest' both compare the responses"):
        read_pairs(lines(tmp_path / "l.jsonl", asked))
    result["to_name"] = "left,right"
    with pytest.raises(DataError, match=r"it was chosen among left, right, but the fields are prompt, text1, text2"):
        read_pairs(lines(tmp_path / "l.jsonl", task))


def test_two_questions_about_the_same_responses_are_refused(tmp_path: Path) -> None:
    fields = {"prompt": "Hi", **{f"response_{n}": f"answer {n}" for n in (1, 10)}}
    ratings = {f"response_{n}_helpful": [{"value": n, "user_id": "u"}] for n in (1, 10)}
    record = {"fields": fields, "id": "r", "responses": ratings}
    assert order(lines(tmp_path / "a.jsonl", record)) == [("r#1-2", "0", "1", 1.0)]
    record["responses"] = {**ratings, "response_1_honest": [{"value": 1, "user_id": "u"}]}
    with pytest.raises(DataError, match='"response_1_honest" and another question both compare the responses'):
        read_pairs(lines(tmp_path / "a.jsonl", record))


def test_unpaired_rows_join_side_by_side_and_the_rest_is_counted(tmp_path: Path) -> None:
    rows = [("Hi", "Hello.", True), ("Hi", "No.", False), ("Hi", "More.", True), ("Bye", "No.", False)]
    path = lines(tmp_path / "k.jsonl", *[{"prompt": p, "completion": c, "label": good} for p, c, good in rows])
    read = read_pairs(path)
    assert (read.format, read.rows, read.dropped) == ("trl_unpaired", 4, {"no_counterpart": 2})
    assert read.examples == {"no_counterpart": [3, 4]}
    assert [(p.prompt, p.chosen, p.rejected) for p in read.pairs] == [((U,), (C,), (R,))]


def test_rows_that_nobody_judged_are_counted(tmp_path: Path) -> None:
    row = {"instruction": "Hi", "output_1": "a", "output_2": "b", "preference": None, "annotator": "judge"}
    read = read_pairs(lines(tmp_path / "e.jsonl", row, {**row, "preference": 0}))
    assert (read.dropped, [pair.p_chosen for pair in read.pairs]) == ({"no_verdict": 1}, [0.5])


DEMONSTRATIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("sharegpt", {"id": "x", "conversations": [said("human", "Hi"), said("gpt", "Hello.")]}, ["Hi", "Hello."]),
    ("alpaca", {"instruction": "Hi", "input": "there", "output": "Hello."}, ["Hi\n\nthere", "Hello."]),
    ("question_answer", {"question": "Hi", "answer": "Hello."}, ["Hi", "Hello."]),
    ("self_instruct", {"instruction": "Hi", "instances": [{"input": "", "output": "Hello."}]}, ["Hi", "Hello."]),
    (
        "alpaca",
        {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]},
        ["s", "a", "b", "c", "d"],
    ),
]


@pytest.mark.parametrize(("form", "row", "texts"), DEMONSTRATIONS)
def test_a_row_of_another_program_becomes_a_demonstration(
    form: str, row: dict[str, Any], texts: list[str], tmp_path: Path
) -> None:
    path = lines(tmp_path / "d.jsonl", row)
    read = read_demonstrations(path)
    assert [message.content for message in read.demonstrations[0].messages] == texts
    assert read.format == form
    assert [m.content for m in read_prompts(path).prompts[0].messages] == texts[:-1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": [said("human", "Hi"), said("function_call", "f()")]}, "\"from\" is 'function_call'"),
        ({"conversations": [said("human", "Hi")]}, "the last message has the role user"),
        ({"instruction": "Hi", "output": None}, '"output": found null, expected a text'),
        ({"instruction": "Hi", "output": "a", "history": ["b"]}, '"history", turn 1: found a text, expected a list of'),
    ],
)
def test_a_faulty_row_of_another_program_is_refused_with_its_place(
    row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as error:
        read_demonstrations(lines(tmp_path / "d.jsonl", row))
    assert message in str(error.value) and f"{tmp_path / 'd.jsonl'}:1" in str(error.value)


def test_a_form_can_be_forced_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    path = lines(tmp_path / "p.jsonl", {"prompt": "Hi", "completion": "Hello.", "label": "true"})
    assert open_source(path).kind == "pairs"
    assert open_source(path, form="prompt_response").kind == "demonstrations"
    with pytest.raises(DataError, match=r"no form 'alpaka'; expected one of boresight, trl_explicit"):
        open_source(path, form="alpaka")
    assert len(set(FORM_NAMES)) == len(FORM_NAMES)


def test_columns_of_pairs_and_conversations_say_more_than_a_question_and_an_answer(tmp_path: Path) -> None:
    beside = {"question": "Hi", "answer": "Hello."}
    pairs = lines(tmp_path / "p.jsonl", {**beside, "prompt": "Hi", "chosen": "Hello.", "rejected": "No."})
    assert (detect_format(pairs), read_pairs(pairs).unused_columns) == ("trl_explicit", ("question", "answer"))
    whole = lines(tmp_path / "d.jsonl", {**beside, "messages": [told("user", "Hi"), told("assistant", "Hello.")]})
    assert (detect_format(whole), read_demonstrations(whole).unused_columns) == (
        "conversations",
        ("question", "answer"),
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_folders_of_datasets_are_read(tmp_path: Path) -> None:
    rows = {"prompt": ["Hi"] * 2500, "chosen": ["Hello."] * 2500, "rejected": ["No."] * 2500}
    whole = datasets.Dataset.from_dict(rows)
    whole.save_to_disk(tmp_path / "one", num_shards=2)
    read = read_pairs(tmp_path / "one")
    assert (read.rows, read.format, read.pairs[-1].id) == (2500, "trl_explicit", "one:2500")
    datasets.DatasetDict({"train": whole, "test": whole.select(range(3))}).save_to_disk(tmp_path / "two")
    assert read_pairs(tmp_path / "two" / "test").rows == 3
    with pytest.raises(
        DataError, match=r"two: the data set has the splits test, train; expected one\. Name it: .*/test"
    ):
        read_pairs(tmp_path / "two")
    next((tmp_path / "one").glob("*.arrow")).unlink()
    with pytest.raises(DataError, match=r"no such file, though state\.json names it"):
        read_pairs(tmp_path / "one")


def test_rows_set_aside_come_with_line_reason_and_text(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"a": 1}\nnot json\n\xff\n[1]\n{"a": 2}\n')
    with RowsAside() as aside:
        assert [row for _, row in iterate_rows(path, aside)] == [{"a": 1}, {"a": 2}]
        aside.save(tmp_path / "aside.jsonl")
    written = [json.loads(line) for line in (tmp_path / "aside.jsonl").read_text().splitlines()]
    assert [(row["line"], row["row"]) for row in written] == [(2, "not json"), (3, "\\xff"), (4, "[1]")]
    assert written[1]["reason"].startswith(f"{path}:3: byte 0xff is not UTF-8")
    with RowsAside() as empty:
        empty.save(tmp_path / "aside.jsonl")
    assert not (tmp_path / "aside.jsonl").exists()


def test_ragged_rows_can_be_set_aside_but_an_open_quote_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b'a,b\n1\n2,"x"y\n3,\xff\n4,ok\n')
    with RowsAside() as aside:
        assert list(iterate_rows(path, aside)) == [(5, {"a": "4", "b": "ok"})]
        assert aside.count == 3
        path.write_text('a,b\n1,"open\n2,ok\n')
        with pytest.raises(DataError, match=r"p\.csv:2: not valid CSV: unexpected end of data"):
            list(iterate_rows(path, aside))


def test_a_json_list_is_read_piece_by_piece(tmp_path: Path) -> None:
    """Objects over the edges of the pieces, one larger than a piece, and each with its line."""
    rows = [{"n": n, "text": "x" * (n * 997 % 5000)} for n in range(200)] + [{"n": 200, "text": "é\n" * 90_000}]
    path = tmp_path / "l.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    read = list(iterate_rows(path))
    assert [row for _, row in read] == rows
    assert [line for line, _ in read] == [2 + 4 * n for n in range(201)]
    path.write_text(json.dumps(rows, indent=1)[:-9], encoding="utf-8")
    with pytest.raises(DataError, match=r"l\.json:802: not valid JSON"):
        list(iterate_rows(path))


def test_an_item_of_a_json_list_that_is_no_object_can_be_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "l.json"
    path.write_text('[{"a": 1},\n 7,\n {"a": 2}]')
    with RowsAside() as aside:
        assert [row for _, row in iterate_rows(path, aside)] == [{"a": 1}, {"a": 2}]
        assert aside.count == 1
    with pytest.raises(DataError, match=r"l\.json:2: found a number, expected an object"):
        list(iterate_rows(path))
