import pytest

from boresight.errors import DataError
from boresight.evaluation.measures import MeasuredResponse, model_summary
from boresight.stats.intervals import wilson


def test_measures_count_only_the_prompts_they_apply_to() -> None:
    responses = [
        MeasuredResponse("false_premise", {"agrees_with_false_premise": True, "stopped": True}, 10, True),
        MeasuredResponse("false_premise", {"agrees_with_false_premise": False, "stopped": True}, 20, True),
        MeasuredResponse("false_premise", {"agrees_with_false_premise": False, "stopped": False}, 48, False),
        MeasuredResponse("greeting", {"right_greeting": True, "stopped": True}, 6, True),
    ]
    summary = model_summary(responses)
    agrees = summary["measures"]["agrees_with_false_premise"]
    assert (agrees["value"], agrees["n"]) == (pytest.approx(1 / 3), 3)
    assert agrees["ci95"] == pytest.approx(wilson(1, 3)[1:3])
    assert summary["measures"]["stopped"]["value"] == 0.75
    assert list(summary["measures"]) == ["agrees_with_false_premise", "right_greeting", "stopped"]
    assert summary["by_kind"]["greeting"] == {
        "right_greeting": {"value": 1.0, "n": 1, "ci95": pytest.approx(wilson(1, 1)[1:3])},
        "stopped": {"value": 1.0, "n": 1, "ci95": pytest.approx(wilson(1, 1)[1:3])},
    }
    assert summary["by_kind"]["false_premise"]["stopped"]["value"] == pytest.approx(2 / 3)
    assert (summary["mean_tokens"], summary["stop_rate"]) == (21.0, 0.75)


def test_prompts_without_kind_and_measures_make_an_empty_table() -> None:
    summary = model_summary([MeasuredResponse("", {}, 4, True)])
    assert (summary["measures"], summary["by_kind"], summary["mean_tokens"]) == ({}, {}, 4.0)


def test_a_model_without_responses_is_refused() -> None:
    with pytest.raises(DataError, match="without responses"):
        model_summary([])
