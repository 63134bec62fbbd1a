"""Whatever is in a file: it is read, or refused with an error of ours; never a traceback, never a silent change."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boresight.data.foreign_forms import FOREIGN
from boresight.data.inspection import inspect_file
from boresight.data.readers import read_pairs
from boresight.data.refusals import RowsAside
from boresight.data.tables import LONGEST_CELL, iterate_rows
from boresight.errors import BoresightError

KEEP: Any = {"on_identical": "keep", "on_empty": "keep", "on_context_differs": "keep"}
KEYS = sorted(
    {key for form in FOREIGN for key in form.keys}
    | {"prompt", "chosen", "rejected", "messages", "response", "text", "kind", "p_chosen", "meta", "note", "winner"}
)
TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "Hi", "\n\nHuman: a\n\nAssistant: b", "left", "true", "\0"])
)
SPEAKER = st.sampled_from(["human", "gpt", "bee", None, 3]) | st.lists(st.none(), max_size=1)
ROLE = st.sampled_from(["user", "assistant", "system", "poet", None]) | st.lists(st.none(), max_size=1)
MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": ROLE, "content": TEXT | st.none(), "from": SPEAKER, "value": TEXT | st.none(), "name": TEXT}
)
TURNS = st.lists(MESSAGE, min_size=1, max_size=3)
NUMBER = st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT | MESSAGE | TURNS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
ROW = st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=6)
ANSWERS = st.dictionaries(st.sampled_from(["best", "response_1 rating", "order"]), st.lists(
    st.fixed_dictionaries({"value": TURNS | NUMBER | TEXT | st.sampled_from(["response-1", "tie"])},
                          optional={"user_id": TEXT | st.none(), "status": st.sampled_from(["submitted", "draft"])}),
    max_size=2), max_size=2)  # fmt: skip
TEXTS = st.dictionaries(st.sampled_from(["prompt", "response_1", "response-2", "text1", "note"]), TEXT | NUMBER)
LIKELY = {  # what a key holds more often than not, so that the reading gets further than its first check
    "id": st.none() | st.integers(0, 3) | TEXT,
    "conversations": TURNS,
    "data": TEXTS,
    "fields": TEXTS,
    "responses": ANSWERS | st.lists(TEXT, max_size=3),
    "scores": st.lists(NUMBER | st.none(), max_size=3),
    "completions": st.lists(st.fixed_dictionaries({"response": TEXT}, optional={"overall_score": NUMBER | TEXT})),
    "annotations": st.lists(
        st.fixed_dictionaries({"result": st.just([{"type": "pairwise", "value": {"selected": "left"}}])})
    ),
    "preference": st.lists(st.integers(0, 2), min_size=6, max_size=6) | st.floats(1, 2) | st.none(),
    "label": st.integers(0, 2) | st.booleans() | st.none(),
    "winner": st.sampled_from(["model_a", "model_b", "tie"]),
    "history": st.lists(st.lists(TEXT, min_size=2, max_size=2), max_size=2) | st.none(),
    "instances": st.lists(st.fixed_dictionaries({"input": TEXT, "output": TEXT})),
    "input": st.fixed_dictionaries({"messages": TURNS}) | TEXT,
    "chosen": TURNS | MESSAGE | TEXT,
    "rejected": TURNS | MESSAGE | TEXT,
}
FITTING = st.sampled_from(FOREIGN).flatmap(
    lambda form: st.fixed_dictionaries(
        {key: st.one_of(*[LIKELY.get(key, TEXT)] * 6, VALUE) for key in sorted(form.keys)}, optional={"note": VALUE}
    )
)


def survives(path: Path, forms: tuple[str | None, ...] = (None,)) -> None:
    for form in forms:
        for aside in (False, True):
            try:
                if aside:
                    with RowsAside() as refuse:
                        inspect_file(path, form=form, refuse=refuse)
                        refuse.save(path.with_name("aside.jsonl"))
                else:
                    inspect_file(path, form=form)
            except BoresightError as error:
                assert str(path) in str(error)


def in_folder(name: str, content: bytes, check: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        check(path)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=80), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.txt", "a.csv.gz"])
)
def test_any_bytes(content: bytes, name: str) -> None:
    in_folder(name, content, survives)
    in_folder(name, gzip.compress(content), survives)


PIECES = st.lists(
    st.sampled_from(
        [b'"', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"[", b"]", b":", b'"chosen"',
         b'"rejected"', b'"prompt"', b"chosen,rejected,prompt", b'"a"', b"null", b"1e999", b"\\ud800",
         b"x" * 300, b"\t"]
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(PIECES, st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.tsv"]))
def test_any_pieces_of_syntax(pieces: list[bytes], name: str) -> None:
    in_folder(name, b"".join(pieces), survives)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW | FITTING, min_size=1, max_size=3))
def test_any_objects_under_the_keys_that_are_known(rows: list[dict[str, Any]]) -> None:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    in_folder("a.jsonl", content, survives)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    FITTING, st.sampled_from([form.name for form in FOREIGN] + ["boresight", "trl_explicit", "trl_implicit", "hh_rlhf"])
)
def test_any_object_read_as_a_forced_form(row: dict[str, Any], form: str) -> None:
    in_folder("a.jsonl", (json.dumps(row) + "\n").encode(), lambda path: survives(path, (form,)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, st.none() | TEXT, st.none() | st.lists(MESSAGE, max_size=2)), min_size=1, max_size=3))
def test_any_parquet_columns_with_nested_nulls(rows: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        try:
            table = pyarrow.Table.from_pylist([{"prompt": a, "chosen": b, "rejected": c} for a, b, c in rows])
            pyarrow.parquet.write_table(table, path)
        except (pyarrow.ArrowException, NotImplementedError):  # rows that Parquet cannot hold
            return
        survives(path)


CELL = st.text(max_size=30).filter(lambda text: "\ufeff" not in text[:1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=4), st.sampled_from([",", ";", "\t"]), st.booleans())
def test_cells_come_out_as_they_went_in(rows: list[tuple[str, str, str]], delimiter: str, mark: bool) -> None:
    """Line ends, quotes, NUL and delimiters in cells; a byte-order mark; every usual delimiter."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(["prompt", "chosen", "rejected"])
    writer.writerows(rows)
    content = (b"\xef\xbb\xbf" if mark else b"") + buffer.getvalue().encode()

    def check(path: Path) -> None:
        read = [tuple(row.values()) for _, row in iterate_rows(path)]
        assert read == rows

    in_folder("a.tsv" if delimiter == "\t" else "a.csv", content, check)


def test_a_huge_field_is_read(tmp_path: Path) -> None:
    huge = "x" * 5_000_000
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": huge, "chosen": "a", "rejected": "b"}))
    assert read_pairs(tmp_path / "a.jsonl").pairs[0].prompt[0].content == huge
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": huge, "chosen": "a", "rejected": "b"}] * 2))
    read = read_pairs(tmp_path / "a.json").pairs
    assert [(pair.id, len(pair.prompt[0].content)) for pair in read] == [("a:1", len(huge)), ("a:1.2", len(huge))]
    limit = csv.field_size_limit()
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        (tmp_path / name).write_text(
            delimiter.join(["prompt", "chosen", "rejected\n"]) + delimiter.join([huge, "a", "b"])
        )
        assert read_pairs(tmp_path / name).pairs[0].prompt[0].content == huge
    assert csv.field_size_limit() == limit, "the limit of the csv module is that of the whole process"


def test_a_quote_that_swallows_the_rest_of_the_file_is_not_followed_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,chosen,rejected\nHi,a,b\nHi,"a' + "x" * LONGEST_CELL)
    with pytest.raises(BoresightError, match=r"a\.csv:3: .*field larger than field limit.* at most 16,777,216 char"):
        read_pairs(tmp_path / "a.csv")
