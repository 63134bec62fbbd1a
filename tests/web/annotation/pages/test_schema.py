"""The JSON interface under requests drawn from its own schema, sound and unsound: none makes the server fail."""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from boresight.web.annotation.pages.accounts import AuditNotes
from boresight.web.annotation.people import make_token
from boresight.web.rate_limit import RateLimit
from tests.web.annotation.made import task
from tests.web.annotation.pages.conftest import Team
from tests.web.postgres import new_database

REQUESTS = 500
TEXTS = ["k1", "k2", "0", "1", "boresight", "harm", "", "\0", "\ud800", "a" * 300, "x\u202ey", "é", "-1", "1e999"]
NUMBERS = [-(2**70), -1, 0, 1, 2, 9, 2**31, 2**63, 2**70, 0.5, 1e308, float("nan"), float("inf")]


def drawn(rng: random.Random, schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    """A value that a JSON schema describes, and one time in thirty one of any type."""
    if rng.random() < 1 / 30:
        return rng.choice([None, True, rng.choice(TEXTS), rng.choice(NUMBERS), [], [1, None, "x"], {}, {"9": ["x"]}])
    if "$ref" in schema:
        return drawn(rng, whole["components"]["schemas"][schema["$ref"].split("/")[-1]], whole)
    if "anyOf" in schema:
        return drawn(rng, rng.choice(schema["anyOf"]), whole)
    if "enum" in schema or "const" in schema:
        return rng.choice(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "integer":
            return rng.randint(int(schema.get("minimum", -5)), min(int(schema.get("maximum", 9)), 9))
        case "number":
            return rng.uniform(0, 100)
        case "boolean":
            return rng.random() < 0.5
        case "string":
            return rng.choice(TEXTS)
        case "array":
            return [drawn(rng, schema["items"], whole) for _ in range(rng.randint(1, 4))]
        case "object":
            return _object(rng, schema, whole)
    return rng.choice(["Why?", ["x", "y"], rng.choice(NUMBERS), rng.choice(TEXTS)])


def _object(rng: random.Random, schema: dict[str, Any], whole: dict[str, Any]) -> Any:
    fields = schema.get("properties", {})
    if fields:
        wanted = {name for name in fields if name in schema.get("required", ()) or rng.random() < 0.3}
        return {name: drawn(rng, one, whole) for name, one in fields.items() if name in wanted}
    names = rng.sample(["id", "prompt", "responses", "gold", "purpose", "0", "harm"], rng.randint(0, 4))
    return {name: drawn(rng, schema.get("additionalProperties") or {}, whole) for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_request_makes_the_server_fail(
    make_team: Callable[..., Team], kind: str, request: pytest.FixtureRequest
) -> None:
    place = new_database(request.getfixturevalue("postgres")) if kind == "postgresql" else None
    team = make_team(*(task(f"t{n}", 2 + n % 3) for n in range(8)), place=place)
    team.app.state.door.api_limit.burst = 1e9  # the limit itself is tested elsewhere
    assert isinstance(team.app.state.door.note, AuditNotes) and isinstance(team.app.state.door.api_limit, RateLimit)
    token = make_token(team.store, team.person("ada"), "test")
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    client = TestClient(team.app, base_url="http://127.0.0.1", headers=headers)
    whole, rng, seen = team.app.openapi(), random.Random(7), Counter[tuple[str, int]]()
    operations = [(path, method, one) for path, methods in whole["paths"].items() for method, one in methods.items()]
    at = {"project_id": "1"}
    for number in range(REQUESTS):
        path, method, operation = operations[number % len(operations)]
        address, query, body = path, {}, None
        for parameter in operation.get("parameters", ()):
            known = at.get(parameter["name"])
            text = known if known and rng.random() < 0.6 else str(drawn(rng, parameter["schema"], whole))
            if parameter["in"] == "path":
                address = address.replace(f"{{{parameter['name']}}}", quote(text, safe="", errors="replace"))
            else:
                query[parameter["name"]] = text.encode("utf-8", "replace").decode()
        if "requestBody" in operation:
            body = drawn(rng, operation["requestBody"]["content"]["application/json"]["schema"], whole)
        sent = client.request(method, address, params=query, content=json.dumps(body).encode())
        seen[path, sent.status_code] += 1
        if path.endswith("/next") and sent.status_code == 200 and sent.json()["task"]:
            at["task_id"] = str(sent.json()["task"]["task_id"])
        assert sent.status_code < 500, (method, address, query, body, sent.text)
    worked = {path for path, status in seen if status < 300}
    assert worked >= {f"/api/tasks/{{task_id}}/{what}" for what in ("draft", "answer", "skip")}, seen
    assert sum(count for (_, status), count in seen.items() if status == 422) > REQUESTS / 20, seen
