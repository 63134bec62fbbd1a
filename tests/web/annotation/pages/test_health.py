"""What probes ask of the app."""

from pathlib import Path

from starlette.testclient import TestClient

from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.store import open_store


def test_the_app_lives_without_its_database_and_is_not_ready(tmp_path: Path) -> None:
    store = open_store(tmp_path / "labels.db")
    asked = TestClient(build_annotation(store, b"k" * 32, site="https://labels.example.org"))
    local = {"Host": "localhost"}
    assert asked.get("/health", headers=local).status_code == asked.get("/ready", headers=local).status_code == 200
    store.close()
    (tmp_path / "labels.db").rename(tmp_path / "gone.db")
    (tmp_path / "labels.db").mkdir()
    gone = asked.get("/ready", headers=local)
    assert (gone.status_code, gone.json()) == (503, {"status": "no database"})
    assert asked.get("/health", headers=local).status_code == 200
    assert asked.get("/health", headers={"Host": "10.0.0.7"}).status_code == 400
