"""What must be refused: tried as somebody would who means harm, with a look at what is left of it."""

import io
import re
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from boresight.web.access import Role, routes_of, unguarded
from boresight.web.annotation.events import audit_log
from boresight.web.annotation.pages.safe_text import markdown
from boresight.web.annotation.people import all_people, make_token
from boresight.web.annotation.schema import events, people, projects, tasks
from boresight.web.annotation.store import Store
from tests.web.annotation.made import task
from tests.web.annotation.pages.conftest import PAGE, Browser, Team
from tests.web.tiny_face import PASSWORD

OPEN = {"/login", "/logout", "/join/{code}", "/health", "/ready"}
NEEDS = {"/admin": Role.ADMIN, "/review": Role.REVIEWER, "/quality": Role.REVIEWER}
API_NEEDS = {
    "/api/projects/{project_id}/tasks": Role.ADMIN,
    "/api/projects/{project_id}/export": Role.ADMIN,
    "/api/projects/{project_id}/progress": Role.REVIEWER,
    "/api/tasks/{task_id}/decision": Role.REVIEWER,
}
WHO = {Role.ANNOTATOR: "ann", Role.REVIEWER: "rey", Role.ADMIN: "ada"}


def counts(store: Store) -> tuple[int, ...]:
    """Everything that an attack could have changed, besides the log of refusals."""
    kept = events.c.kind.not_in(("refused", "login_failed", "login"))
    with store.read() as connection:
        rows = [
            connection.execute(select(func.count()).select_from(one)).scalar_one() for one in (people, projects, tasks)
        ]
        return (*rows, connection.execute(select(func.count()).where(kept)).scalar_one())


def needed(path: str) -> Role:
    start = f"/{path.split('/')[1]}"
    return API_NEEDS.get(path) or NEEDS.get(start, Role.ANNOTATOR)


def test_no_route_answers_anybody_below_its_role(team: Team) -> None:
    assert unguarded(team.app) == []
    clients = {role: team.client(WHO[role]) for role in Role}
    nobody = team.client()
    nobody.csrf = "guess"
    before, tried = counts(team.store), 0
    for route in routes_of(team.app):
        if route.path in OPEN:
            continue
        path = re.sub(r"\{\w+\}", "1", str(route.path))
        for method in route.methods or ():
            assert nobody.request(method, path, headers={"X-CSRF-Token": "x"}).status_code in (401, 403, 422)
            for role in (role for role in Role if role < needed(str(route.path))):
                client = clients[role]
                body = {"csrf_token": client.csrf, **FIELDS} if str(route.path).startswith("/admin") else None
                sent = client.request(
                    method, path, headers={"X-CSRF-Token": client.csrf}, data=body, json=None if body else JSON
                )
                assert sent.status_code in (403, 422), (method, path, role)
                tried += sent.status_code == 403
    assert tried >= 20 and counts(team.store) == before
    refused = [line for line in audit_log(team.store, limit=500) if line["kind"] == "refused"]
    assert {line["body"]["what"] for line in refused} >= {"role too low"}


FIELDS = {"name": "x", "role": "admin", "active": "yes", "paused": "yes"}
JSON = {"key": "k", "answer": {"preference": 1}}


def test_a_request_of_another_site_or_without_the_token_changes_nothing(team: Team) -> None:
    ada = team.client("ada")
    before = counts(team.store)
    assert ada.post("/admin/projects", data={"name": "x"}).status_code == 403
    assert ada.post("/admin/projects", data={"name": "x", "csrf_token": "guess"}).status_code == 403
    foreign = {"Origin": "https://evil.example"}
    fields = {"name": "x", "csrf_token": ada.csrf}
    assert ada.post("/admin/projects", data=fields, headers=foreign).status_code == 403
    assert ada.post("/label/1/next", json={}, headers={"X-CSRF-Token": team.client("ben").csrf}).status_code == 403
    assert counts(team.store) == before
    assert {"wrong CSRF token", "request of another site"} <= {
        line["body"].get("what") for line in audit_log(team.store)
    }


HARM = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.mark.parametrize(
    "text",
    [
        HARM,
        "[x](javascript:alert(1))",
        "![x](https://evil.example/track.png)",
        "<a href='data:text/html,x'>x</a>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "| a |\n|---|\n| <svg onload=alert(1)> |",
        "```html\n<script>alert(1)</script>\n```",
        '[x](https://example.org "onmouseover=alert(1)")',
    ],
)
def test_markup_of_a_model_cannot_run_or_load_anything(text: str) -> None:
    made = markdown(text)
    assert made is not None
    elements = re.findall(r"<\s*(\w+)([^>]*)>", made)
    assert not {name for name, _ in elements} & {"script", "img", "svg", "iframe", "style", "form"}
    for _, attributes in elements:
        assert not re.search(r"\son\w+\s*=", re.sub(r'"[^"]*"', '""', attributes))
        assert not re.search(r'href="(javascript|data):', attributes)


def test_texts_are_escaped_wherever_they_are_shown(make_team: Callable[..., Team]) -> None:
    team = make_team(task(HARM), guidelines=HARM)
    ann, ada = team.client("ann"), team.client("ada")
    part = ann.call("/label/1/next").json()["next"]
    found = re.search(r'data-task="(\d+)"', part)
    assert found is not None
    sent = {"key": "k", "answer": {"preference": 1, "comment": HARM}}
    assert ann.call(f"/label/1/{found[1]}/answer", sent).status_code == 200
    pages = [part, ann.get("/projects/1").text, ada.get("/review/1/1").text, ada.get("/admin/projects/1").text]
    pages.append(ada.form("/admin/projects", name=HARM).text + ada.get("/admin").text + ada.get("/admin/log").text)
    for page in pages:
        assert "<script>alert" not in page and "<img src=x" not in page
    assert all("default-src 'none'" in ada.get(path).headers["content-security-policy"] for path in ("/", "/admin"))


