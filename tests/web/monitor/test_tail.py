"""Reading on: every whole line once, whatever happens to the file in between."""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.web.monitor import tail as module
from boresight.web.monitor.tail import Tail


def write(path: Path, text: str, mode: str = "a") -> None:
    with path.open(mode, encoding="utf-8") as stream:
        stream.write(text)


def read(tail: Tail, path: Path) -> tuple[bool, list[str]]:
    restarted = tail.restarted(path)
    return restarted, [line.decode() for line in tail.lines(path)]


def test_only_what_was_appended_is_read(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    assert read(tail, path) == (False, [])
    write(path, "a\nb\n")
    assert read(tail, path) == (False, ["a", "b"])
    assert read(tail, path) == (False, [])
    write(path, "c\n")
    assert read(tail, path) == (False, ["c"])


def test_a_line_without_its_end_waits(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    write(path, "a\nhal")
    assert read(tail, path) == (False, ["a"])
    write(path, "f\n")
    assert read(tail, path) == (False, ["half"])


def test_a_renamed_file_is_read_on(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    write(path, "a\n")
    read(tail, path)
    moved = path.rename(tmp_path / "moved")
    write(moved, "b\n")
    assert read(tail, moved) == (False, ["b"])


def test_a_file_that_was_cut_back_is_read_again(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    write(path, "a\nb\nc\n")
    read(tail, path)
    os.truncate(path, 2)
    assert read(tail, path) == (True, ["a"])


def test_a_file_that_was_cut_back_and_has_grown_past_the_place_is_read_again(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    write(path, "a\nb\nc\n")
    read(tail, path)
    os.truncate(path, 2)
    write(path, "x\ny\nz\n")
    assert read(tail, path) == (True, ["a", "x", "y", "z"])


def test_a_file_that_was_replaced_or_is_gone_begins_anew(tmp_path: Path) -> None:
    path, tail = tmp_path / "log", Tail()
    write(path, "a\n")
    read(tail, path)
    write(tmp_path / "other", "a\nb\n")
    (tmp_path / "other").replace(path)
    assert read(tail, path) == (True, ["a", "b"])
    path.unlink()
    assert read(tail, path) == (True, [])
    assert read(tail, path) == (False, [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="aäb\n", max_size=12), max_size=12), st.integers(1, 9))
def test_pieces_of_any_size_give_the_lines_of_the_whole(
    tmp_path_factory: object, pieces: list[str], block: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"  # type: ignore[attr-defined]
    size, module.BLOCK_BYTES = module.BLOCK_BYTES, block
    try:
        tail, found = Tail(), []
        for piece in pieces:
            write(path, piece)
            restarted, lines = read(tail, path)
            assert not restarted
            found += lines
    finally:
        module.BLOCK_BYTES = size
    assert found == "".join(pieces).split("\n")[:-1]
