"""A PostgreSQL server of our own on loopback, where the machine has its programs."""

import os
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

from boresight.web.annotation.store import store_url

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
UNPRIVILEGED = "nobody"


def why_no_postgres() -> str | None:
    """What this machine lacks, or None."""
    if not PROGRAMS or not (PROGRAMS[-1] / "initdb").exists():
        return "PostgreSQL's programs are not on this machine (Debian: apt install postgresql)"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL refuses to run as root, and there is no setpriv to run it as somebody else"
    return None


@contextmanager
def postgres_server() -> Iterator[str]:
    """The address of a server, without a database's name. It refuses to run as root. What the tests kill is its
    clients, never the machine, so it need not wait for the disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="boresight-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
        program("initdb", "-D", folder / "data", "-U", "boresight", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c shared_buffers=32MB -c max_connections=120 -c fsync=off"
        program("pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", options, "-w", "start")
        try:
            yield f"postgresql://boresight@127.0.0.1:{port}"
        finally:
            program("pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def program(name: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's own programs, as somebody else where we are root."""
    as_nobody = ["setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups"]
    command = [*(as_nobody if os.geteuid() == 0 else []), str(PROGRAMS[-1] / name), *map(str, arguments)]
    done = subprocess.run(
        command, cwd="/tmp", stdin=subprocess.DEVNULL, capture_output=name == "initdb", text=True, timeout=60
    )
    assert done.returncode == 0, (name, done.stderr)


def new_database(server: str) -> str:
    """The address of an empty place on the server: a schema of its own, which costs a fraction of a database."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(store_url(f"{server}/postgres"))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {name}"))
    engine.dispose()
    return f"{server}/postgres?options=-csearch_path%3D{name}"
