"""What findings prescribe: every one of them has a change of settings or a reason why not, and a stage accepts it."""

from typing import Any

import pytest

from boresight.config.sections import STAGE_CLASSES
from boresight.diagnosis.rules.cures import CURES, WHY_NOT, shown_signal
from boresight.diagnosis.rules.responses import RESPONSE_RULES
from boresight.diagnosis.rules.table import RULES
from boresight.diagnosis.signals import known

SHARED = {"policy": "demo", "reference": "demo"}
STAGES: dict[str, dict[str, Any]] = {
    "ppo": {**SHARED, "reward": "scorer", "prompts": ["p.jsonl"], "steps": 50},
    "rloo": {**SHARED, "reward": "scorer", "prompts": ["p.jsonl"], "steps": 50},
    "dpo": {**SHARED, "data": "pairs"},
}
NOTES = {"dpo_both_falling_ok", "clip_fraction_zero_ok"}


def of(kind: str) -> set[str]:
    """Findings that a stage of this kind may get."""
    told = {rule.id for rule in RULES if not rule.methods or kind in rule.methods}
    return told | ({rule.id for rule in RESPONSE_RULES} if kind != "dpo" else set())


@pytest.mark.parametrize("kind", STAGES)
def test_every_finding_of_a_stage_has_a_cure_or_a_reason(kind: str) -> None:
    assert of(kind) - NOTES <= CURES.keys() | WHY_NOT.keys()
    assert not CURES.keys() & WHY_NOT.keys()


@pytest.mark.parametrize("kind", STAGES)
def test_every_cure_is_a_change_that_the_stage_accepts(kind: str) -> None:
    stage = STAGE_CLASSES[kind](kind=kind, **STAGES[kind])
    for name in of(kind) & CURES.keys():
        settings = stage.model_dump()
        change = CURES[name].change(settings)
        assert change and all(settings[key] != value for key, value in change.items()), name
        STAGE_CLASSES[kind](kind=kind, **STAGES[kind], **change)
        assert known(shown_signal(CURES[name], kind))
