"""Urgency by an ensemble of reward models, against the sigmoid by hand."""

from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.web.annotation.urgency import ensemble_urgency, read_scores, scores_by, with_urgency
from tests.web.annotation.made import task

LN3 = 1.0986122886681098  # sigmoid(ln 3) = 3/4


@pytest.mark.parametrize(
    ("members", "urgency"),
    [
        ([[LN3, 0.0]], 0.5),
        ([[0.0, LN3]], 0.5),
        ([[LN3, 0.0], [0.0, LN3]], 1.0),  # sure of opposite things
        ([[LN3, 0.0], [5.0, 5.0]], 0.75),  # the mean of 3/4 and 1/2
        ([[1e6, -1e6], [1e6, -1e6]], 0.0),
        ([[LN3, 0.0, 0.0]], (0.5 + 0.5 + 1.0) / 3),  # a ranking: the mean over its pairs
    ],
)
def test_urgency_is_how_near_the_mean_probability_is_to_a_half(members: list[list[float]], urgency: float) -> None:
    assert ensemble_urgency(members) == pytest.approx(urgency, abs=1e-12)


def test_a_judge_that_was_less_sure_counts_and_unknown_tasks_stay() -> None:
    tasks = [task("a", urgency=0.9), task("b", urgency=0.1), task("c", urgency=0.2)]
    scores = {"a": [LN3, 0.0], "b": [LN3, 0.0]}
    assert [one.urgency for one in with_urgency(tasks, [scores])] == pytest.approx([0.9, 0.5, 0.2])
    assert with_urgency(tasks, []) == tasks


def test_a_model_scores_each_response_behind_its_prompt() -> None:
    tasks = [task("a"), task("b", 3)]
    found = scores_by(lambda prompts, texts: [len(p[0].content) + len(t) for p, t in zip(prompts, texts)], tasks)  # noqa: B905
    assert {key: len(scores) for key, scores in found.items()} == {"a": 2, "b": 3}
    assert found["a"][0] == len("Question a?") + len(tasks[0].responses[0]["text"])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"id": "a", "scores": [1, "2"]}', "finite"),
        ('{"id": "a", "scores": [1]}', "2 responses"),
        ('{"id": "z", "scores": [1, 2]}', "none of the tasks"),
        ('{"id": "a", "scores": [1, 2]}\n{"id": "a", "scores": [1, 2]}', "each task once"),
    ],
)
def test_scores_that_do_not_fit_are_refused_with_their_line(tmp_path: Path, row: str, told: str) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text(row + "\n")
    with pytest.raises(DataError, match=told):
        read_scores(file, [task("a")])
