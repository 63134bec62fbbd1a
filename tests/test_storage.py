import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from boresight import storage
from boresight.errors import StorageError
from boresight.storage import (
    canonical_json,
    folder_at_once,
    hash_file,
    hash_text,
    hash_tree,
    held_alone,
    read_json,
    write_atomically,
    write_json,
    write_text,
)


def test_text_is_written_whole_with_its_folders_and_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "note.txt"
    write_text(path, "first")
    write_text(path, "Grüße\n")
    assert path.read_bytes() == "Grüße\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [file.name for file in path.parent.iterdir()] == ["note.txt"]


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from boresight.storage import write_atomically

def write(temporary):
    with temporary.open("w") as stream:
        stream.write("half")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), write)
"""


def test_a_process_that_is_killed_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_full_disk_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_text("old")

    def fill(_: Path) -> None:
        with open("/dev/full", "w") as stream:  # the kernel's device that is always full
            stream.write("x")

    with pytest.raises(StorageError, match=r"weights.bin: the disk is full") as caught:
        write_atomically(path, fill)
    assert "goes on from the last checkpoint" in str(caught.value)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from boresight import storage
from boresight.errors import StorageError
from boresight.storage import write_text

if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere; nobody may not
try:
    write_text(Path(sys.argv[1]) / "note.txt", "x")
except StorageError as error:
    print(error)
"""


def test_a_folder_without_rights_is_a_storage_error_that_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        ended = subprocess.run([sys.executable, "-c", WITHOUT_RIGHTS, str(tmp_path)], capture_output=True, text=True)
    finally:
        tmp_path.chmod(0o700)
    assert f"{tmp_path}/note.txt: no permission to write here" in ended.stdout, ended.stderr
    assert "--out" in ended.stdout


def test_other_faults_of_the_system_are_not_renamed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "file" / "note.txt", "x")
    assert not isinstance(caught.value, StorageError)


def test_json_reads_back_equal_and_is_spelt_one_way(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"ö": "Grüße"}}
    write_json(tmp_path / "x.json", value)
    write_json(tmp_path / "y.json", dict(reversed(value.items())))
    assert read_json(tmp_path / "x.json") == value
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "y.json").read_bytes()
    assert "Grüße" in (tmp_path / "x.json").read_text(encoding="utf-8")


def test_canonical_json_is_one_line_in_sorted_order() -> None:
    assert canonical_json({"b": 1, "a": [1, {"d": "ö", "c": None}]}) == '{"a":[1,{"c":null,"d":"ö"}],"b":1}'
    assert json.loads(canonical_json({"x": 1e-7})) == {"x": 1e-7}


def test_hashes_are_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-4, example of SHA-256 for the message "abc".
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_text("abc") == hash_file(tmp_path / "abc") == hash_tree(tmp_path / "abc") == published


def test_a_tree_hash_is_that_of_its_sorted_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "t/sub").mkdir(parents=True)
    (tmp_path / "t/b").write_bytes(b"2")
    (tmp_path / "t/sub/a").write_bytes(b"1")
    lines = "".join(f"{name}\0{hashlib.sha256(data).hexdigest()}\n" for name, data in (("b", b"2"), ("sub/a", b"1")))
    assert hash_tree(tmp_path / "t") == hashlib.sha256(lines.encode()).hexdigest()


def test_a_tree_hash_changes_with_a_name_or_a_content_and_with_nothing_else(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/a").write_bytes(b"1")
    before = hash_tree(tree)
    os.utime(tree / "sub/a", (0, 0))
    assert hash_tree(tree.rename(tmp_path / "moved")) == before
    (tmp_path / "moved/sub/a").write_bytes(b"2")
    changed = hash_tree(tmp_path / "moved")
    (tmp_path / "moved/sub/a").write_bytes(b"1")
    (tmp_path / "moved/sub/a").rename(tmp_path / "moved/sub/b")
    renamed = hash_tree(tmp_path / "moved")
    assert len({before, changed, renamed}) == 3


def test_a_folder_that_a_process_holds_is_refused_to_others_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    holder = "import sys; from pathlib import Path; from boresight.storage import held_alone\n" + (
        f"with held_alone(Path({str(folder)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with monkeypatch.context() as patch:
            patch.setattr(storage, "DYING", 0.2)
            with (
                pytest.raises(StorageError, match=r"run: another process is at work on this run.*--out"),
                held_alone(folder),
            ):
                pass
        threading.Timer(0.5, process.kill).start()  # who is about to end is waited for
        with held_alone(folder):
            assert list(folder.iterdir()) == []


def test_what_a_library_wrote_for_its_user_alone_is_readable_as_the_rest_of_the_folder(tmp_path: Path) -> None:
    with folder_at_once(tmp_path / "model") as folder:
        (folder / "inner").mkdir()
        for name in ("weights", "inner/weights"):
            (folder / name).touch(0o600)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "model").rglob("weights")} == {0o644}


def test_an_empty_folder_is_filled_and_stays_the_one_that_somebody_stands_in(tmp_path: Path) -> None:
    tmp_path.joinpath("here").mkdir()
    before = (tmp_path / "here").stat().st_ino
    with folder_at_once(tmp_path / "here") as folder:
        write_text(folder / "data" / "a.txt", "a")
        write_text(folder / "pipeline.yaml", "b")
    assert (tmp_path / "here").stat().st_ino == before
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["data", "pipeline.yaml"]
    assert [p.name for p in tmp_path.iterdir()] == ["here"]


def test_a_folder_where_a_file_is_to_be_written_is_refused_and_left(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    with pytest.raises(StorageError, match=r"here: is a folder; expected the name of a file"):
        write_text(tmp_path / "here", "x")
    assert [p.name for p in tmp_path.rglob("*")] == ["here"]
