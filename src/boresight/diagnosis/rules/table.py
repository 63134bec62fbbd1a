"""All rules, causes before what follows from them: of two findings of one severity the earlier is told first."""

from boresight.diagnosis.rules import drift, hacking, learning, numeric, pairs, sampling, start, supervised
from boresight.diagnosis.rules.rule import Rule

_NAN, _RATE = numeric.RULES
_ZERO_VARIANCE, _NO_LEARNING = learning.RULES

RULES: tuple[Rule, ...] = (
    _NAN,
    *start.RULES[:3],
    *start.RULES_PROMPTS,
    *drift.RULES_KL,
    *hacking.RULES,
    *sampling.RULES,
    _ZERO_VARIANCE,
    *pairs.RULES_SCORER,
    *pairs.RULES,
    *supervised.RULES,
    *drift.RULES_STEP,
    _NO_LEARNING,
    *hacking.RULES_VALUE,
    *start.RULES[3:],
    _RATE,
    *pairs.RULES_FINE,
    *drift.RULES_FINE,
)
