"""Round trips between forms: what a form can hold comes back, and what it cannot is counted or refused."""

import gzip
import json
import tempfile
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.data.conversion import TEXTS, convert_file
from boresight.data.jsonl import as_record, from_record, read_records, write_records
from boresight.data.pair_stream import stream_pairs
from boresight.data.readers import read_demonstrations, read_prompts
from boresight.data.refusals import RowsAside
from boresight.data.tables import LONGEST_CELL
from boresight.data.written_forms import DEMONSTRATION_TARGETS, PAIR_TARGETS, PROMPT_TARGETS
from boresight.errors import DataError
from boresight.records import Demonstration, Message, Messages, PreferencePair, Prompt

PAIR = PreferencePair(
    id="a",
    prompt=(Message("user", 'Say "hi",\nplease; é'), Message("assistant", "Hi!"), Message("user", "Again?")),
    chosen=(Message("assistant", "Hi, again."),),
    rejected=(Message("assistant", "No, 'thanks'."),),
)
RICH = replace(
    PAIR,
    p_chosen=0.75,
    kind="greeting",
    source="human",
    strength=2.0,
    annotators=("x", "y"),
    n_votes=4,
    criteria={"tone": "warm"},
    ranking_id="r",
    meta={"a": {"b": [1, None]}},
)
KEEPS = {  # fields beyond the text that a form holds, of those that RICH sets
    "boresight": frozenset(field.name for field in fields(PreferencePair)),
    **dict.fromkeys(
        ("trl_explicit", "trl_conversational", "trl_implicit", "csv"), frozenset({"id", "kind", "p_chosen"})
    ),
    **dict.fromkeys(("sharegpt", "alpaca"), frozenset({"id"})),
    **dict.fromkeys(("trl_unpaired", "hh_rlhf", "openai"), frozenset[str]()),
}
NAMES = {"csv": "out.csv"}


def write(folder: Path, *records: Any) -> Path:
    write_records(folder / "in.jsonl", records)
    return folder / "in.jsonl"


@pytest.mark.parametrize("to", PAIR_TARGETS)
def test_a_pair_comes_back_from_every_form_and_losses_are_counted(to: str, tmp_path: Path) -> None:
    out = tmp_path / NAMES.get(to, "out.jsonl")
    done = convert_file(write(tmp_path, RICH), to, out)
    (_, back), *others = list(stream_pairs(out))
    assert others == [] and (done.rows, done.records, done.to, done.kind) == (1, 1, to, "pairs")
    lost = {field.name for field in fields(RICH) if getattr(RICH, field.name) != getattr(back.pair, field.name)}
    assert lost == set(done.lost) == {field.name for field in fields(RICH)} - KEEPS[to] - set(TEXTS)
    assert set(done.lost.values()) <= {1}
    assert (back.pair.prompt, back.pair.chosen, back.pair.rejected) == (PAIR.prompt, PAIR.chosen, PAIR.rejected)


