import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.jsonl import as_record, from_record, messages_from, read_objects, read_records, write_records
from boresight.errors import DataError
from boresight.records import Demonstration, Message, PreferencePair, Prompt, Response

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
metas = st.dictionaries(texts, values, max_size=3)
numbers = st.floats(allow_nan=False, allow_infinity=False)
messages = st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), texts)
openings = st.lists(messages, max_size=3).map(lambda m: (*m, Message("user", "?")))
answers = st.lists(messages, max_size=2).flatmap(lambda m: texts.map(lambda t: (*m, Message("assistant", t))))
prompts = st.builds(Prompt, id=texts, messages=openings, kind=texts, expect=st.none() | metas, meta=metas)
demonstrations = st.builds(Demonstration, id=texts, messages=answers, meta=metas)
responses = st.builds(
    Response,
    id=texts,
    prompt=prompts,
    text=texts,
    model=texts,
    temperature=numbers,
    stopped=st.booleans(),
    tokens=st.integers(0, 9999),
    logp_sum=numbers,
)
pairs = st.builds(
    PreferencePair,
    id=texts,
    prompt=openings,
    chosen=answers,
    rejected=answers,
    p_chosen=st.floats(0, 1),
    kind=texts,
    source=st.sampled_from(["human", "ai", "imported"]),
    strength=st.none() | numbers,
    annotators=st.lists(texts, max_size=3).map(tuple),
    n_votes=st.none() | st.integers(0, 9),
    criteria=metas,
    ranking_id=st.none() | texts,
    meta=metas,
)


@given(record=prompts | demonstrations | responses | pairs)
def test_a_record_survives_json_exactly(record: Any) -> None:
    line = json.dumps(as_record(record), ensure_ascii=False, allow_nan=False)
    assert from_record(type(record), json.loads(line), "here") == record


@settings(max_examples=20)
@given(records=st.lists(pairs, max_size=4, unique_by=lambda p: p.id))
def test_files_round_trip_and_equal_records_give_equal_bytes(
    records: list[PreferencePair], tmp_path_factory: Any
) -> None:
    folder: Path = tmp_path_factory.mktemp("records")
    for name in ("a.jsonl", "b.jsonl.gz"):
        write_records(folder / name, records)
        first = (folder / name).read_bytes()
        assert read_records(folder / name, PreferencePair) == records
        write_records(folder / name, read_records(folder / name, PreferencePair))
        assert (folder / name).read_bytes() == first


def pair(**changes: Any) -> PreferencePair:
    fields: dict[str, Any] = {
        "id": "p1",
        "prompt": (Message("user", "Hi"),),
        "chosen": (Message("assistant", "Hello."),),
        "rejected": (Message("assistant", "No."),),
    }
    return PreferencePair(**fields | changes)


def test_defaults_are_left_out_and_keys_stand_in_field_order() -> None:
    row = as_record(pair(p_chosen=0.5, meta={"b": 1, "a": {"d": 2, "c": 3}}))
    assert list(row) == ["id", "prompt", "chosen", "rejected", "p_chosen", "meta"]
    assert json.dumps(row["meta"]) == '{"a": {"c": 3, "d": 2}, "b": 1}'


def test_plain_rows_are_written_as_they_are(tmp_path: Path) -> None:
    write_records(tmp_path / "rows.jsonl", [{"z": 1, "a": "ü"}])
    assert (tmp_path / "rows.jsonl").read_bytes() == '{"z": 1, "a": "ü"}\n'.encode()


