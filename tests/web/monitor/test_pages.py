"""The monitor over HTTP, from folders as stages write them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from boresight.web.link_token import Link
from boresight.web.monitor import watch as watch_module
from boresight.web.monitor.pages import build_monitor
from boresight.web.security import HEADERS
from tests.web.monitor.growing_run import GrowingRun

RESULT = {"passed": False, "checks": [{"passed": False, "reason": "ppo: win_rate is 0.5"}]}
STAGE = "/runs/helper/stages/align"


@pytest.fixture
def run(tmp_path: Path) -> GrowingRun:
    run = GrowingRun(tmp_path)
    run.grow(40)
    return run


@pytest.fixture
def client(run: GrowingRun, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(watch_module, "SECONDS_KEPT", 0.0)
    with TestClient(build_monitor(run.folder.parent), base_url="http://localhost:7007") as client:
        yield client


def test_the_list_shows_runs_with_state_and_progress(client: TestClient) -> None:
    page = client.get("/").text
    assert (
        'href="/runs/helper"' in page and "under way" in page and "40 of 200 steps" in page and "1 of 2 stages" in page
    )


def test_a_run_shows_its_stages_and_its_pipeline_file(client: TestClient) -> None:
    page = client.get("/runs/helper").text
    assert f'href="{STAGE}"' in page and "kl_coefficient: 0.05" in page and "healthy" in page


def test_a_stage_shows_signals_paragraph_findings_responses_and_settings(client: TestClient) -> None:
    page = client.get(STAGE).text
    shown = (
        "KL from the reference", "Clip fraction", "The four signals together", "the reward rises", "Verdict:",
        "Use `kubectl get pods` first. (39.0)", "score 0.39", "cut off", "kl_coefficient",
    )  # fmt: skip
    assert [text for text in shown if text not in page] == []


def test_a_finding_shows_the_responses_that_it_is_about(client: TestClient, run: GrowingRun) -> None:
    run.grow(40, "Great question, great question, great question, great question, " * 4)
    page = client.get(f"{STAGE}/part/findings").text
    assert 'class="finding error"' in page and "identical_outputs" in page and "seen first at step 79" in page
    assert "Responses that show it (3)" in page and "<blockquote>" in page


def test_parts_show_what_has_come_since(client: TestClient, run: GrowingRun) -> None:
    run.grow(5, "Now another answer.")
    assert "45 of 200 steps" in client.get(f"{STAGE}/part/state").text
    assert "Now another answer. (44.0)" in client.get(f"{STAGE}/part/responses").text
    run.finish()
    assert "done" in client.get(f"{STAGE}/part/state").text
    assert "under way" not in client.get("/part/runs").text


def test_a_stage_that_trains_nothing_shows_what_came_of_it(client: TestClient, run: GrowingRun) -> None:
    gate = run.folder / "stages" / "gate"
    gate.mkdir()
    for name, text in (
        ("manifest", "{}"),
        ("config", '{"kind": "gate"}'),
        ("result", json.dumps(RESULT)),
    ):
        (gate / f"{name}.json").write_text(text)
    page = client.get("/runs/helper/stages/gate").text
    assert (
        "did not hold" in page
        and "<b>fails</b> ppo: win_rate is 0.5" in page
        and "data-series" not in page
        and "bokeh" not in page
    )


def test_series_come_after_a_cursor(client: TestClient, run: GrowingRun) -> None:
    first = client.get(f"{STAGE}/series").json()
    assert first["fresh"] and {chart["group"] for chart in first["charts"]} == {"signals", "more", "machine"}
    run.grow(2)
    second = client.get(f"{STAGE}/series", params={"after": first["cursor"]}).json()
    assert not second["fresh"]
    reward = next(one for one in second["series"] if one["name"] == "reward/score")
    rows = [json.loads(line) for line in (run.stage / "metrics.jsonl").read_text().splitlines()]
    assert reward["values"] == [row["reward/score"] for row in rows[40:]] and reward["steps"] == [40, 41]


def test_what_a_model_wrote_is_text(client: TestClient, run: GrowingRun) -> None:
    run.grow(1, '<img src=x onerror="alert(1)"><script>alert(2)</script>')
    page = client.get(STAGE).text
    assert "<img src=x" not in page and "<script>alert" not in page and "&lt;script&gt;alert(2)" in page


def test_names_of_runs_are_text_and_addresses_too(tmp_path: Path) -> None:
    name = "a <b>&\"'?#% ü"
    GrowingRun(tmp_path, name).grow(2)
    client = TestClient(build_monitor(tmp_path), base_url="http://localhost")
    page = client.get("/").text
    assert '<b>&"' not in page
    link = page.split('href="/runs/')[1].split('"')[0]
    assert client.get(f"/runs/{link}").status_code == client.get(f"/runs/{link}/stages/align").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/runs/other",
        "/runs/helper/stages/other",
        f"{STAGE}/part/../../x",
        f"{STAGE}/part/_state",
        "/runs/%2e%2e/stages/align",
        "/runs/..%2fhelper/stages/align",
        "/charts/../__init__.py",
        "/charts/%2e%2e/index.py",
    ],
)
def test_only_what_was_found_is_shown(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_it_only_reads(client: TestClient, run: GrowingRun) -> None:
    app = client.app
    methods = {method for route in app.routes if isinstance(route, Route) for method in route.methods or ()}  # type: ignore[attr-defined]
    assert methods <= {"GET", "HEAD"}
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    for path in ("/", "/runs/helper", STAGE, f"{STAGE}/series"):
        client.get(path)
        assert client.post(path).status_code == 405
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


def test_pages_carry_the_headers_and_nothing_inline(client: TestClient) -> None:
    for path in ("/", "/runs/helper", STAGE, "/runs/other"):
        answer = client.get(path, headers={"Accept": "text/html"})
        assert all(name.lower() in answer.headers for name in HEADERS)
        assert " style=" not in answer.text and "<style" not in answer.text and " onclick=" not in answer.text
        assert all("src=" in tag for tag in answer.text.split("<script")[1:])
        assert "http://" not in answer.text and "https://" not in answer.text


def test_one_run_is_opened_at_once_and_other_hosts_are_refused(run: GrowingRun) -> None:
    client = TestClient(build_monitor(run.folder), base_url="http://127.0.0.1:7007")
    assert client.get("/", follow_redirects=False).headers["location"] == "/runs/helper"
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("host", "status"), [("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:1", 200), ("[::2]", 400)]
)
def test_loopback_is_asked_under_its_names_alone(run: GrowingRun, host: str, status: int) -> None:
    client = TestClient(build_monitor(run.folder), base_url=f"http://{host}")
    assert client.get("/runs/helper").status_code == status


def test_with_a_link_nobody_looks_without_it(run: GrowingRun) -> None:
    app = build_monitor(run.folder, hosts=("*",), link=Link("secret-token", "monitor_1"))
    client = TestClient(app, base_url="http://some.machine")
    for path in ("/", "/runs/helper", f"{STAGE}/series", "/charts/bokeh.min.js"):
        assert client.get(path).status_code == 401
    assert client.get("/?token=secret-token").status_code == 200
    assert client.get(f"{STAGE}/series").status_code == 200


def test_folders_without_runs_and_stages_without_metrics_are_told_plainly(tmp_path: Path) -> None:
    client = TestClient(build_monitor(tmp_path), base_url="http://localhost")
    assert "No run in" in client.get("/").text
    run = GrowingRun(tmp_path)
    client = TestClient(build_monitor(tmp_path), base_url="http://localhost")
    page = client.get(STAGE).text
    assert "This stage logs no metrics yet." in page and "No responses are kept yet." in page
    (run.stage / "config.json").write_text("{ half")
    (run.stage / "metrics.jsonl").write_text("nonsense\n")
    assert client.get(STAGE).status_code == 200


def test_a_silent_stage_is_said_to_be_silent(client: TestClient, run: GrowingRun) -> None:
    for path in (*run.stage.iterdir(), run.stage):
        os.utime(path, (1000, 1000))
    assert "Nothing has been written for" in client.get(f"{STAGE}/part/state").text
