from xml.etree import ElementTree

import pytest

from boresight.evaluation.badge import FAILED, PASSED, gate_badge


@pytest.mark.parametrize(
    ("held", "words", "colour"),
    [([True, True], "passed, 2 checks", PASSED), ([True, False, False], "failed, 2 of 3 checks", FAILED)],
)
def test_the_badge_says_what_the_gate_said(held: list[bool], words: str, colour: str) -> None:
    svg = gate_badge({"passed": all(held), "checks": [{"passed": one} for one in held]}, "safety & form")
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == f"safety & form: {words}"
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    assert texts == ["safety & form", words] and colour in svg
    assert "href" not in svg and "<script" not in svg
