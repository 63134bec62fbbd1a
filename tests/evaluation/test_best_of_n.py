import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from boresight.errors import DataError
from boresight.evaluation.best_of_n import Sampled, best_of_n, read_sampled


def sampled(scores: dict[str, list[tuple[float, float]]]) -> list[Sampled]:
    return [Sampled(prompt, None, score, gold) for prompt, both in scores.items() for score, gold in both]


def test_the_estimate_is_the_mean_over_all_ways_to_draw_n() -> None:
    random = np.random.default_rng(3)
    rows = {p: [(float(s), float(g)) for s, g in random.normal(size=(6, 2))] for p in "abcd"}
    found = best_of_n(sampled(rows))
    assert [point["n"] for point in found["curve"]] == [1, 2, 4, 6]
    for point in found["curve"]:
        golds, scores = [], []
        for group in rows.values():
            draws = [max(draw) for draw in combinations(group, point["n"])]
            scores.append(np.mean([score for score, _ in draws]))
            golds.append(np.mean([gold for _, gold in draws]))
        assert point["score"] == pytest.approx(np.mean(scores)) and point["gold"] == pytest.approx(np.mean(golds))
        assert point["kl"] == pytest.approx(math.log(point["n"]) - (point["n"] - 1) / point["n"])
        assert point["ci95"][0] <= point["gold"] <= point["ci95"][1]


def test_equal_scores_share_their_chances() -> None:
    found = best_of_n(sampled({"a": [(1.0, 0.0), (1.0, 1.0), (0.0, 5.0)], "b": [(2.0, 3.0)] * 3}))
    # Of a the three draws of two: the tie (half), and either of the tied with the third: (0.5 + 0 + 1) / 3.
    assert found["curve"][1]["gold"] == pytest.approx((0.5 + 3.0) / 2)


@pytest.mark.parametrize(("hacked", "peak", "falls"), [(True, 1, True), (False, 16, False)])
def test_a_score_against_the_truth_falls_and_one_that_follows_it_does_not(hacked: bool, peak: int, falls: bool) -> None:
    random = np.random.default_rng(7)
    rows = {}
    for prompt in range(40):
        gold = random.normal(size=16)
        rows[str(prompt)] = [(-float(g) if hacked else float(g), float(g)) for g in gold]
    found = best_of_n(sampled(rows))
    assert (found["peak"], found["falls"]) == (peak, falls)
    scores = [point["score"] for point in found["curve"]]
    assert scores == sorted(scores)  # the score itself always rises


def test_rows_that_do_not_serve_are_refused(tmp_path: Path) -> None:
    def written(*rows: dict[str, object]) -> Path:
        (tmp_path / "s.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / "s.jsonl"

    (one,) = read_sampled(written({"prompt_id": 3, "score": 1, "gold": 0.5}))
    assert one == Sampled("3", None, 1.0, 0.5)
    for row, says in (
        ({"prompt": "a", "gold": 1}, "the score or"),
        ({"prompt": "a", "score": 1, "gold": "x"}, "finite"),
        ({"prompt": "a", "score": 1, "gold": 10**400}, "finite"),
    ):
        with pytest.raises(DataError, match=says):
            read_sampled(written(row))
    with pytest.raises(DataError, match="one response"):
        best_of_n([one])
    with pytest.raises(DataError, match="has no score"):
        best_of_n([one._replace(score=None)])
