import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from boresight.data.pair_stream import stream_pairs
from boresight.web.annotation.events import audit_log
from boresight.web.annotation.pages.app import build_annotation
from boresight.web.annotation.people import make_invite, person_named
from boresight.web.annotation.queue import claim, submit
from boresight.web.annotation.store import Store
from tests.web.annotation.pages.conftest import PAGE, Browser, Team, token_in
from tests.web.tiny_face import PASSWORD, PASSWORDS


def vote(store: Store, person: int, step: int) -> None:
    """Answers all there is, for one response as they are listed."""
    while held := claim(store, 1, person):
        first = held.responses[0].split()[-1].startswith("0")
        answer = {"preference": step if first else -step} if len(held.responses) == 2 else {"verdict": "tie"}
        submit(store, held.task_id, person, answer, key=f"k{held.task_id}")


def test_an_invite_link_makes_one_account_and_logs_it_in(team: Team) -> None:
    ada = team.client("ada")
    page = ada.form("/admin/people/invite", role="reviewer", skills="law", days="2").text
    found = re.search(r"http://127.0.0.1(/join/[\w-]+)", page)
    assert found is not None
    new = team.client()
    new.csrf = token_in(new.get(found[1]).text)
    assert "at least 10" in new.form(found[1], name="zoe", password="short").text
    assert "somebody has this name" in new.form(found[1], name="ada", password=PASSWORD).text
    assert new.form(found[1], name="zoe", password=PASSWORD).status_code == 303
    assert new.get("/review").status_code == 200 and new.get("/admin", headers=PAGE).status_code == 403
    assert team.client().get(found[1]).status_code == 404, "used"
    person = person_named(team.store, "zoe")
    assert person is not None and (person.role, person.skills) == ("reviewer", ("law",))


def test_behind_a_proxy_invites_lead_to_the_site_and_cookies_keep_to_https(team: Team) -> None:
    app = build_annotation(team.store, b"k" * 32, site="https://labels.example.org/", passwords=PASSWORDS)
    ada = Browser(app, base_url="https://127.0.0.1", follow_redirects=False)
    answer = ada.log_in("ada")
    assert "Secure" in answer.headers["set-cookie"] and "__Host-" in answer.headers["set-cookie"]
    assert "https://labels.example.org/join/" in ada.form("/admin/people/invite", role="annotator").text


def test_a_password_is_changed_by_its_owner_and_ends_the_other_sessions(team: Team) -> None:
    here, there = team.client("ann"), team.client("ann")
    wrong = here.form("/account/password", current="wrong password", new="another password")
    assert wrong.status_code == 403 and there.get("/account").status_code == 200
    assert here.form("/account/password", current=PASSWORD, new="short").status_code == 400
    assert here.form("/account/password", current=PASSWORD, new="another password").status_code == 200
    assert here.get("/account").status_code == 200 and there.get("/account").status_code == 401
    assert team.client().log_in("ann", PASSWORD).status_code == 403
    assert team.client().log_in("ann", "another password").status_code == 303


def test_an_admin_draws_a_password_locks_out_and_erases(team: Team) -> None:
    ada, ann, number = team.client("ada"), team.client("ann"), team.person("ann")
    page = ada.form(f"/admin/people/{number}/password").text
    found = re.search(r'<code id="secret">([\w-]+)</code>', page)
    assert found is not None and ann.get("/").status_code == 401
    assert team.client().log_in("ann", found[1]).status_code == 303
    ada.form(f"/admin/people/{number}/change", role="annotator", skills="a, b", active="no")
    assert team.client().log_in("ann", found[1]).status_code == 403
    assert ada.form(f"/admin/people/{number}/erase", name="nan").status_code == 400
    assert ada.form(f"/admin/people/{number}/erase", name="ann").status_code == 303
    assert person_named(team.store, "ann") is None
    alone = ada.form(f"/admin/people/{team.person('ada')}/change", role="annotator", skills="", active="yes")
    assert alone.status_code == 403 and "last active admin" in alone.text


