import html
import json
import re
from collections.abc import Callable
from typing import Any

from boresight.web.annotation.projects import pause
from boresight.web.annotation.queue import claim
from tests.web.annotation.made import task
from tests.web.annotation.pages.conftest import Browser, Team


def shown(read: Any) -> str:
    assert read.status_code == 200, read.text
    return str(read.json()["next"])


def task_in(part: str) -> int:
    found = re.search(r'data-task="(\d+)"', part)
    assert found is not None
    return int(found[1])


def draft_in(part: str) -> Any:
    found = re.search(r'data-draft="([^"]*)"', part)
    assert found is not None
    return json.loads(html.unescape(found[1]) or "null")


def send(client: Browser, task_id: int, answer: Any, key: str = "k") -> Any:
    return client.call(f"/label/1/{task_id}/answer", {"key": f"{key}{task_id}", "answer": answer})


def test_an_answer_brings_the_next_task_along_until_there_is_none(team: Team) -> None:
    ann = team.client("ann")
    part = shown(ann.call("/label/1/next"))
    seen = []
    while 'data-task="' in part:
        seen.append(task_in(part))
        answer: Any = {"ranks": [1, 2, 2, 3]} if 'data-kind="ranking"' in part else {"preference": -2, "seconds": 0.0}
        part = shown(send(ann, seen[-1], answer))
    assert len(set(seen)) == 4 and "You have answered 4." in part


def test_a_draft_comes_back_with_the_task_and_undo_brings_the_answer(team: Team) -> None:
    ann = team.client("ann")
    first = task_in(shown(ann.call("/label/1/next")))
    draft = {"preference": 1, "comment": 'a "quote" <b>'}
    assert ann.call(f"/api/tasks/{first}/draft", {"answer": draft}).status_code == 200
    again = shown(ann.call("/label/1/next"))
    assert task_in(again) == first and draft_in(again) == draft
    second = task_in(shown(send(ann, first, {"preference": 3})))
    back = shown(ann.call("/label/1/undo"))
    assert task_in(back) == first != second and draft_in(back) == {"preference": 3}
    assert ann.call("/label/1/undo").json()["reason"] == "nothing_to_undo"


def test_an_answer_sent_twice_counts_once_and_with_another_content_is_refused(team: Team) -> None:
    ann = team.client("ann")
    first = task_in(shown(ann.call("/label/1/next")))
    assert send(ann, first, {"preference": 1}).status_code == send(ann, first, {"preference": 1}).status_code == 200
    twice = send(ann, first, {"preference": 2})
    assert twice.status_code == 409 and twice.json()["reason"] == "key_used"


def test_suggestions_are_hidden_until_the_vote_and_shown_to_approve_in_triage(make_team: Callable[..., Team]) -> None:
    team = make_team(task("t", suggestion=1), seed=3)
    ann = team.client("ann")
    part = shown(ann.call("/label/1/next"))
    held = claim(team.store, 1, team.person("ann"))
    assert held is not None and draft_in(part) is None and "suggests" not in part
    best = "A" if held.responses[0] == "t answer 0" else "B"
    assert send(ann, held.task_id, {"preference": 0}).json()["suggestion"] == f"{best} is better"


def test_in_triage_the_suggestion_is_the_draft(make_team: Callable[..., Team]) -> None:
    team = make_team(task("t", suggestion=1), task("r", 3, suggestion=[2, 1, 2]), mode="triage")
    ann = team.client("ann")
    part = shown(ann.call("/label/1/next"))
    assert "An AI suggests" in part and draft_in(part)["preference"] in (-2, 2)
    part = shown(send(ann, task_in(part), draft_in(part)))
    assert sorted(draft_in(part)["ranks"]) == [1, 2, 2]
    send(ann, task_in(part), draft_in(part))


def test_training_tells_how_it_went_before_real_work(make_team: Callable[..., Team]) -> None:
    lesson = task("t", gold=1, purpose="training", explanation="Because of **Rayleigh**.")
    team = make_team(lesson, task("w"), training_share=1.0)
    ann = team.client("ann")
    part = shown(ann.call("/label/1/next"))
    assert "Training." in part
    read = send(ann, task_in(part), {"verdict": "both_bad"}).json()
    assert "Here the answer is another" in read["feedback"] and "<strong>Rayleigh</strong>" in read["feedback"]
    assert 'data-reason="not_qualified"' in read["next"]


def test_a_gold_question_looks_like_any_other(make_team: Callable[..., Team]) -> None:
    team = make_team(task("a"), task("b"), task("g", gold=1, purpose="gold"), gold_every=1)
    ann = team.client("ann")
    part, parts = shown(ann.call("/label/1/next")), []
    while 'data-task="' in part:
        parts.append(part)
        read = send(ann, task_in(part), {"preference": 1}).json()
        assert read["feedback"] == ""
        part = read["next"]
    assert len(parts) == 3 and not any("known" in one or "Training" in one for one in parts)


def test_a_paused_project_waits_and_what_people_are_at_can_still_be_sent(team: Team) -> None:
    ann = team.client("ann")
    first = task_in(shown(ann.call("/label/1/next")))
    pause(team.store, 1)
    assert 'data-reason="paused"' in shown(send(ann, first, {"preference": 1}))
    assert "paused" in ann.get("/").text


def test_a_skipped_task_goes_to_others(team: Team) -> None:
    ann = team.client("ann")
    first = task_in(shown(ann.call("/label/1/next")))
    assert task_in(shown(ann.call(f"/label/1/{first}/skip"))) != first
    assert task_in(shown(team.client("ben").call("/label/1/next"))) == first


def test_guidelines_are_markdown_without_html(make_team: Callable[..., Team]) -> None:
    team = make_team(guidelines="# Be *kind*\n<script>alert(1)</script>")
    page = team.client("ann").get("/projects/1").text
    assert "<em>kind</em>" in page and "<script>alert" not in page