@pytest.mark.parametrize("name", ["o.jsonl", "o.jsonl.gz", "o.json", "o.json.gz", "o.parquet"])
@pytest.mark.parametrize("record", [RICH, PAIR])
def test_our_own_record_comes_back_from_every_container(name: str, record: PreferencePair, tmp_path: Path) -> None:
    source = write(tmp_path, record, replace(PAIR, id="b", meta={"c": 1}))
    convert_file(source, "boresight", tmp_path / name)
    assert [row.pair for _, row in stream_pairs(tmp_path / name)] == read_records(source, PreferencePair)
    assert ((tmp_path / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")


DEMONSTRATION = Demonstration(id="d", messages=(*PAIR.prompt, *PAIR.chosen))
PROMPT = Prompt(id="q", messages=PAIR.prompt, kind="greeting")


@pytest.mark.parametrize("to", DEMONSTRATION_TARGETS)
def test_a_demonstration_comes_back_from_every_form(to: str, tmp_path: Path) -> None:
    out = tmp_path / NAMES.get(to, "out.jsonl")
    done = convert_file(write(tmp_path, DEMONSTRATION), to, out)
    back = read_demonstrations(out).demonstrations
    assert [item.messages for item in back] == [DEMONSTRATION.messages]
    assert set(done.lost) == ({"id"} if to == "openai" else set())


@pytest.mark.parametrize("to", PROMPT_TARGETS)
def test_a_prompt_comes_back_from_every_form(to: str, tmp_path: Path) -> None:
    out = tmp_path / NAMES.get(to, "out.jsonl")
    done = convert_file(write(tmp_path, PROMPT), to, out)
    assert [item.messages for item in read_prompts(out).prompts] == [PROMPT.messages]
    kept = {"boresight": set(), "csv": set(), "trl_conversational": {"kind"}, "openai": {"id", "kind"}}
    assert set(done.lost) == kept[to]


def refused(pair: PreferencePair, to: str, folder: Path) -> str:
    out = folder / NAMES.get(to, "out.jsonl")
    with pytest.raises(DataError) as error:
        convert_file(write(folder, pair), to, out)
    assert not out.exists() and "in.jsonl:1 (id a)" in str(error.value)
    return str(error.value)


def test_text_that_a_form_takes_for_its_marks_is_refused(tmp_path: Path) -> None:
    forged = replace(PAIR, chosen=(Message("assistant", "Well.\n\nAssistant: I say more."),))
    assert '"chosen" would come back from hh_rlhf as other text' in refused(forged, "hh_rlhf", tmp_path)
    system = replace(PAIR, prompt=(Message("system", "Be brief."), Message("user", "Hi")))
    assert "a transcript has no marker for the role system" in refused(system, "hh_rlhf", tmp_path)
    several = replace(PAIR, chosen=(Message("user", "Hm?"), Message("assistant", "Hi")))
    assert "chosen holds messages of the roles user, assistant" in refused(several, "trl_explicit", tmp_path)
    odd = replace(PAIR, prompt=(Message("user", "a"), Message("user", "b")))
    assert "this form holds turns of user and assistant" in refused(odd, "alpaca", tmp_path)


def test_a_cell_that_could_not_be_read_again_is_refused(tmp_path: Path) -> None:
    long = replace(PAIR, chosen=(Message("assistant", "x" * (LONGEST_CELL + 1)),))
    assert '"chosen" is longer than the 16,777,216 characters that a CSV cell holds' in refused(long, "csv", tmp_path)


def test_white_space_at_the_ends_is_counted_where_transcripts_drop_it(tmp_path: Path) -> None:
    pair = replace(PAIR, chosen=(Message("assistant", "Hi, again.\n"),))
    done = convert_file(write(tmp_path, pair), "hh_rlhf", tmp_path / "out.jsonl")
    assert done.lost == {"id": 1, "white space at the ends of chosen": 1}


def test_skipped_records_stand_aside_with_their_reason(tmp_path: Path) -> None:
    bad = replace(PAIR, id="b", chosen=(Message("user", "Hm?"), Message("assistant", "Hi")))
    with RowsAside() as aside:
        done = convert_file(write(tmp_path, PAIR, bad), "csv", tmp_path / "out.csv", refuse=aside)
        aside.save(tmp_path / "aside.jsonl")
    assert (done.rows, done.records, aside.count) == (2, 1, 1)
    row = json.loads((tmp_path / "aside.jsonl").read_text())
    assert row["line"] == 2 and from_record(PreferencePair, row["row"], "x") == bad


def test_columns_that_are_not_read_are_kept_in_meta(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("prompt,chosen,rejected,note\nHi,a,b,mind\nHi,a,c,\n")
    convert_file(tmp_path / "in.csv", "boresight", tmp_path / "out.jsonl")
    assert [pair.meta for pair in read_records(tmp_path / "out.jsonl", PreferencePair)] == [{"note": "mind"}, {}]
    rows = [{"question": "Hi", "answer": "Hello.", "level": 3, "day": date(2024, 5, 1)}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet")
    done = convert_file(tmp_path / "in.parquet", "boresight", tmp_path / "out.jsonl")
    assert [d.meta for d in read_records(tmp_path / "out.jsonl", Demonstration)] == [{"level": 3}]
    assert done.unkept == {"day": 1}


def test_a_form_needs_its_container_and_a_kind_its_form(tmp_path: Path) -> None:
    source = write(tmp_path, PAIR)
    with pytest.raises(DataError, match=r"out\.jsonl: the form 'csv' is written to a file that ends in \.csv or \.tsv"):
        convert_file(source, "csv", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match=r"out\.txt: the form 'boresight' is written to .*\.jsonl, \.json or \.parquet"):
        convert_file(source, "boresight", tmp_path / "out.txt")
    with pytest.raises(DataError, match="cannot be written as 'alpakka'; expected one of boresight, trl_explicit"):
        convert_file(source, "alpakka", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match=r"holds prompts .*cannot be written as 'hh_rlhf'; expected one of boresight"):
        convert_file(write(tmp_path, PROMPT), "hh_rlhf", tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="this is the file that is read"):
        convert_file(source, "boresight", source)


def test_equal_records_give_equal_bytes(tmp_path: Path) -> None:
    source = write(tmp_path, RICH)
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        convert_file(source, "boresight", tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == source.read_bytes()


TEXT = st.one_of(
    st.text(),
    st.sampled_from(
        ["", " ", "a\r\nb", "\r", "\0", "\ufeff", '"', ",", "\n\nHuman: x", "\n\nAssistant: y", "\u2028", "null"]
    ),
)
TURNS = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant", "tool"]), TEXT), max_size=3)
ANSWER = st.builds(lambda before, text: (*before, Message("assistant", text)), st.lists(
    st.builds(Message, st.sampled_from(["user", "assistant"]), TEXT), max_size=1), TEXT)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
PAIRS = st.builds(
    PreferencePair,
    id=st.text(min_size=1),
    prompt=st.builds(lambda turns, text: (*turns, Message("user", text)), TURNS, TEXT),
    chosen=ANSWER,
    rejected=ANSWER,
    p_chosen=st.floats(0, 1),
    kind=TEXT,
    annotators=st.lists(TEXT, max_size=2).map(tuple),
    n_votes=st.none() | st.integers(0, 9),
    strength=st.none() | st.floats(-9, 9),
    criteria=st.dictionaries(st.text(), JSON, max_size=2),
    ranking_id=st.none() | TEXT,
    meta=st.dictionaries(st.text(), JSON, max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(PAIRS, min_size=1, max_size=3, unique_by=lambda pair: pair.id), to=st.sampled_from([*PAIR_TARGETS])
)
def test_nothing_changes_unseen_on_the_way_to_any_form(pairs: list[PreferencePair], to: str) -> None:
    """Every record is refused, or comes back with its text; every other field comes back or is counted as lost."""
    with tempfile.TemporaryDirectory() as name, RowsAside() as aside:
        folder = Path(name)
        out = folder / NAMES.get(to, "out.jsonl")
        source = write(folder, *pairs)
        done = convert_file(source, to, out, refuse=aside)
        assert done.records + aside.count == len(pairs)
        back = [row.pair for _, row in stream_pairs(out)] if done.records else []
        aside.save(folder / "aside.jsonl")
        skipped = {json.loads(line)["line"] for line in _lines(folder / "aside.jsonl")}
    assert len(back) == done.records
    kept = [pair for line, pair in enumerate(pairs, start=1) if line not in skipped]
    lost: dict[str, int] = {}
    for was, now in zip(kept, back, strict=True):
        for spec in fields(PreferencePair):
            if getattr(was, spec.name) != getattr(now, spec.name):
                stripped = spec.name in TEXTS
                if stripped:
                    one, other = (
                        [(m.role, m.content.strip()) for m in getattr(pair, spec.name)] for pair in (was, now)
                    )
                    assert one == other
                name = f"white space at the ends of {spec.name}" if stripped else spec.name
                lost[name] = lost.get(name, 0) + 1
    assert lost == dict(done.lost)


@settings(max_examples=40, deadline=None)
@given(
    pairs=st.lists(PAIRS, min_size=1, max_size=3, unique_by=lambda pair: pair.id),
    ending=st.sampled_from([".json", ".jsonl.gz", ".parquet"]),
)
def test_our_own_record_comes_back_exactly_from_any_container(pairs: list[PreferencePair], ending: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        source = write(Path(name), *pairs)
        out = Path(name) / f"out{ending}"
        done = convert_file(source, "boresight", out)
        assert ([row.pair for _, row in stream_pairs(out)], dict(done.lost)) == (pairs, {})
        assert all(as_record(pair) for pair in pairs)


CONVERSATIONS = st.builds(lambda prompt, text: (*prompt, Message("assistant", text)), st.builds(
    lambda turns, text: (*turns, Message("user", text)), TURNS, TEXT), TEXT)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    messages=CONVERSATIONS,
    meta=st.dictionaries(st.text(), JSON, max_size=2),
    to=st.sampled_from([*DEMONSTRATION_TARGETS]),
)
def test_no_demonstration_changes_unseen(messages: Messages, meta: dict[str, Any], to: str) -> None:
    with tempfile.TemporaryDirectory() as name, RowsAside() as aside:
        out = Path(name) / NAMES.get(to, "out.jsonl")
        was = Demonstration(id="d", messages=messages, meta=meta)
        done = convert_file(write(Path(name), was), to, out, refuse=aside)
        assert done.records + aside.count == 1
        if done.records:
            (now,) = read_demonstrations(out).demonstrations
            ends = "white space at the ends of messages"  # forms made of transcripts do not keep it, and say so
            assert (now.messages == messages) == (ends not in done.lost)
            assert [(m.role, m.content.strip()) for m in now.messages] == [
                (m.role, m.content.strip()) for m in messages
            ]
            changed = {field for field in ("id", "meta") if getattr(was, field) != getattr(now, field)}
            assert set(done.lost) - {ends} == changed


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