def test_paths_of_uploads_and_static_files_lead_nowhere(team: Team) -> None:
    ada = team.client("ada")
    rows = b'{"id": "a", "prompt": "Why?", "responses": ["x", "y"]}\n'
    for name in ("../../../../tmp/evil.jsonl", "/etc/evil.jsonl", "..\\evil.jsonl", "evil.jsonl\0.png"):
        files = {"file": (name, io.BytesIO(rows))}
        answer = ada.post("/admin/projects/1/tasks", data={"csrf_token": ada.csrf}, files=files, headers=PAGE)
        assert answer.status_code in (200, 400)
    bad = ada.post(
        "/admin/projects/1/tasks", data={"csrf_token": ada.csrf}, files={"file": ("x.py", b"")}, headers=PAGE
    )
    assert bad.status_code == 400
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2f..%2fpages.py", "/join/../../etc"):
        assert team.client().get(path).status_code in (401, 404)


SQL = "1' OR '1'='1"


def test_sql_in_names_and_filters_is_text(team: Team) -> None:
    ada = team.client("ada")
    for path in ("/admin/log?person=", "/admin/log?before=", "/admin/projects/1/export?to=", "/admin/projects/"):
        assert ada.get(path + SQL).status_code in (400, 422), path
    number = len(all_people(team.store))
    assert team.client().log_in(f"ada{SQL}", PASSWORD).status_code == 403
    ada.form("/admin/projects", name="'); DROP TABLE people; --")
    assert len(all_people(team.store)) == number and "DROP TABLE" in ada.get("/admin").text
    assert Browser(team.app, headers={"Authorization": f"Bearer {SQL}"}, base_url="http://127.0.0.1").get(
        "/api/me"
    ).status_code == 401  # fmt: skip


def test_a_session_planted_before_the_login_is_worth_nothing_after_it(team: Team) -> None:
    victim = team.client()
    victim.get("/login")
    planted = victim.cookies["boresight"]
    victim.log_in("ann")
    assert victim.cookies["boresight"] != planted
    thief = team.client()
    thief.cookies.set("boresight", planted)
    assert thief.get("/account").status_code == 401
    changed = team.client()
    changed.cookies.set("boresight", victim.cookies["boresight"][:-2] + "xx")
    assert changed.get("/account").status_code == 401


def test_passwords_cannot_be_tried_without_end_and_each_try_is_logged(team: Team) -> None:
    thief = team.client()
    answers = [thief.log_in("ada", f"guess number {n}").status_code for n in range(12)]
    assert answers == [403] * 10 + [429] * 2
    assert thief.log_in("ada", PASSWORD).status_code == 429, "nor is the right one taken then"
    failed = [line for line in audit_log(team.store) if line["kind"] == "login_failed"]
    assert len(failed) == 13 and failed[0]["private"]["address"]


def test_bodies_that_are_too_large_are_refused_and_logged(team: Team) -> None:
    ada, before = team.client("ada"), counts(team.store)
    large = {"key": "k", "answer": {"comment": "x" * (1 << 20)}}
    assert ada.call("/api/tasks/1/answer", large).status_code == 413
    assert ada.form("/admin/projects", name="x" * (1 << 20)).status_code == 413
    declared = {"Content-Length": str(65 << 20), "Content-Type": "multipart/form-data; boundary=x"}
    assert ada.post("/admin/projects/1/tasks", content=b"--x", headers=declared).status_code == 413
    assert counts(team.store) == before
    assert sum(line["body"].get("what") == "oversized request" for line in audit_log(team.store)) == 3


def test_files_of_tasks_may_be_larger_than_other_requests(team: Team) -> None:
    ada = team.client("ada")
    rows = b'{"id": "a", "prompt": "Why?", "responses": ["x", "' + b"y" * (3 << 19) + b'"]}\n'
    files = {"file": ("tasks.jsonl", io.BytesIO(rows))}
    sent = ada.post("/admin/projects/1/tasks", data={"csrf_token": ada.csrf}, files=files, headers=PAGE)
    assert sent.status_code == 200 and "1 of 1 tasks" in sent.text


def test_an_api_token_needs_no_csrf_token_and_is_worth_its_owners_role(team: Team) -> None:
    token = make_token(team.store, team.person("ann"), "api")
    program = Browser(team.app, headers={"Authorization": f"Bearer {token}"}, base_url="http://127.0.0.1")
    assert program.get("/api/me").json() == {"person": team.person("ann"), "name": "ann", "role": "annotator"}
    assert program.post("/api/projects/1/next").status_code == 200
    assert program.get("/api/projects/1/export").status_code == 403
    wrong = Browser(team.app, headers={"Authorization": f"Bearer {token[:-1]}x"}, base_url="http://127.0.0.1")
    assert wrong.get("/api/me").status_code == 401


def test_names_of_other_hosts_are_refused(team: Team) -> None:
    assert Browser(team.app, base_url="http://evil.example").get("/login").status_code == 400
