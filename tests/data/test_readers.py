import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.jsonl import write_records
from boresight.data.preferences import length_counts, longer_share, response_text
from boresight.data.rated import read_rated
from boresight.data.readers import detect_format, read_demonstrations, read_documents, read_pairs, read_prompts
from boresight.errors import DataError
from boresight.records import Demonstration, Message, PreferencePair, Prompt

HH = Path(__file__).parents[2].parent / "shared" / "data" / "hh_rlhf"
KEEP: Any = {"on_identical": "keep", "on_empty": "keep", "on_context_differs": "keep"}
DROP: Any = {"on_identical": "drop", "on_empty": "drop", "on_context_differs": "drop"}

# rows, identical, context differs, empty chosen, empty rejected, mean characters of chosen and of rejected, chosen
# longer, chosen shorter, share longer: counted from the published files by another program.
HH_TABLE: dict[str, tuple[int, int, int, int, int, float, float, int, int, float]] = {
    "helpful-base.train": (1210, 1, 5, 0, 3, 239.99, 186.7, 693, 510, 0.5761),
    "helpful-base.test": (289, 0, 0, 0, 0, 260.1, 198.52, 182, 105, 0.6341),
    "harmless-base.train": (1191, 0, 1, 3, 0, 169.67, 215.75, 533, 651, 0.4502),
    "harmless-base.test": (271, 0, 1, 0, 0, 173.47, 214.94, 125, 146, 0.4613),
    "helpful-online": (1137, 2, 0, 0, 3, 653.33, 697.2, 484, 646, 0.4283),
    "helpful-rejection-sampled": (2749, 32, 3, 0, 0, 359.56, 314.3, 1534, 1163, 0.5688),
}


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def hh(context: str, chosen: str, rejected: str) -> dict[str, str]:
    return {"chosen": f"{context}\n\nAssistant: {chosen}", "rejected": f"{context}\n\nAssistant: {rejected}"}


@pytest.mark.skipif(not HH.is_dir(), reason="the HH-RLHF files are not beside this checkout")
@pytest.mark.parametrize("name", HH_TABLE)
def test_hh_rlhf_gives_the_published_figures(name: str) -> None:
    read = read_pairs(HH / f"{name}.jsonl.gz", **KEEP)
    longer, shorter, _ = length_counts(read.pairs)
    share = longer_share(read.pairs)
    assert share is not None
    figures = (
        read.rows,
        *(read.found.get(reason, 0) for reason in ("identical", "context_differs", "empty_chosen", "empty_rejected")),
        *(
            round(sum(len(response_text(side)) for side in sides) / read.rows, 2)
            for sides in ([pair.chosen for pair in read.pairs], [pair.rejected for pair in read.pairs])
        ),
        longer,
        shorter,
        round(share, 4),
    )
    assert figures == HH_TABLE[name]
    assert read.format == "hh_rlhf"
    assert read.found.get("human_turn_in_response", 0) == (2 if name == "helpful-online" else 0)
    dropped = read_pairs(HH / f"{name}.jsonl.gz", **DROP)
    assert len(dropped.pairs) + sum(dropped.dropped.values()) == dropped.rows
    assert all(len(pair.chosen) == len(pair.rejected) == 1 for pair in dropped.pairs)