def test_whoever_takes_an_erased_name_is_not_let_in_by_the_old_cookie(team: Team) -> None:
    ada, old = team.client("ada"), team.client("ann")
    ada.form(f"/admin/people/{team.person('ann')}/erase", name="ann")
    code = make_invite(team.store, valid_seconds=60)
    new = team.client()
    new.csrf = token_in(new.get(f"/join/{code}").text)
    assert new.form(f"/join/{code}", name="ann", password=PASSWORD).status_code == 303
    assert new.get("/").status_code == 200 and old.get("/").status_code == 401


def test_a_project_is_made_filled_changed_and_paused(team: Team) -> None:
    ada = team.client("ada")
    where = ada.form("/admin/projects", name="new", overlap="30%", seed="7").headers["location"]
    rows = b'{"id": "a", "prompt": "Why?", "responses": ["x", "y"]}\n'
    for told in ("1 of 1 tasks", "0 of 1 tasks"):
        assert told in upload(ada, where, "tasks.jsonl", rows).text
    other = upload(ada, where, "tasks.jsonl", rows.replace(b"Why", b"How")).text
    assert "0 of 1 tasks" in other and "1 of the ids is there with another prompt" in other
    bad = upload(ada, where, "tasks.jsonl", rows + b'{"id": "b", "prompt": "Why?", "responses": ["x"]}\n')
    assert bad.status_code == 400 and "/tmp" not in bad.text
    fields = {"guidelines": "Be *kind*", "overlap": "3", "mode": "triage", "deadline": "2030-05-01T12:00"}
    assert ada.form(f"{where}/settings", **fields, lease_minutes="2.5").status_code == 303
    page = ada.get(where).text
    assert "Be *kind*" in page and 'value="2030-05-01T12:00"' in page and 'value="2.5"' in page
    assert ada.form(f"{where}/settings", overlap="many").status_code == 400
    ada.form(f"{where}/pause", paused="yes")
    assert "Resume" in ada.get(where).text
    kinds = {line["kind"] for line in audit_log(team.store, project_id=2)}
    assert {"project_made", "tasks_added", "project_changed", "project_paused"} <= kinds
    assert "project paused" in ada.get("/admin/log").text


def test_rows_that_a_program_sends_without_ids_are_added_once_in_whatever_batches(team: Team) -> None:
    ada = team.client("ada")
    rows: list[dict[str, object]] = [
        {"prompt": "Why?", "responses": ["x", "y"]},
        {"prompt": "How?", "responses": ["x", "y"], "id": ""},
        {"prompt": "When?", "chosen": "x", "rejected": "y"},
    ]
    for batch, added in (rows[:1], 1), (rows[1:2], 1), (rows[:2], 0), (rows[2:], 1), (rows[2:], 0):
        told = ada.call("/api/projects/1/tasks", batch)
        assert told.json() == {"read": len(batch), "added": added, "other_content": 0}
    for row, expected in ((rows[0], (1, 0)), ({**rows[0], "responses": ["y", "x"]}, (0, 0)), (rows[1], (0, 1))):
        told = ada.call("/api/projects/1/tasks", [{**row, "id": "mine"}]).json()
        assert (told["added"], told["other_content"]) == expected


