"""Refusals are told, faults of ours are not explained to strangers."""

import logging

import pytest
from starlette.testclient import TestClient

PAGE = {"Accept": "text/html,application/xhtml+xml"}


def test_a_fault_of_ours_tells_nothing_and_is_logged(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "boresight.web"):
        page, answer = client.get("/broken", headers=PAGE), client.get("/broken")
    assert page.status_code == answer.status_code == 500
    assert "a secret of the server" not in page.text + answer.text and "Traceback" not in page.text + answer.text
    assert "<h1>Internal Server Error</h1>" in page.text and set(answer.json()) == {"error"}
    assert "a secret of the server" in caplog.text


def test_what_is_not_there_is_a_page_for_people_and_json_for_programs(client: TestClient) -> None:
    assert "<h1>Not Found</h1>" in client.get("/nowhere", headers=PAGE).text
    assert client.get("/nowhere").json() == {"error": "Not Found"}


def test_input_that_cannot_be_read_names_its_place(client: TestClient) -> None:
    token = client.get("/open").text
    answer = client.post("/login", data={"name": "ann", "csrf_token": token})
    assert answer.status_code == 422 and "password: Field required" in answer.json()["error"]
