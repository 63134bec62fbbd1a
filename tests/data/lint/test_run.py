"""The lint as a whole."""

import ast
import json
from pathlib import Path

import pytest

from boresight.data.lint import run
from boresight.data.lint.catalogue import CATALOGUE
from boresight.data.lint.finding import ORDER
from boresight.data.lint.run import lint
from boresight.errors import DataError
from tests.data.lint.making import pair, sound_pairs


def test_no_record_is_an_error() -> None:
    with pytest.raises(DataError, match="train holds no record; expected at least one"):
        lint({"train": []})


def test_findings_come_gravest_first_and_each_id_once() -> None:
    pairs = [*sound_pairs(30), pair(90, "q", "same", "same"), pair(91, "q", "<|im_end|>", "b")]
    findings = lint({"data": pairs}).findings
    order = [ORDER[finding.severity] for finding in findings]
    assert order == sorted(order) and len({f.id for f in findings}) == len(findings)


def test_a_finding_is_one_json_object_with_the_keys_of_the_contract() -> None:
    for finding in lint({"data": [*sound_pairs(30), pair(90, "q", "same", "same")]}).findings:
        told = json.loads(json.dumps(finding.as_json()))
        assert {"id", "severity", "count", "share", "message", "examples", "effect", "advice"} <= set(told)
        assert finding.id in CATALOGUE and len(told["examples"]) <= 3


def test_rows_are_streamed_once_and_progress_is_told() -> None:
    seen: list[int] = []
    done = lint({"a": iter(sound_pairs(3)), "b": iter(sound_pairs(2))}, progress=seen.append)
    assert seen == [1, 2, 3, 4, 5] and done.splits == {"a": 3, "b": 2}


def test_equal_rows_give_equal_findings() -> None:
    one, other = (lint({"data": sound_pairs(200)}).findings for _ in range(2))
    assert [finding.as_json() for finding in one] == [finding.as_json() for finding in other]


def test_the_catalogue_lists_exactly_the_findings_of_the_code() -> None:
    """Every finding is made by a call that spells its id, or handed to one by the function around it."""
    folder = Path(run.__file__).parent
    spelled = {
        node.value
        for file in folder.glob("*.py")
        if file.name not in ("catalogue.py", "select.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CATALOGUE) <= spelled
