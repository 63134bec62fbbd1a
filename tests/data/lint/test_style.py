"""Style cues that predict the label."""

import pytest

from tests.data.lint.making import found, ids, pair

CUED = {
    "list": "Steps:\n- open the gate\n- close it",
    "markdown": "Open the **gate** first.",
    "apology": "I'm sorry, open the gate.",
    "as_an_ai": "As an AI, I open the gate.",
    "praise": "Great question, open the gate.",
}


@pytest.mark.parametrize("cue", CUED)
def test_a_cue_of_the_chosen_answers_is_a_warning(cue: str) -> None:
    pairs = [pair(n, f"q {n}", CUED[cue] if n < 30 else "Open it.", "Shut it.") for n in range(100)]
    finding = found(pairs, "style_cue")
    assert finding is not None and finding.severity == "warning"
    assert finding.effect["cues"][cue] | {"ci95": None} == {
        "chosen_only": 30, "rejected_only": 0, "chosen_share": 1.0, "ci95": None, "teaches": "use"
    }  # fmt: skip
    assert ids(pairs, finding) == [f"p{n}" for n in range(30)]


def test_a_cue_of_the_rejected_answers_is_a_note() -> None:
    pairs = [pair(n, f"q {n}", "Open it.", CUED["apology"]) for n in range(40)]
    finding = found(pairs, "style_cue")
    assert (
        finding is not None and finding.severity == "note" and finding.effect["cues"]["apology"]["teaches"] == "avoid"
    )


def test_a_cue_on_both_sides_is_none() -> None:
    pairs = [pair(n, f"q {n}", *((CUED["list"], "b") if n % 2 else ("b", CUED["list"]))) for n in range(100)]
    assert found(pairs, "style_cue") is None


def test_a_rare_cue_is_none() -> None:
    pairs = [pair(n, f"q {n}", CUED["list"] if n < 5 else "Open it.", "Shut it.") for n in range(100)]
    assert found(pairs, "style_cue") is None