def test_criteria_and_flags_are_changed_and_asked(team: Team) -> None:
    ada, ann = team.client("ada"), team.client("ann")
    where = "/admin/projects/1"
    asked = {
        "criteria": "kind: Which is <b>kinder</b>?\r\n\r\ntrue: Which: A or B, is true?",
        "flags": "rude\nlong\nrude\n",
    }
    assert ada.form(f"{where}/settings", **asked, overlap="2").status_code == 303
    page = ada.get(where).text
    assert "kind: Which is &lt;b&gt;kinder&lt;/b&gt;?\ntrue: Which: A or B, is true?" in page and "rude\nlong<" in page
    task = ann.call("/label/1/next").json()["next"]
    assert "Which is &lt;b&gt;kinder&lt;/b&gt;?" in task and 'value="rude"' in task and "hallucination" not in task
    answer = {"preference": 2, "criteria": {"true": -1}, "flags": {"0": ["long"]}}
    task_id = ann.call("/api/projects/1/next").json()["task"]["task_id"]
    assert ann.call(f"/api/tasks/{task_id}/answer", {"key": "a", "answer": answer}).status_code == 200
    for bad in (
        "no question",
        "a: b?\na: c?",
        ": what?",
        "\n".join(f"c{n}: q?" for n in range(51)),
        f"{'n' * 201}: q?",
    ):
        assert ada.form(f"{where}/settings", criteria=bad, overlap="2").status_code == 400, bad
    assert ada.form(f"{where}/settings", flags="f" * 201, overlap="2").status_code == 400
    assert "kind: Which" in ada.get(where).text, "what was refused changed nothing"
    assert ann.form(f"{where}/settings", flags="x", overlap="2").status_code == 403


def upload(client: Browser, where: str, name: str, content: bytes):  # type: ignore[no-untyped-def]
    files = {"file": (name, io.BytesIO(content))}
    return client.post(f"{where}/tasks", data={"csrf_token": client.csrf}, files=files, headers=PAGE)


def test_exports_are_downloaded_and_leave_nothing_behind(team: Team, tmp_path: Path) -> None:
    ada = team.client("ada")
    empty = ada.get("/admin/projects/1/export")
    assert empty.status_code == 400 and "/tmp" not in empty.text
    vote(team.store, team.person("ann"), -1)
    for container in ("jsonl", "parquet"):
        read = ada.get(f"/admin/projects/1/export?container={container}")
        assert read.status_code == 200 and f"pairs.{container}" in read.headers["content-disposition"]
        file = tmp_path / f"pairs.{container}"
        file.write_bytes(read.content)
        assert len([item for _, item in stream_pairs(file)]) == 9, "three pairs, and six of a ranking"
    votes = ada.get("/admin/projects/1/export?what=votes&names=true").text.splitlines()
    assert {json.loads(line)["annotator"] for line in votes} == {"ann"}
    assert ada.get("/admin/projects/1/export?to=nonsense").status_code == 400
    copied = ada.form("/admin/backup")
    assert copied.content.startswith(b"SQLite format 3")


def test_a_reviewer_decides_what_people_disagree_about(team: Team) -> None:
    vote(team.store, team.person("ann"), -1)
    vote(team.store, team.person("ben"), 2)
    rey = team.client("rey")
    assert "3 tasks wait" in rey.get("/review/1").text
    for _ in range(3):
        where = rey.get("/review/1/next").headers["location"]
        page = rey.get(where).text
        assert "person-" in page and "A is slightly better" in page and "B is clearly better" in page
        assert "<strong>ann" not in page and "<strong>ben" not in page, "names could sway a reviewer"
        read = rey.call(where, {"key": where, "answer": {"preference": -3}})
        assert read.json() == {"next": "/review/1/next"}
    assert rey.get("/review/1/next").headers["location"] == "/review/1"
    assert "No task waits" in rey.get("/review/1").text


def test_quality_is_computed_beside_the_requests_and_its_age_is_told(make_team: Callable[..., Team]) -> None:
    team = make_team()
    vote(team.store, team.person("ann"), -1)
    vote(team.store, team.person("ben"), -1)
    rey = team.client("rey")
    rey.get("/quality/1/figures")
    team.app.state.figures.wait(1, 30)
    part = rey.get("/quality/1/figures").text
    assert "As of" in part and "9 pairs rated, 9 of them by two or more" in part and "ben" in part
    assert "<strong>1.00</strong>" in part
