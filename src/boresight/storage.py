"""Files that are whole or absent, and content hashes: what resume and lineage rest on."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boresight.errors import StorageError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

DYING = 5.0  # seconds that a killed process may still take to let go of what it held
NO_PLACE = (errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)  # a file as a folder, a name too long, links in a circle
RUST_ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (full disk, no rights) into a StorageError that names the file."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # libraries wrap the refusal in errors of their own; all others go on as they are
        number = _error_number(error)
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"{path}: the disk is full; nothing was left half-written. Free some space and run the same command "
                "again: it goes on from the last checkpoint."
            ) from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StorageError(
                f"{path}: no permission to write here. Choose another folder with --out, or change its rights."
            ) from error
        raise


def _error_number(error: BaseException) -> int | None:
    """The operating system's error number behind an exception.

    torch.save raises a RuntimeError while it handles the OSError of its stream; safetensors and tokenizers are written
    in Rust, which puts the number into the text.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.errno
        if found := RUST_ERROR_NUMBER.search(str(cause)):
            return int(found[1])
        cause = cause.__cause__ or cause.__context__
    return None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to fill, renamed into place at the end: a kill or a fault leaves the old file.

    Raises StorageError where `path` is a folder, the disk is full, or the folder may not be written to.
    """
    with storage_faults(path):
        if path.is_dir():
            raise StorageError(f"{path}: is a folder; expected the name of a file to write. Name one in it.")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a file that then takes the place of `path`, as `replacing` says."""
    with replacing(path) as temporary:
        write(temporary)


@contextmanager
def held_alone(folder: Path) -> Iterator[None]:
    """The folder for this process alone: made where it is absent, and held until the end, however that comes (the
    system lets go of it with the process). Where a file system knows no such lock, nothing is held.

    Raises StorageError where another process holds it, and is not just about to end.
    """
    with storage_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:  # where no folder can be opened either
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        given_up = time.monotonic() + DYING
        while not _locked(handle):
            if time.monotonic() > given_up:
                raise StorageError(
                    f"{folder}: another process is at work on this run; two would write over each other. Wait until it "
                    "has ended, or choose another folder with --out."
                )
            time.sleep(0.1)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # some network file systems lock no folders; a run alone there is as safe as ever
    return True


@contextmanager
def folder_at_once(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `folder` when it is filled: a kill leaves the old one or the new one.
    An empty one stays and gets what was filled: somebody may stand in it, or a disk be mounted there.

    Raises StorageError where the disk is full or the folder may not be written to.
    """
    stays = folder.is_dir() and not any(folder.iterdir())
    temporary = folder / ".tmp" if stays else folder.with_name(f".{folder.name}.tmp")
    try:
        with storage_faults(folder):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.rglob("*"):  # safetensors writes for its user alone; others are to load the model too
                file.chmod(file.stat().st_mode | 0o044)
            if stays:
                for part in sorted(temporary.iterdir()):
                    part.replace(folder / part.name)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # on a full disk what was written stands in the way of the rest


def occupied(folder: Path) -> str | None:
    """What keeps a folder from being written anew, in words; None where it is new or empty."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    return "holds files already" if folder.is_dir() else "is a file"


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all: keys sorted, two spaces, a line break at the end."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def canonical_json(value: Any) -> str:
    """One spelling for equal values: sorted keys, no spaces. What hashes of configs are taken of."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def hash_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, as hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_tree(path: Path) -> str:
    """SHA-256 over relative names and contents of a file or of all files in a folder, in sorted order."""
    if path.is_file():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return digest.hexdigest()


def as_storage_error(error: Exception) -> StorageError | None:
    """A refusal of the operating system to write, wherever it came up, or a path that can lead nowhere; None for
    anything else."""
    try:
        with storage_faults(Path(getattr(error, "filename", None) or ".")):
            raise error
    except StorageError as refusal:
        return refusal
    except OSError as other:
        if other.errno not in NO_PLACE or other.filename is None:
            return None
        return StorageError(f"{other.filename}: no such place ({other.strerror}). Correct the path, or choose another.")
    except Exception:  # not about storage: the caller shows it as it is
        return None
