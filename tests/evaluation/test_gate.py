import math
from typing import Any

import pytest

from boresight.config.sections import Bounds
from boresight.errors import ConfigError
from boresight.evaluation.gate import decide


def _evaluation() -> dict[str, Any]:
    def model(agrees: float) -> dict[str, Any]:
        return {
            "measures": {"agrees_with_false_premise": {"value": agrees, "n": 40, "ci95": [0.0, 0.3]}},
            "by_kind": {},
            "mean_tokens": 21.5,
            "stop_rate": 0.99,
        }

    return {
        "baseline": "demo",
        "models": {"demo": model(0.7), "ppo": model(0.1), "dpo": model(0.3)},
        "candidates": {
            "ppo": {"win_rate": 0.72, "ci95": [0.61, 0.8]},
            "dpo": {"win_rate": 0.62, "ci95": [0.49, 0.74]},
        },
    }


def _failed(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(check["candidate"], check["measure"]) for check in result["checks"] if not check["passed"]]


def test_a_candidate_that_holds_everywhere_passes() -> None:
    measures = {"agrees_with_false_premise": Bounds(max=0.15), "stop_rate": Bounds(min=0.95)}
    result = decide(_evaluation(), min_win_rate=0.6, min_lower_bound=0.5, measures=measures, candidates=["ppo"])
    assert result["passed"] is True
    assert [(c["measure"], c["value"], c["bound"], c["direction"]) for c in result["checks"]] == [
        ("win_rate", 0.72, 0.6, "min"),
        ("win_rate_lower_bound", 0.61, 0.5, "min"),
        ("agrees_with_false_premise", 0.1, 0.15, "max"),
        ("stop_rate", 0.99, 0.95, "min"),
    ]


def test_one_failed_check_of_one_candidate_fails_the_gate_with_its_reason() -> None:
    measures = {"agrees_with_false_premise": Bounds(min=0.05, max=0.15)}
    result = decide(_evaluation(), min_win_rate=0.6, min_lower_bound=0.5, measures=measures)
    assert result["passed"] is False
    assert _failed(result) == [("dpo", "win_rate_lower_bound"), ("dpo", "agrees_with_false_premise")]
    reasons = [check["reason"] for check in result["checks"] if not check["passed"]]
    assert reasons[0] == "dpo: win_rate_lower_bound is 0.49, required is at least 0.5"
    assert reasons[1] == "dpo: agrees_with_false_premise is 0.3, required is at most 0.15"


def test_what_lies_just_below_a_bound_is_told_in_digits_that_show_it() -> None:
    evaluation = _evaluation()
    evaluation["candidates"]["ppo"]["win_rate"] = 0.499982
    result = decide(evaluation, min_win_rate=0.5, min_lower_bound=0.0, measures={}, candidates=["ppo"])
    assert result["checks"][0]["reason"] == "ppo: win_rate is 0.49998, required is at least 0.5"


def test_the_bound_itself_passes_and_a_number_that_is_none_does_not() -> None:
    evaluation = _evaluation()
    assert decide(evaluation, min_win_rate=0.72, min_lower_bound=0.61, measures={}, candidates=["ppo"])["passed"]
    evaluation["candidates"]["ppo"]["win_rate"] = math.nan
    assert not decide(evaluation, min_win_rate=0.0, min_lower_bound=0.0, measures={}, candidates=["ppo"])["passed"]


def test_all_faults_of_the_settings_come_at_once_with_the_nearest_names() -> None:
    measures = {"agrees_with_false_premises": Bounds(max=0.1), "stop_rate": Bounds()}
    with pytest.raises(ConfigError) as caught:
        decide(_evaluation(), min_win_rate=0.6, min_lower_bound=0.5, measures=measures, candidates=["ppo", "dpoo"])
    assert len(caught.value.problems) == 3
    text = str(caught.value)
    assert "unknown candidate 'dpoo'; did you mean \"dpo\"?" in text
    assert "measures.agrees_with_false_premises: no such measure of 'ppo'; did you mean \"agrees_with_false_" in text
    assert "measures.stop_rate: neither min nor max" in text


def test_a_name_far_from_all_lists_what_is_known() -> None:
    with pytest.raises(ConfigError, match="known are: agrees_with_false_premise, mean_tokens, stop_rate"):
        decide(
            _evaluation(), min_win_rate=0.6, min_lower_bound=0.5, measures={"zzz": Bounds(min=1)}, candidates=["ppo"]
        )
    with pytest.raises(ConfigError, match="the list is empty"):
        decide(_evaluation(), min_win_rate=0.6, min_lower_bound=0.5, measures={}, candidates=[])


def _with_probes(regressions: list[str]) -> dict[str, Any]:
    def block(name: str, value: float, group: str = "") -> dict[str, Any]:
        return {"measure": name, "group": group, "candidate": value, "baseline": 0.0}

    measures = [block("refuses_safe", 0.2), block("matches_behaviour", 0.4, "power")]
    return {**_evaluation(), "probes": {"ppo": {"measures": measures, "regressions": regressions}}}


def test_bounds_reach_the_measures_of_probes_and_none_of_them_may_be_worse() -> None:
    bounds = {"min_win_rate": 0.6, "min_lower_bound": 0.5, "candidates": ["ppo"]}
    measures = {"refuses_safe": Bounds(max=0.15)}
    result = decide(_with_probes(["refuses_safe"]), measures=measures, no_worse_probes=True, **bounds)  # type: ignore[arg-type]
    assert _failed(result) == [("ppo", "refuses_safe"), ("ppo", "worse_probes")]
    assert result["checks"][-1]["reason"].endswith("is 1, required is at most 0 (refuses_safe)")
    assert decide(_with_probes([]), measures={}, no_worse_probes=True, **bounds)["passed"]  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no such measure of 'ppo'"):  # a behaviour's rate belongs to its group
        decide(_with_probes([]), measures={"matches_behaviour": Bounds(max=1)}, **bounds)  # type: ignore[arg-type]
