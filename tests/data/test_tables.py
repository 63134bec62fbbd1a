from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from boresight.data.tables import container_of, iterate_rows
from boresight.errors import DataError


@pytest.mark.parametrize(
    ("name", "container"),
    [("a.jsonl", "json"), ("a.json.gz", "json"), ("a.v2.CSV", "csv"), ("a.tsv.gz", "tsv"), ("a.txt", "text")],
)
def test_container_is_told_by_the_name_without_gz(name: str, container: str) -> None:
    assert container_of(Path(name)) == container


def test_csv_rows_carry_the_line_they_begin_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,"x\ny"\n\n2,z\n')
    rows = list(iterate_rows(tmp_path / "a.csv"))
    assert rows == [(2, {"a": "1", "b": "x\ny"}), (5, {"a": "2", "b": "z"})]


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": [{"role": "user", "content": "y"}]}, {"a": None, "b": []}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert list(iterate_rows(tmp_path / "a.parquet")) == [(1, rows[0]), (2, rows[1])]


def test_damaged_parquet_and_text_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        list(iterate_rows(tmp_path / "a.parquet"))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match=r"a\.txt: a text file holds documents"):
        list(iterate_rows(tmp_path / "a.txt"))
