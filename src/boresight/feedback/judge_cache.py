"""What a judge said, kept in SQLite by the hash of what it was asked: nothing is asked or paid for twice."""

import sqlite3
import weakref
from collections.abc import Iterable
from pathlib import Path

from boresight.errors import JudgeError
from boresight.feedback.chat_endpoint import Reply

_TABLE = """create table if not exists replies (
    key text primary key, reply text not null, finish_reason text not null,
    prompt_tokens integer not null, completion_tokens integer not null, counted integer not null,
    expected real, mass real
) without rowid"""
_REQUESTED = "create table if not exists requested (key text primary key) without rowid"
"""Questions that stand in a batch file and were not read back."""
_USED = "create table if not exists used (purpose text, key text, primary key (purpose, key)) without rowid"
"""Replies that a purpose took, so that what it cost is known after a kill too."""
_SINCE = ("expected", "mass")
"""Columns that files of the first form lack."""


class JudgeCache:
    """A file that outlives a kill: each reply is on the disk before the next request is sent in its place.

    Keys are hashes, so that a file holds what judges said, and neither prompts nor responses nor any secret. Who is
    done with it may `close` it; else it is closed, in whatever thread, when nothing refers to it any more.
    """

    def __init__(self, path: Path) -> None:
        """Raises JudgeError for a file that cannot be written or is none of this form."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
            weakref.finalize(self, self._connection.close)
            self._connection.execute("pragma journal_mode=wal")
            self._connection.execute("pragma synchronous=normal")
            self._connection.execute(_TABLE)
            self._connection.execute(_REQUESTED)
            self._connection.execute(_USED)
            known = {row[1] for row in self._connection.execute("pragma table_info(replies)")}
            for column in [name for name in _SINCE if name not in known]:
                self._connection.execute(f"alter table replies add column {column} real")
        except (sqlite3.Error, OSError) as error:
            raise JudgeError(
                f"{path}: the file of replies cannot be used ({error}). Give another one, or remove it (what it holds "
                "would be asked and paid for again)."
            ) from error

    def get(self, key: str) -> Reply | None:
        """The reply kept under a key; None where there is none."""
        row = self._connection.execute(
            "select reply, finish_reason, prompt_tokens, completion_tokens, counted, expected, mass from replies "
            "where key = ?",
            (key,),
        ).fetchone()
        if row is None:
            return None
        text, finish_reason, prompt_tokens, completion_tokens, counted, expected, mass = row
        return Reply(text, finish_reason, prompt_tokens, completion_tokens, bool(counted), expected, mass)

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply, in the place of any other under the key."""
        self._connection.execute("insert or replace into replies values (?, ?, ?, ?, ?, ?, ?, ?)", (key, *reply))

    def requested(self) -> set[str]:
        """Keys of questions that are on their way in a batch."""
        return {row[0] for row in self._connection.execute("select key from requested")}

    def mark_requested(self, keys: Iterable[str]) -> None:
        """Note that these questions are on their way in a batch."""
        self._connection.executemany("insert or ignore into requested values (?)", [(key,) for key in keys])

    def clear_requested(self, keys: Iterable[str]) -> None:
        """Note that these questions are no longer on their way."""
        self._connection.executemany("delete from requested where key = ?", [(key,) for key in keys])

    def note_use(self, purpose: str, key: str) -> None:
        """Note that a purpose took the reply of that key, for `used`."""
        self._connection.execute("insert or ignore into used values (?, ?)", (purpose, key))

    def used(self, purpose: str) -> dict[str, Reply]:
        """The replies that a purpose took, by key."""
        keys = self._connection.execute("select key from used where purpose = ?", (purpose,)).fetchall()
        found = {key: self.get(key) for (key,) in keys}
        return {key: reply for key, reply in found.items() if reply is not None}

    def close(self) -> None:
        self._connection.close()