@pytest.mark.parametrize("meta", [{"a": (1, 2)}, {"a": float("nan")}, {1: "a"}, {"a": {3}}])
def test_values_that_json_would_change_are_not_written(meta: Any) -> None:
    with pytest.raises(DataError, match='PreferencePair p1: "meta"'):
        as_record(pair(meta=meta))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    write_records(path, [pair()])
    before = path.read_bytes()
    with pytest.raises(DataError, match="record x: cannot be written as JSON"):
        write_records(path, [pair(), {"id": "x", "value": float("inf")}])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_lines_and_lists_give_the_same_objects_with_their_lines(pack: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(pack(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": "\\u0000\xe2\x80\xa8"}'))
    assert list(read_objects(tmp_path / "a.jsonl")) == [(1, {"a": 1}), (3, {"a": "\0\u2028"})]
    (tmp_path / "b.json").write_bytes(pack(b'\xef\xbb\xbf\n[\n  {"a":\n 1},\n\n{"a": 2}\n]\n'))
    assert list(read_objects(tmp_path / "b.json")) == [(3, {"a": 1}), (6, {"a": 2})]
    (tmp_path / "c.json").write_bytes(pack(b" [ ] "))
    assert list(read_objects(tmp_path / "c.json")) == []


BAD = [
    (b'{"a": 1}\n{"a": }', "2: not valid JSON: Expecting value at character 7"),
    (b'{"a": 1}\n[1]', "2: found a list, expected an object"),
    (b'"text"', "1: found a text, expected an object"),
    (b'{"a": 1}\n\xff', "2: byte 0xff is not UTF-8"),
    (b'{"a": "\x00"}', "1: not valid JSON: Invalid control character"),
    (b'\xff\xfe{\x00"\x00', "1: the file is UTF-16"),
    (b'{"a": NaN}', "1: not valid JSON: NaN is no JSON number"),
    (b'{"a": 1e999}', "1: not valid JSON: the number 1e999 is too large"),
    (b'{"a": 1, "a": 2}', '1: not valid JSON: the key "a" is given twice'),
    (b'{"a": "\\ud83d"}', "1: a text holds half a surrogate pair"),
    (b'{"a": ' + b"[" * 200_000, "1: the JSON is nested too deeply"),
    (b'{"a": ' + b"9" * 5000 + b"}", "1: not valid JSON: Exceeds the limit"),
    (b'[{"a": 1},\n\n{"a": }]', "3: not valid JSON: Expecting value"),
    (b'[{"a": 1},\n]', "2: not valid JSON"),
    (b'[{"a": 1}\n{"a": 2}]', "1: after this object the JSON list goes on with '{\"a\": 2}]'"),
    (b'[{"a": 1},\n{"a": 2}', "2: after this object the JSON list goes on with ''"),
    (b"[1]", "1: found a number, expected an object"),
    (b"[", "1: not valid JSON"),
    (b"[]{}", " there is more text after the JSON list"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message[:40] for _, message in BAD])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bad_json_is_refused_with_file_and_line(pack: Any, content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(pack(content))
    with pytest.raises(DataError) as error:
        list(read_objects(path))
    assert f"{path}:{message}" in str(error.value)


@given(content=st.binary(max_size=60))
def test_no_bytes_give_anything_but_objects_or_a_data_error(content: bytes, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.mktemp("bytes") / "rows.jsonl"
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_objects(path))
    except DataError as error:
        assert str(path) in str(error)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.jsonl: no such file"):
        list(read_objects(tmp_path / "absent.jsonl"))
    with pytest.raises(DataError, match="no file but a folder"):
        list(read_objects(tmp_path))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-9])
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz: the gzip data is damaged or cut off"):
        list(read_objects(cut))


RECORDS: list[tuple[type, dict[str, Any], str]] = [
    (PreferencePair, {"p_chozen": 0.5}, r'f:3 \(id p1\): unknown key "p_chozen"; did you mean "p_chosen"\?'),
    (PreferencePair, {"p_chosen": 1.5}, r'"p_chosen": found 1.5, expected a probability'),
    (PreferencePair, {"strength": 10**400}, r'"strength": the number is too large'),
    (PreferencePair, {"p_chosen": True}, r'"p_chosen": found true or false, expected a number'),
    (PreferencePair, {"n_votes": 1.5}, r'"n_votes": found 1.5, expected a whole number'),
    (PreferencePair, {"chosen": []}, r'"chosen" is empty; expected an assistant message'),
    (PreferencePair, {"chosen": "Hello."}, r'"chosen": found a text, expected a list of messages'),
    (PreferencePair, {"prompt": {"id": "x"}}, r"Prompt needs id, messages"),
    (PreferencePair, {"annotators": "ann"}, r'"annotators": found a text, expected a list of texts'),
    (Demonstration, {"messages": [{"role": "user", "content": "x"}]}, "ends with a message of the role user"),
    (Prompt, {"messages": [{"role": "assistant", "content": "x"}]}, "a prompt waits for the assistant"),
    (Prompt, {"messages": [{"role": "bot", "content": "x"}]}, r"message 1: \"role\" is 'bot'; expected one of system"),
    (Prompt, {"messages": [{"role": "user", "content": None}]}, r'message 1: "content": found null, expected a text'),
    (Prompt, {"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, r'"tool_calls" cannot be carried on'),
    (Prompt, {"meta": 3}, r'"meta": found a number, expected an object'),
    (Response, {"prompt": []}, r'"prompt" is a list of messages; expected a prompt record'),
]


@pytest.mark.parametrize(("kind", "changes", "message"), RECORDS)
def test_bad_records_are_refused_with_file_line_and_id(kind: Any, changes: dict[str, Any], message: str) -> None:
    said = [{"role": "user", "content": "Hi"}]
    answer = [{"role": "assistant", "content": "Hello."}]
    rows: dict[type, dict[str, Any]] = {
        PreferencePair: {"id": "p1", "prompt": said, "chosen": answer, "rejected": answer},
        Demonstration: {"id": "p1", "messages": answer},
        Prompt: {"id": "p1", "messages": said},
        Response: {"id": "p1", "prompt": {"id": "q", "messages": said}, "text": "", "model": "m", "temperature": 1}
        | {"stopped": True, "tokens": 3, "logp_sum": -1.5},
    }
    assert from_record(kind, rows[kind], "f:3").id == "p1"
    with pytest.raises(DataError, match=message) as error:
        from_record(kind, rows[kind] | changes, "f:3")
    assert str(error.value).startswith("f:3 (id p1)")


def test_missing_key_and_repeated_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'f:3: "id" is missing; found the keys messages\. A Prompt needs id, messages'):
        from_record(Prompt, {"messages": []}, "f:3")
    path = tmp_path / "twice.jsonl"
    path.write_text('{"id": "a", "messages": [{"role": "user", "content": "x"}]}\n' * 2)
    with pytest.raises(DataError, match=r"twice\.jsonl:2: the id 'a' is that of line 1 too"):
        read_records(path, Prompt)


def test_null_keys_of_a_message_stand_for_absent_ones() -> None:
    row = [{"role": "user", "content": "x", "name": None}]
    assert messages_from(row, "here") == (Message("user", "x"),)


def test_a_single_text_part_is_a_text_and_several_are_refused() -> None:
    part = {"type": "text", "text": "Hi", "image_url": None}
    assert messages_from([{"role": "user", "content": [part]}], "f:1") == (Message("user", "Hi"),)
    for parts in ([part, part], [{"type": "image_url", "image_url": {}}], []):
        with pytest.raises(DataError, match=r'f:1, message 1: "content": found a list, expected a text'):
            messages_from([{"role": "user", "content": parts}], "f:1")