def test_transcript_becomes_prompt_and_responses(tmp_path: Path) -> None:
    context = "\n\nHuman: Hi \n\nAssistant: Hello!\n\nHuman: Why?\nTell me."
    read = read_pairs(lines(tmp_path / "hh.jsonl", hh(context, "So. ", "No.")))
    pair = read.pairs[0]
    assert pair.prompt == (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Why?\nTell me."))
    assert (pair.chosen, pair.rejected) == ((Message("assistant", "So."),), (Message("assistant", "No."),))
    assert (pair.id, pair.p_chosen, pair.source, read.format) == ("hh:1", 1.0, "imported", "hh_rlhf")


def test_human_turn_after_the_last_answer_belongs_to_it_and_is_counted(tmp_path: Path) -> None:
    row = hh("\n\nHuman: Hi", "Hello!\n\nHuman: Bye", "No.")
    read = read_pairs(lines(tmp_path / "hh.jsonl", row))
    assert read.pairs[0].chosen == (Message("assistant", "Hello!\n\nHuman: Bye"),)
    assert (read.found, read.examples) == ({"human_turn_in_response": 1}, {"human_turn_in_response": [1]})
    assert read.dropped == {}


ODD = [
    ("context_differs", {"chosen": "\n\nHuman: A\n\nAssistant: B", "rejected": "\n\nHuman: C\n\nAssistant: D"}),
    ("identical", hh("\n\nHuman: Hi", "Same.", " Same. ")),
    ("empty_chosen", hh("\n\nHuman: Hi", "", "No.")),
    ("empty_rejected", hh("\n\nHuman: Hi", "Yes.", " ")),
    ("empty_prompt", hh("\n\nHuman: ", "Yes.", "No.")),
]


@pytest.mark.parametrize(("reason", "row"), ODD)
def test_odd_pairs_are_refused_dropped_or_kept_as_set(reason: str, row: dict[str, str], tmp_path: Path) -> None:
    path = lines(tmp_path / "odd.jsonl", hh("\n\nHuman: Hi", "Yes.", "No."), row)
    setting = "on_empty" if reason.startswith("empty") else f"on_{reason}"
    with pytest.raises(DataError, match=rf"odd\.jsonl:2 \(id odd:2\).*`{setting}: drop`"):
        read_pairs(path)
    dropped = read_pairs(path, **{setting: "drop"})
    assert (len(dropped.pairs), dropped.dropped, dropped.examples) == (1, {reason: 1}, {reason: [2]})
    kept = read_pairs(path, **{setting: "keep"})
    assert (len(kept.pairs), kept.dropped, kept.found) == (2, {}, {reason: 1})


def test_all_refused_rows_are_told_at_once(tmp_path: Path) -> None:
    same, empty = hh("\n\nHuman: Hi", "Same.", "Same."), hh("\n\nHuman: Hi", "Yes.", "")
    with pytest.raises(DataError) as error:
        read_pairs(lines(tmp_path / "odd.jsonl", same, empty, *[same] * 6))
    assert "odd.jsonl:1 (id odd:1): chosen and rejected are the same text (5 characters)" in str(error.value)
    assert str(error.value).endswith(
        "In all 8 rows of the file are refused: identical 7 (lines 1, 3, 4, 5, 6, …); empty_rejected 1 (line 2)."
    )


def test_a_row_with_two_oddities_is_found_twice_and_dropped_once(tmp_path: Path) -> None:
    read = read_pairs(lines(tmp_path / "odd.jsonl", hh("\n\nHuman: Hi", "", "")), **DROP)
    assert read.found == {"identical": 1, "empty_chosen": 1, "empty_rejected": 1}
    assert read.dropped == {"identical": 1}


def test_rows_that_cannot_be_read_are_dropped_and_counted_where_that_is_set(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(
        '{"prompt": "Hi", "chosen": "a", "rejected": "b"}\n{"prompt": 3, "chosen": "a", "rejected": "b"}\n{\n'
    )
    with pytest.raises(DataError, match=r"p\.jsonl:3: not valid JSON"):
        read_pairs(path)
    read = read_pairs(path, on_unreadable="drop")
    assert (len(read.pairs), read.rows, read.dropped) == (1, 3, {"unreadable": 2})
    assert sorted(read.examples["unreadable"]) == [2, 3]


PROMPT = (Message("user", "Hi"),)
CHOSEN, REJECTED = (Message("assistant", "Hello."),), (Message("assistant", "No."),)
U, C, R = turn("user", "Hi"), turn("assistant", "Hello."), turn("assistant", "No.")
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("trl_explicit", {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}),
    ("trl_explicit", {"prompt": [U], "chosen": [C], "rejected": [R]}),
    ("trl_explicit", {"prompt": "Hi", "chosen": [U, C], "rejected": [U, R]}),
    ("trl_explicit", {"prompt": "\n\nHuman: Hi\n\nAssistant:", "chosen": "Hello.", "rejected": "No."}),
    ("trl_implicit", {"chosen": [U, C], "rejected": [U, R]}),
    ("hh_rlhf", hh("\n\nHuman: Hi", "Hello.", "No.")),
    ("hh_rlhf", hh("Human: Hi", "Hello.", "No.")),
    ("boresight", {"id": "pairs:1", "prompt": [U], "chosen": [C], "rejected": [R]}),
]


@pytest.mark.parametrize(("form", "row"), FORMS)
@pytest.mark.parametrize("container", ["pairs.jsonl", "pairs.jsonl.gz", "pairs.json", "pairs.parquet"])
def test_every_form_in_every_container_gives_the_same_pair(
    form: str, row: dict[str, Any], container: str, tmp_path: Path
) -> None:
    path = tmp_path / container
    if container.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    else:
        text = json.dumps([row], indent=1) if container.endswith("json") else json.dumps(row)
        path.write_bytes(gzip.compress(text.encode()) if container.endswith("gz") else text.encode())
    read = read_pairs(path)
    assert read.pairs[0].id in ("pairs:1", "pairs:2")  # in an indented list the object begins on line 2
    assert (read.pairs[0].prompt, read.pairs[0].chosen, read.pairs[0].rejected) == (PROMPT, CHOSEN, REJECTED)
    assert read.format == detect_format(path) == form
    assert (read.rows, read.found, read.unused_columns) == (1, {}, ())


def test_system_message_that_only_the_conversations_have_becomes_part_of_the_prompt(tmp_path: Path) -> None:
    system = turn("system", "Be brief.")
    row = {"prompt": "Hi", "chosen": [system, U, C], "rejected": [system, U, R]}
    assert read_pairs(lines(tmp_path / "p.jsonl", row)).pairs[0].prompt == (Message("system", "Be brief."), *PROMPT)
    other = {**row, "prompt": "Bye"}
    with pytest.raises(DataError, match=r"p\.jsonl:1: .*do not begin with the prompt"):
        read_pairs(lines(tmp_path / "p.jsonl", other))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", 'prompt,good_answer,bad_answer,kind,note\r\nHi,"Hello, ""you""","No\nway.",plain,x\r\n'),
        (
            "p.csv",
            'Prompt;Good answer;Bad answer;Kind;note\nHi;Hello, "you";"No\nway.";plain;x\n'.replace('"you"', '"you"'),
        ),
        ("p.tsv", 'prompt\tchosen\trejected\tkind\tnote\nHi\t"Hello, ""you"""\t"No\nway."\tplain\tx'),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_and_tsv_are_read_by_column_name(name: str, content: str, mark: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(mark + content.encode())
    read = read_pairs(path)
    pair = read.pairs[0]
    assert (pair.prompt, pair.chosen[0].content, pair.rejected[0].content) == (PROMPT, 'Hello, "you"', "No\nway.")
    assert (pair.kind, read.format, read.unused_columns) == ("plain", name[2:], ("note",))
    packed = tmp_path / (name + ".gz")
    packed.write_bytes(gzip.compress(mark + content.encode()))
    assert read_pairs(packed).pairs == read.pairs


def test_named_columns_override_the_usual_ones(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question,a,b,chosen,share\nHi,Hello.,No.,a,0.75\nBye,Bye.,No.,a,\n")
    columns = {"prompt": "question", "chosen": "a", "rejected": "b", "p_chosen": "share"}
    read = read_pairs(path, columns=columns)
    assert [(p.prompt[0].content, p.chosen[0].content, p.p_chosen) for p in read.pairs] == [
        ("Hi", "Hello.", 0.75),
        ("Bye", "Bye.", 1.0),
    ]
    assert read.unused_columns == ("chosen",)
    with pytest.raises(DataError, match=r"says that 'q' holds 'prompt'.*found question, a, b, chosen, share"):
        read_pairs(path, columns={"prompt": "q"})
    with pytest.raises(DataError, match=r"`columns` names 'answer'; expected parts among prompt, chosen"):
        read_pairs(path, columns={"answer": "a"})


def test_unknown_columns_are_listed_with_how_to_name_them(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("question,better,worse\nHi,Hello.,No.\n")
    with pytest.raises(
        DataError,
        match=r"no column holds 'chosen'; found the columns question, better, worse;.*`columns: \{chosen: NAME\}`",
    ):
        read_pairs(path)
    path.write_text("question,chosen,rejected\nHi,Hello.,No.\n")
    with pytest.raises(DataError, match=r"p\.csv:2: no column holds the prompt.*`columns: \{prompt: NAME\}`"):
        read_pairs(path)
    path.write_text("prompt,chosen,good_answer,rejected\nHi,Hello.,Hello.,No.\n")
    with pytest.raises(DataError, match=r"columns chosen and good_answer could each hold 'chosen'"):
        read_pairs(path)


def test_a_column_that_is_almost_a_known_one_is_refused(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "chosen": "Hello.", "rejected": "No.", "p_chozen": 0.5}
    with pytest.raises(DataError, match=r"unknown column 'p_chozen'; did you mean 'p_chosen'\?"):
        read_pairs(lines(tmp_path / "p.jsonl", row))


BAD_CSV = [
    (b"prompt,chosen,rejected\nHi,a\n", ":2: found 2 cells, expected 3 (prompt, chosen, rejected)"),
    (b'prompt,chosen,rejected\nHi,a,b\nHi,"a,b\n', ":3: not valid CSV: unexpected end of data"),
    (b'prompt,chosen,rejected\n"Hi\nyou",a,b\nHi,"a"x,b\n', ":4: not valid CSV: ',' expected after"),
    (b"prompt,chosen,rejected\nHi,a,\xff\n", ":2: byte 0xff is not UTF-8"),
    ("prompt,chosen,rejected\nHi,a,b\n".encode("utf-16"), ":1: the file is UTF-16"),
    (b"prompt,chosen,chosen\nHi,a,b\n", ":1: the header names the column 'chosen' twice"),
    (b"prompt,chosen,\nHi,a,b\n", ":1: column 3 of the header has no name"),
    (b"prompt,chosen,rejected\n", ": the file holds no rows"),
    (b"", ": the file holds no rows"),
    (b"prompt,chosen,rejected,p_chosen\nHi,a,b,often\n", ":2: \"p_chosen\" is 'often', expected a probability"),
    (b"prompt,chosen,rejected,p_chosen\nHi,a,b,nan\n", ':2: "p_chosen": found nan, expected a probability'),
    (b"id,prompt,chosen,rejected\n1,Hi,a,b\n1,Hi,c,d\n", ":3: the id '1' is that of line 2 too"),
]


@pytest.mark.parametrize(("content", "message"), BAD_CSV, ids=[message[:30] for _, message in BAD_CSV])
def test_bad_csv_is_refused_with_file_and_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_pairs(path)
    assert f"{path}{message}" in str(error.value)


def test_nul_and_odd_line_ends_in_csv_stay_in_their_cells(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes('prompt,chosen,rejected\r\nH\0i,a\u2028b,"c\rd"\r\n\r\n'.encode())
    pair = read_pairs(path).pairs[0]
    assert (pair.prompt[0].content, pair.chosen[0].content, pair.rejected[0].content) == ("H\0i", "a\u2028b", "c\rd")


@settings(max_examples=60)
@given(content=st.binary(max_size=80), name=st.sampled_from(["p.csv", "p.tsv", "p.jsonl", "p.json", "p.parquet"]))
def test_no_bytes_give_a_traceback(content: bytes, name: str, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.mktemp("bytes") / name
    for head in (b"", b"prompt,chosen,rejected\n", b'{"prompt": "Hi", "chosen": "a", "rejected": "b"}\n'):
        path.write_bytes(head + content)
        for read in (detect_format, read_pairs, read_demonstrations, read_prompts, read_documents):
            try:
                read(path)
            except DataError as error:
                assert str(path) in str(error)


BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": "Hi", "chosen": 3, "rejected": "No."}, "'chosen' is a number and 'rejected' a text"),
    ({"prompt": "Hi", "chosen": [U], "rejected": [R]}, '"chosen": ends with a message of the role user'),
    ({"prompt": "Hi", "chosen": [], "rejected": [R]}, '"chosen": is empty'),
    ({"prompt": 3, "chosen": "a", "rejected": "b"}, '"prompt": found a number, expected a list of messages'),
    ({"prompt": "Hi", "chosen": "a", "rejected": "b", "kind": 3}, '"kind" is a number, expected a text'),
    ({"prompt": "Hi", "chosen": "a", "rejected": "b", "p_chosen": 2}, '"p_chosen": found 2, expected a probability'),
    ({"chosen": "a", "rejected": "b"}, "no column holds the prompt, and 'chosen' is no transcript"),
    ({"chosen": [turn("robot", "x")], "rejected": [R]}, "message 1: \"role\" is 'robot'"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_bad_rows_are_refused_with_file_and_line(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_pairs(lines(tmp_path / "p.jsonl", row))
    assert f"{tmp_path / 'p.jsonl'}:1" in str(error.value)
    assert message in str(error.value)


def test_a_row_of_another_form_than_the_first_is_refused(tmp_path: Path) -> None:
    first = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match=r'p\.jsonl:2: "rejected": found null, expected a list of messages'):
        read_pairs(lines(tmp_path / "p.jsonl", first, {"prompt": "Hi", "chosen": "a"}))
    first = hh("\n\nHuman: Hi", "a", "b")
    with pytest.raises(DataError, match=r'p\.jsonl:2: "chosen": found no turn that begins with "Assistant:"'):
        read_pairs(lines(tmp_path / "p.jsonl", first, {"chosen": "a", "rejected": "b"}))
    with pytest.raises(DataError, match=r"p\.jsonl:2: \"chosen\": the transcript begins with 'Note'"):
        read_pairs(lines(tmp_path / "p.jsonl", first, hh("Note\n\nHuman: Hi", "a", "b")))


def test_own_records_are_read_exactly(tmp_path: Path) -> None:
    pair = PreferencePair(id="a", prompt=PROMPT, chosen=CHOSEN, rejected=REJECTED, p_chosen=0.7, annotators=("x", "y"))
    write_records(tmp_path / "own.jsonl", [pair])
    read = read_pairs(tmp_path / "own.jsonl")
    assert (read.format, read.pairs) == ("boresight", [pair])


@pytest.mark.parametrize("name", ["pairs", "pairs.xlsx", "pairs.gz"])
def test_unknown_containers_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(DataError, match=r"does not tell what the file holds; expected one that ends in \.jsonl"):
        read_pairs(tmp_path / name)


def test_demonstrations_of_every_form(tmp_path: Path) -> None:
    messages = (*PROMPT, *CHOSEN)
    for name, row in [
        ("conversations", {"id": "d:1", "messages": [U, C]}),
        ("prompt_response", {"prompt": "Hi", "response": "Hello."}),
        ("prompt_response", {"prompt": [U], "completion": "Hello."}),
        ("trl_implicit", {"chosen": [U, C], "rejected": [U, R]}),
    ]:
        path = lines(tmp_path / "d.jsonl", row)
        read = read_demonstrations(path)
        assert (read.format, detect_format(path), read.rows, read.dropped) == (name, name, 1, {})
        assert read.demonstrations == [Demonstration(id="d:1", messages=messages)]
    read = read_demonstrations(
        lines(tmp_path / "d.jsonl", {"messages": [U, C], "kind": "plain", "meta": {"a": 1}, "x": 1})
    )
    assert read.demonstrations[0].meta == {"kind": "plain", "a": 1}
    assert read.unused_columns == ("x",)


def test_demonstrations_of_pairs_are_their_distinct_chosen_conversations(tmp_path: Path) -> None:
    rows = [hh("\n\nHuman: Hi", answer, other) for answer, other in [("a", "b"), ("a", "c"), ("", "b"), ("d", "d")]]
    read = read_demonstrations(lines(tmp_path / "hh.jsonl", *rows))
    assert [d.messages[-1].content for d in read.demonstrations] == ["a", "d"]
    assert read.dropped == {"duplicate": 1, "empty_chosen": 1}
    assert read.examples == {"duplicate": [2], "empty_chosen": [3]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [U]}, "the last message has the role user"),
        ({"messages": []}, '"messages" is empty'),
        ({"prompt": "Hi", "response": " "}, "the last message is empty"),
        ({"prompt": "Hi"}, "demonstrations need `messages`, or `prompt` and `response`"),
        ({"instruction": "Hi"}, "found the columns instruction; expected prompt, chosen and rejected"),
        ({"messages": [U, C], "meta": 3}, '"meta" is a number, expected an object'),
    ],
)
def test_what_is_no_demonstration_is_refused(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        read_demonstrations(lines(tmp_path / "d.jsonl", row))
    assert message in str(error.value)
    assert str(tmp_path / "d.jsonl") in str(error.value)


def test_prompts_of_every_form(tmp_path: Path) -> None:
    for row in [
        {"id": "q:1", "messages": [U]},
        {"prompt": "Hi"},
        {"prompt": [U]},
        {"messages": [U, C]},
        {"prompt": "Hi", "response": "Hello."},
        {"chosen": [U, C], "rejected": [U, R]},
        {"prompt": "Hi", "chosen": "a", "rejected": "a"},
    ]:
        assert read_prompts(lines(tmp_path / "q.jsonl", row)).prompts == [Prompt(id="q:1", messages=PROMPT)]
    rules = {"rules": [{"name": "stopped", "weight": 1.0, "stopped": True}]}
    row = {"id": "x", "kind": "plain", "messages": [U], "expect": rules, "meta": {"a": 1}}
    prompt = Prompt(id="x", messages=PROMPT, kind="plain", expect=rules, meta={"a": 1})
    assert read_prompts(lines(tmp_path / "q.jsonl", row)).prompts == [prompt]
    with pytest.raises(DataError, match=r"unknown column 'expects'; did you mean 'expect'\?"):
        read_prompts(lines(tmp_path / "q.jsonl", {"messages": [U], "expects": rules}))


def test_prompts_of_pairs_are_distinct_and_wait_for_the_assistant(tmp_path: Path) -> None:
    contexts = ["\n\nHuman: Hi", "\n\nHuman: Hi", "\n\nHuman: Hi\n\nAssistant: Yes?", "\n\nHuman: "]
    read = read_prompts(lines(tmp_path / "hh.jsonl", *[hh(context, "a", "b") for context in contexts]))
    assert [p.messages for p in read.prompts] == [PROMPT]
    assert read.dropped == {"duplicate": 1, "ends_with_assistant": 1, "empty_prompt": 1}


def test_prompts_without_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"q\.jsonl:1 \(id q:1\): the prompt is empty"):
        read_prompts(lines(tmp_path / "q.jsonl", {"prompt": " "}))
    with pytest.raises(DataError, match=r"found the columns text; prompts need `messages` or `prompt`"):
        read_prompts(lines(tmp_path / "q.jsonl", {"text": "Hi"}))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_text_documents_are_parted_by_blank_lines(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / ("docs.txt.gz" if pack is gzip.compress else "docs.txt")
    path.write_bytes(pack("\ufeff\n\nOne\nand a half.\r\n \r\n\r\n\tTwo.\n\n".encode()))
    read = read_documents(path)
    assert (read.format, read.rows, read.documents) == ("text", 2, ["One\nand a half.", "\tTwo."])
    path.write_bytes(pack(b" \n\n"))
    with pytest.raises(DataError, match="found no text"):
        read_documents(path)


def test_documents_of_records_are_texts_or_conversations(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    read = read_documents(lines(path, {"text": "One.", "path": "a"}, {"text": " "}))
    assert (read.documents, read.dropped, read.unused_columns) == (["One."], {"empty": 1}, ("path",))
    assert read_documents(lines(path, {"messages": [U, C]})).documents == ["Human: Hi\n\nAssistant: Hello."]
    empty = {"chosen": [U, turn("assistant", "")], "rejected": [U, R]}
    read = read_documents(lines(path, {"chosen": [U, C], "rejected": [U, R]}, empty))
    assert (read.documents, read.dropped) == (["Human: Hi\n\nAssistant: Hello."], {"empty_chosen": 1})


def test_pairs_of_several_messages_keep_them_where_contexts_differ(tmp_path: Path) -> None:
    other = turn("assistant", "Hm?")
    row = {"chosen": [U, C, U, C], "rejected": [U, other, U, R]}
    pair = read_pairs(lines(tmp_path / "p.jsonl", row), on_context_differs="keep").pairs[0]
    assert pair.prompt == PROMPT
    assert [m.content for m in pair.chosen] == ["Hello.", "Hi", "Hello."]
    assert [m.content for m in pair.rejected] == ["Hm?", "Hi", "No."]


@pytest.mark.parametrize("column", ["system", "System Prompt"])
def test_a_system_message_in_a_column_of_its_own_begins_the_conversation(tmp_path: Path, column: str) -> None:
    system = Message("system", "Be brief.")
    row = {"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}
    found = read_pairs(lines(tmp_path / "p.jsonl", {column: "Be brief.", **row}, {column: None, **row, "prompt": "Ho"}))
    assert [pair.prompt for pair in found.pairs] == [(system, Message("user", "Hi")), (Message("user", "Ho"),)]
    assert found.unused_columns == ()
    whole = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    same = lines(tmp_path / "q.jsonl", {column: "Be brief. ", **row, "prompt": whole})
    assert read_pairs(same).pairs[0].prompt == (system, Message("user", "Hi"))
    two = lines(tmp_path / "r.jsonl", {column: "Be long.", **row, "prompt": whole})
    with pytest.raises(DataError, match=r"r\.jsonl:1: .* and the system message of the conversation are two; expected"):
        read_pairs(two)


def test_system_columns_are_read_of_prompts_demonstrations_and_rated_responses_too(tmp_path: Path) -> None:
    begins = (Message("system", "Be brief."), Message("user", "Hi"))
    row = {"system": "Be brief.", "prompt": "Hi"}
    prompts = read_prompts(lines(tmp_path / "p.jsonl", row))
    assert prompts.prompts[0].messages == begins and prompts.unused_columns == ()
    shown = read_demonstrations(lines(tmp_path / "d.jsonl", {**row, "response": "Hello."}))
    assert shown.demonstrations[0].messages == (*begins, Message("assistant", "Hello."))
    assert shown.unused_columns == ()
    rated = read_rated(lines(tmp_path / "k.jsonl", {**row, "completion": "Hello.", "label": True}))
    assert rated.rated[0].prompt == begins and rated.unused_columns == ()
