"""A file larger than memory can be read: what is held does not grow with the text of the file."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from boresight.data.conversion import convert_file
from boresight.data.filters import Filters
from boresight.data.inspection import inspect_file
from boresight.data.quality_files import filter_file, split_files

ROWS, LENGTH = 3_000, 10_000  # 30 MB of text
LIMIT = 12 * 2**20  # a batch of 256 Parquet rows is 2.6 MB here


def row(number: int) -> dict[str, str]:
    return {"prompt": f"question {number}", "chosen": f"{number} " + "x" * LENGTH, "rejected": f"no {number}"}


def write_jsonl(path: Path) -> None:
    with path.open("w") as stream:
        for number in range(ROWS):
            stream.write(json.dumps(row(number)) + "\n")


def write_json(path: Path) -> None:
    with path.open("w") as stream:
        for number in range(ROWS):
            stream.write(("[" if number == 0 else ",") + json.dumps(row(number)))
        stream.write("]")


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["prompt", "chosen", "rejected"])
        writer.writeheader()
        writer.writerows(map(row, range(ROWS)))


def write_parquet(path: Path) -> None:
    table = pyarrow.Table.from_pylist([row(number) for number in range(ROWS)])
    pyarrow.parquet.write_table(table, path, row_group_size=500)


def most_held(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.jsonl", write_jsonl), ("a.json", write_json), ("a.csv", write_csv), ("a.parquet", write_parquet)],
)
def test_the_text_of_a_file_is_never_held_whole(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / name
    write(path)
    assert most_held(lambda: inspect_file(path)) < LIMIT
    assert most_held(lambda: convert_file(path, "trl_conversational", tmp_path / "out.jsonl.gz")) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize(("name", "write"), [("a.jsonl", write_jsonl), ("a.csv", write_csv)])
def test_filter_and_split_hold_no_text_either(name: str, write: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / name
    write(path)
    filters = Filters(max_length_ratio=3.0, ties="drop", duplicates="drop_near", max_per_prompt=1, balance_length=True)
    shares = {"train": 0.9, "test": 0.1}
    assert most_held(lambda: filter_file(path, tmp_path / "kept.jsonl.gz", filters)) < LIMIT
    assert most_held(lambda: split_files([path], tmp_path / "parts", shares, seed=1)) < LIMIT
