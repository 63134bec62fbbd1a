"""Filter and split from file to file."""

from pathlib import Path

import pytest

from boresight.data.filters import Filters
from boresight.data.jsonl import read_records, write_records
from boresight.data.length_balance import weigh
from boresight.data.quality_files import dropped_path, filter_file, split_files
from boresight.errors import DataError
from boresight.records import PreferencePair
from tests.data.lint.making import pair, sound_pairs

PAIRS = [*sound_pairs(20), pair(90, "q", "same", "same"), pair(91, "q", "one two three", "one")]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    write_records(path, PAIRS)
    return path


def test_kept_and_dropped_rows_stand_in_two_files_that_can_be_read_again(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl.gz"
    done = filter_file(source, out, Filters(max_length_ratio=2.0), drop_lint=["identical_answers"])
    assert (done.rows, done.kept, done.dropped) == (22, 20, {"identical_answers": 1, "length_ratio": 1})
    assert read_records(out, PreferencePair) == PAIRS[:20]
    assert done.dropped_file == tmp_path / "kept.dropped.jsonl.gz"
    reasons = {record.id: record.meta["dropped"] for record in read_records(done.dropped_file, PreferencePair)}
    assert reasons == {"p90": "identical_answers", "p91": "length_ratio"}


def test_only_the_rows_of_a_finding_can_be_kept(source: Path, tmp_path: Path) -> None:
    done = filter_file(source, tmp_path / "look.jsonl", Filters(), only_lint=["identical_answers"])
    assert (done.kept, done.dropped) == (1, {"not_in_finding": 21})


def test_the_side_file_is_that_of_this_filter_also_where_nothing_is_dropped(source: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.dropped.jsonl").write_text("of an earlier filter")
    done = filter_file(source, tmp_path / "kept.jsonl", Filters(max_length_ratio=100.0))
    assert done.dropped == {} and done.dropped_file.read_bytes() == b""


def test_all_dropped_leaves_an_empty_file(source: Path, tmp_path: Path) -> None:
    done = filter_file(source, tmp_path / "kept.jsonl", Filters(max_length_ratio=0.001))
    assert (done.kept, sum(done.dropped.values())) == (0, 22)
    assert (tmp_path / "kept.jsonl").read_bytes() == b""


def test_weights_are_those_of_the_pairs_that_stay(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    done = filter_file(source, out, Filters(max_length_ratio=2.0), reweight=True)
    kept = read_records(out, PreferencePair)
    assert done.weights is not None and done.weights == weigh(PAIRS[:20])
    assert [p.meta for p in kept] == [done.weights.mark(p).meta for p in PAIRS[:21]]
    told = done.as_json()["length_weights"]
    assert told["weighted_length_rule_accuracy"] in (0.5, told["length_rule_accuracy"])
    assert all("weight" not in p.meta for p in read_records(done.dropped_file, PreferencePair))


def test_a_file_that_changes_while_it_is_read_gives_no_output(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decide_and_append(*arguments: object) -> dict[int, str]:
        with source.open("a", encoding="utf-8") as stream:
            stream.write(source.read_text(encoding="utf-8").splitlines()[0].replace('"p0"', '"late"') + "\n")
        return {}

    monkeypatch.setattr("boresight.data.quality_files.drop_reasons", decide_and_append)
    with pytest.raises(DataError, match=r"pairs\.jsonl: the file was written to while it was read"):
        filter_file(source, tmp_path / "kept.jsonl", Filters(ties="drop"))
    assert list(tmp_path.iterdir()) == [source]


def test_bad_requests_are_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no filter is named"):
        filter_file(source, tmp_path / "kept.jsonl", Filters())
    with pytest.raises(DataError, match=r"kept\.csv: records are written as JSON Lines; expected a name that ends in"):
        filter_file(source, tmp_path / "kept.csv", Filters(ties="drop"))
    with pytest.raises(DataError, match="expected --balance-length"):
        filter_file(source, tmp_path / "kept.jsonl", Filters(), drop_lint=["length_bias"])
    with pytest.raises(DataError, match="this is the file that is read"):
        filter_file(source, source, Filters(ties="drop"))


def test_contamination_is_dropped_against_the_evaluation_file(source: Path, tmp_path: Path) -> None:
    prompts = tmp_path / "held_out.jsonl"
    prompts.write_text('{"prompt": "Which pressure does pump 3 in hall 21 need?"}\n', encoding="utf-8")
    out = tmp_path / "kept.jsonl"
    done = filter_file(source, out, Filters(), drop_lint=["contamination"], evaluation=[prompts])
    assert done.dropped == {"contamination": 1} and "p3" not in {p.id for p in read_records(out, PreferencePair)}


def test_parts_of_a_split_are_files_and_ids_stay_apart(source: Path, tmp_path: Path) -> None:
    done = split_files([source, source], tmp_path / "out", {"train": 0.5, "test": 0.5}, seed=1)
    assert done.files["aside"].read_bytes() == b"" and set(done.files) == {"train", "test", "aside"}
    parts = {name: read_records(done.files[name], PreferencePair) for name in ("train", "test")}
    assert all(parts.values())
    assert len({record.id for rows in parts.values() for record in rows}) == sum(done.rows.values()) == 44
    assert done.strata == {"pairs.jsonl": {name: len(rows) for name, rows in parts.items()}}
    assert not {r.prompt for r in parts["train"]} & {r.prompt for r in parts["test"]}


@pytest.mark.parametrize("name", ["aside", "../train", ".hidden"])
def test_names_that_are_no_plain_words_are_refused(source: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no name for a part"):
        split_files([source], tmp_path, {name: 0.5, "test": 0.5}, seed=1)


@pytest.mark.parametrize(("name", "side"), [("a.jsonl", "a.dropped.jsonl"), ("a.b.jsonl.gz", "a.b.dropped.jsonl.gz")])
def test_the_side_file_lies_beside(name: str, side: str) -> None:
    assert dropped_path(Path("x") / name) == Path("x") / side
