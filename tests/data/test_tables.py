from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from boresight.data.tables import container_of, read_table
from boresight.errors import DataError


@pytest.mark.parametrize(
    ("name", "container"),
    [("a.jsonl", "json"), ("a.json.gz", "json"), ("a.v2.CSV", "csv"), ("a.tsv.gz", "tsv"), ("a.txt", "text")],
)
def test_container_is_told_by_the_name_without_gz(name: str, container: str) -> None:
    assert container_of(Path(name)) == container


def test_csv_rows_carry_the_line_they_begin_on(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,"x\ny"\n\n2,z\n')
    table = read_table(tmp_path / "a.csv")
    assert table.rows == [(2, {"a": "1", "b": "x\ny"}), (5, {"a": "2", "b": "z"})]
    assert table.columns == ("a", "b")


def test_columns_are_those_of_all_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"b": 2, "a": 3}\n')
    assert read_table(tmp_path / "a.jsonl").columns == ("a", "b")


def test_parquet_rows_are_numbered_from_one(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": [{"role": "user", "content": "y"}]}, {"a": None, "b": []}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").rows == [(1, rows[0]), (2, rows[1])]


def test_damaged_parquet_and_text_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match=r"a\.parquet: cannot be read as Parquet"):
        read_table(tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(DataError, match=r"a\.txt: a text file holds documents"):
        read_table(tmp_path / "a.txt")
