"""TRL's names, held against the names that the doctor reads TRL's own logs by: a second list, made from TRL's code."""

import pytest

from boresight.diagnosis.readers.names import translate
from boresight.runlog.aliases import ALIASES, aliased
from boresight.runlog.names import METRICS

OF_ANOTHER_FORM = {
    "policy/chosen_logp_sum": "policy/chosen_logp", "policy/rejected_logp_sum": "policy/rejected_logp",
    "policy/chosen_logp_mean": "policy/chosen_logp", "policy/rejected_logp_mean": "policy/rejected_logp",
}  # fmt: skip
"""Signals that the doctor keeps apart, since foreign logs do not tell sums from means."""


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"), [(kind, ours, theirs) for kind in ALIASES for ours, theirs in ALIASES[kind].items()]
)
def test_a_metric_has_the_name_of_the_same_quantity(kind: str, ours: str, theirs: str) -> None:
    read = translate(theirs, "trl")
    assert ours in METRICS and theirs not in METRICS
    if theirs == "log_odds_chosen":  # the doctor passes it over
        return
    assert read is not None and read.convert is None
    assert read.signal == OF_ANOTHER_FORM.get(ours, ours)


def test_only_what_is_logged_is_named_again() -> None:
    assert aliased("dpo", {"reward/margin": 0.5, "time/step_seconds": 1.0}) == {"rewards/margins": 0.5}
    assert aliased("pretrain", {"loss/total": 0.5}) == {}
