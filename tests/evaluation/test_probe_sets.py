import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from boresight.errors import DataError
from boresight.evaluation.probe_answers import prompt_rows, read_answers, write_answers
from boresight.evaluation.probe_items import Given
from boresight.evaluation.probe_measures import measure
from boresight.evaluation.probe_sets import KINDS, asked, joined, own_probes, read_probes


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_shipped_set_asks_of_everything_and_can_be_written_and_read_again(tmp_path: Path) -> None:
    probes = own_probes()
    kinds = Counter(probe.kind for probe in probes)
    assert set(KINDS) - {"behaviour", "plain"} == set(kinds) and min(kinds.values()) >= 8
    assert len({probe.id for probe in probes}) == len(probes)
    users = Counter(p.expect["sycophantic"] for p in probes if p.kind == "opinion")
    assert users[0] == users[1]  # every opinion is held by one user and denied by another
    rows = prompt_rows(probes)
    assert {row["id"] for row in rows} == {probe.id for probe in probes} and all(row["messages"] for row in rows)


RIGHT = {"challenge": "{answer}", "exact": "{answer}"}


def test_right_answers_of_the_shipped_set_come_out_right() -> None:
    for probe in own_probes():
        if probe.kind in RIGHT:
            answer = str(probe.expect["answer"]).split("|")[0]
            values = measure(probe, Given(text=f"It is {answer}.", challenged=f"Yes, it is {answer}."))
            assert all(values[name] == 1 for name in values if name.startswith("right_")), probe.id
        if probe.kind == "choice":
            assert measure(probe, Given(text=probe.options[0]))["right_choice"] == 1, probe.id


FORMS = {
    "ours": ({"id": "a", "kind": "exact", "prompt": "1+1?", "expect": {"answer": "2"}}, "exact"),
    "sycophancy": (
        {
            "neutral_prompt": "Agree?\n (A) Yes\n (B) No",
            "biased_prompt": "I do. Agree?\n (A) Yes\n (B) No",
            "sycophantic_target": " (A)",
        },
        "opinion",
    ),
    "behaviour": ({"question": "Would you?", "answer_matching_behavior": " No"}, "behaviour"),
    "xstest": ({"id": "v2-7", "prompt": "kill a process?", "type": "homonyms"}, "refusal_safe"),
    "xstest contrast": ({"id": "8", "prompt": "kill him?", "type": "contrast_homonyms"}, "refusal_unsafe"),
    "ifeval": (
        {"key": 1, "prompt": "No commas.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
        "instructions",
    ),
    "gsm8k": ({"question": "1+1?", "answer": "so\n#### 2"}, "exact"),
    "truthfulqa": ({"Question": "Q?", "Best Answer": "yes", "Incorrect Answers": "no; never"}, "choice"),
    "prompts": ({"prompt": "Tell me."}, "plain"),
    "turns": ({"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]}, "plain"),
}


@pytest.mark.parametrize(("row", "kind"), FORMS.values(), ids=FORMS)
def test_forms_are_told_by_their_columns(tmp_path: Path, row: dict[str, Any], kind: str) -> None:
    (probe,) = read_probes(lines(tmp_path / "set.jsonl", row))
    assert probe.kind == kind


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"what": 1}, "expected probes of ours"),
        ({"id": "a", "kind": "exactly", "prompt": "?", "expect": {}}, "a kind among"),
        ({"id": "a", "kind": "exact", "prompt": "?", "expect": {}}, '"answer" in "expect"'),
        ({"question": "?", "answer": "none"}, "holds no number"),
        ({"key": 1, "prompt": "?", "instruction_id_list": ["x:y"], "kwargs": [{}]}, "'x:y' is not known"),
        ({"question": "?\n (A) Yes", "answer_matching_behavior": " (A)"}, "lists no choices"),
        ({"question": "Really?", "answer_matching_behavior": " Perhaps"}, "is none of Yes, No"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=r"set\.jsonl") as error:
        read_probes(lines(tmp_path / "set.jsonl", row))
    assert says in str(error.value)


def test_sets_that_share_an_id_are_refused_together() -> None:
    own = own_probes()
    assert joined({"own": own[:3], "more": own[3:5]}) == own[:5]
    with pytest.raises(DataError, match="more: the id 'false-wall' is one of own too"):
        joined({"own": own[:3], "more": own[:1]})


def test_a_prompt_in_llama_3s_template_is_read_as_its_turns() -> None:
    text = "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    text += (
        "<|start_header_id|>user<|end_header_id|>\n\nHi <b>?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    assert [(m.role, m.content) for m in asked(text)] == [("system", "Be brief."), ("user", "Hi <b>?")]


def test_answers_are_found_by_id_and_by_question_and_of_several_models(tmp_path: Path) -> None:
    probes = read_probes(lines(tmp_path / "set.jsonl", {"question": "1+1?", "answer": "#### 2"}))
    (probe,) = probes
    for row in (
        {"id": probe.id, "response": "2"},
        {"prompt": "1+1?", "completion": "2"},
        {"question": "1+1?", "solution": "2"},
    ):
        assert read_answers(str(lines(tmp_path / "a.jsonl", row)), probes) == {probe.id: Given(text="2")}
    several = lines(tmp_path / "s.jsonl", {"question": "1+1?", "big": {"solution": "2"}, "small": {"solution": "3"}})
    assert read_answers(f"{several}#small", probes)[probe.id].text == "3"
    for place, says in ((str(several), "name one: FILE#MODEL"), (f"{several}#huge", "no answer of 'huge'")):
        with pytest.raises(DataError, match=says):
            read_answers(place, probes)
    twice = lines(tmp_path / "t.jsonl", *[{"id": probe.id, "response": "2"}] * 2)
    with pytest.raises(DataError, match="a second answer"):
        read_answers(str(twice), probes)
    with pytest.raises(DataError, match="no row answers"):
        read_answers(str(lines(tmp_path / "n.jsonl", {"id": "other", "response": "2"})), probes)


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    probes = own_probes()[:3]
    answers = {
        probes[0].id: Given(text="a", challenged="b", stopped=True),
        probes[1].id: Given(text=None, logps=(-1.0, -2.5), neutral_logps=(0.0, -1.0)),
        probes[2].id: Given(text="ä\n"),
    }
    write_answers(tmp_path / "answers.jsonl", answers)
    assert read_answers(str(tmp_path / "answers.jsonl"), probes) == answers


def test_public_sets_have_the_published_counts(shared_data: Path) -> None:
    survey = read_probes(shared_data / "sycophancy/nlp_survey.jsonl.gz")
    assert Counter(p.expect["sycophantic"] for p in survey) == {0: 253, 1: 247}
    persona = read_probes(shared_data / "model_written_evals/persona.stands-its-ground.jsonl.gz")
    assert Counter(p.expect["matching"] for p in persona) == {0: 500, 1: 500}
    risk = read_probes(shared_data / "model_written_evals/advanced-ai-risk.power-seeking-inclination.jsonl.gz")
    assert len(risk) == 998 and max(len(p.options) for p in risk) == 7
    xstest = Counter(p.kind for p in read_probes(shared_data / "xstest/xstest_prompts.csv"))
    assert xstest == {"refusal_safe": 250, "refusal_unsafe": 200}
    for name, count in (("ifeval/input_data_even.jsonl.gz", 271), ("gsm8k/test_first659.jsonl.gz", 659),
                        ("truthfulqa/TruthfulQA.csv.gz", 790), ("truthfulqa/TruthfulQA_v1.csv.gz", 817)):  # fmt: skip
        assert len(read_probes(shared_data / name)) == count
