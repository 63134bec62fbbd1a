"""The annotation app as its manifests have it: what is started, with which environment, against a real PostgreSQL."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from boresight.launch.kubernetes import annotation, database
from boresight.launch.kubernetes.cluster import Annotation
from boresight.web.annotation.store import open_store
from tests.web.postgres import PROGRAMS, UNPRIVILEGED, program, why_no_postgres

from .rendered import LABELS, write

SECRETS = {"password": "people's", "admin-password": "ours alone"}
DEADLINE = 60
SCRATCH = "/tmp/"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def read(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text(encoding="utf-8"))


def container(manifest: Any) -> Any:
    spec = manifest["spec"].get("jobTemplate", manifest)["spec"]
    return spec["template"]["spec"]["containers"][0]


def environment(of: Any) -> dict[str, str]:
    """As the kubelet would make it, with the Secrets filled in."""
    found = {}
    for one in of["env"]:
        reference = one.get("valueFrom", {}).get("secretKeyRef")
        found[one["name"]] = SECRETS[reference["key"]] if reference else one["value"]
    return found


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("out"), None, **LABELS)


@pytest.fixture
def server(manifests: Path) -> Iterator[int]:
    """The port of a server that was set up as the image does it: initdb, then once the script of the ConfigMap."""
    if (lacking := why_no_postgres()) is not None:
        pytest.skip(lacking)
    made = container(read(manifests, "database-statefulset.yaml"))
    told = environment(made)
    folder, port = Path(tempfile.mkdtemp(prefix="boresight-kube-")), free_port()
    try:
        (folder / "password").write_text(told["POSTGRES_PASSWORD"])
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED)
            shutil.chown(folder / "password", UNPRIVILEGED)
        arguments = told["POSTGRES_INITDB_ARGS"].split()
        data = folder / "pgdata"
        program("initdb", "-D", data, "-U", "postgres", f"--pwfile={folder}/password", "--no-sync", *arguments)
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off {' '.join(made['args'])}"
        program("pg_ctl", "-D", data, "-l", folder / "log", "-o", options, "-w", "start")
        try:
            local = {**told, "PGHOST": str(folder), "PGPORT": str(port), "PATH": f"{PROGRAMS[-1]}:/usr/bin:/bin"}
            subprocess.run(["bash", "-e", str(manifests / database.ROLES_FILE)], env=local, check=True)
            yield port
        finally:
            program("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def app(manifests: Path, server: int, tmp_path: Path) -> Iterator[tuple[httpx.Client, str]]:
    """A client with the headers of a probe, and the link that the app printed."""
    made = container(read(manifests, "annotation-deployment.yaml"))
    told = environment(made)
    assert made["command"][0] == "boresight"
    port = free_port()
    words = [sys.executable, "-m", *made["command"]]
    words = [
        word.replace(database.NAME, f"127.0.0.1:{server}").replace(str(annotation.PORT), str(port)) for word in words
    ]
    key = tmp_path / "state" / "boresight" / "label.key"
    key.parent.mkdir(parents=True)
    key.write_text("k" * 64)
    key.chmod(0o440)
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    around = {**told, **kept, annotation.STATE_VARIABLE: str(tmp_path / "state"), "HOME": str(tmp_path)}
    process = subprocess.Popen(words, env=around, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        link = process.stdout.readline().strip()
        (header,) = made["readinessProbe"]["httpGet"]["httpHeaders"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={header["name"]: header["value"]}) as client:
            yield client, link
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) in (0, -signal.SIGTERM)
        assert key.read_text() == "k" * 64
    finally:
        process.kill()
        process.communicate()


def client_script(manifests: Path, file: str, server: int, folder: Path, **more: str) -> str:
    """Run what a CronJob runs, on a folder in place of its volume."""
    made = container(read(manifests, file))
    shell, option, script = made["command"]
    around = {**environment(made), "PGHOST": "127.0.0.1", "PGPORT": str(server), **more}
    around["PATH"] = f"{PROGRAMS[-1]}:/usr/bin:/bin"
    script = script.replace("/backups", f"{SCRATCH}backups").replace(SCRATCH, f"{folder.parent}/")
    command = [shell, option, script]
    return subprocess.run(command, env=around, capture_output=True, text=True, check=True, timeout=DEADLINE).stdout


@pytest.mark.slow
def test_the_app_starts_is_probed_backed_up_and_brought_back(
    manifests: Path, server: int, app: tuple[httpx.Client, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, link = app
    host = LABELS["annotation"].host
    made = container(read(manifests, "annotation-deployment.yaml"))
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert client.get(made[probe]["httpGet"]["path"]).status_code == 200
    assert client.get("/health", headers={"Host": "10.1.2.3"}).status_code == 400

    # The link in the log makes the admin, under the name that the Ingress serves
    assert link.startswith(f"https://{host}/join/")
    browser = httpx.Client(base_url=client.base_url, headers={"Host": host, "Origin": f"https://{host}"})
    page = browser.get(link.removeprefix(f"https://{host}"))
    token, cookie = (
        csrf(page.text),
        page.headers["set-cookie"].partition(";")[0],
    )  # secure: not sent over http by itself
    joined = browser.post(
        link.removeprefix(f"https://{host}"),
        data={"name": "ada", "password": "correct horse battery", "csrf_token": token},
        headers={"Cookie": cookie},
    )
    assert joined.status_code == 303, joined.text
    cookie = joined.headers["set-cookie"].partition(";")[0]
    assert cookie.startswith("__Host-")
    assert browser.get("/admin", headers={"Cookie": cookie}).status_code == 200
    browser.close()

    (tmp_path / "backups").mkdir()
    client_script(manifests, "database-backup.yaml", server, tmp_path / "backups")
    (dump,) = (tmp_path / "backups").iterdir()
    assert re.fullmatch(r"labels-[1-7]\.dump", dump.name)
    elsewhere = {"PGHOST": "127.0.0.1", "PGPORT": str(server), "PGUSER": database.ROLE, "PGDATABASE": database.DATABASE}
    for name, value in {**elsewhere, "PGPASSWORD": SECRETS["password"]}.items():  # as of --database-secret
        monkeypatch.setenv(name, value)
    store = open_store("postgresql://")
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE people SET name = 'gone'")
        connection.exec_driver_sql("CREATE TABLE of_a_later_version ()")
    restored = client_script(manifests, "database-restore.yaml", server, tmp_path / "backups", BACKUP=dump.name)
    assert restored == f"restored: {dump.name}\n"
    with store.read() as connection:
        assert connection.exec_driver_sql("SELECT to_regclass('of_a_later_version')").scalar() is None
        assert connection.exec_driver_sql("SELECT name FROM people").scalars().all() == ["ada"]
        assert connection.exec_driver_sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'boresight'").scalar() is False
    assert store.engine.pool.size() + store.engine.pool._max_overflow == database.APP_CONNECTIONS
    store.close()
    assert client.get("/ready").status_code == 200


def csrf(page: str) -> str:
    found = re.search(r'name="csrf(?:_token)?" (?:value|content)="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_the_database_has_room_for_every_replica_and_the_one_that_takes_its_place(manifests: Path) -> None:
    made = container(read(manifests, "database-statefulset.yaml"))
    (most,) = (int(word.partition("=")[2]) for word in made["args"] if word.startswith("max_connections="))
    assert most >= database.APP_CONNECTIONS * (LABELS["annotation"].replicas + 1) + 3  # 3: of administrators


def test_without_a_host_only_a_forwarded_port_reaches_the_app(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", None, annotation=Annotation())
    assert not (folder / "annotation-ingress.yaml").exists()
    assert read(folder, "annotation-network.yaml")["spec"]["ingress"] == []
    command = container(read(folder, "annotation-deployment.yaml"))["command"]
    assert command[command.index("--site") + 1] == f"http://localhost:{annotation.PORT}"


def test_a_database_elsewhere_is_known_from_its_secret_alone(tmp_path: Path) -> None:
    folder = write(tmp_path / "out", None, annotation=Annotation(database_secret="ours"))
    assert not list(folder.glob("database-*")) and not (folder / database.ROLES_FILE).exists()
    app = container(read(folder, "annotation-deployment.yaml"))
    assert app["envFrom"] == [{"secretRef": {"name": "ours"}}]
    assert app["command"][app["command"].index("--store") + 1] == "postgresql://"
    assert not any(one["name"] == "PGPASSWORD" for one in app["env"])
