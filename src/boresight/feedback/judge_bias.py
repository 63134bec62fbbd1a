"""What a judge prefers for no good reason, from verdicts in both orders: the first place, length, its own kind.

Of each preference the rate r is reported and the effect 2r - 1: the share of verdicts that would be given for that
reason alone, if all others knew nothing of it. The place is not confounded with anything, because each couple is seen
in both orders; length and the own kind are, as a longer response may be the better one: hold them against people.
"""

import re
from collections.abc import Sequence
from typing import Any

from boresight.feedback.ai_labels import Compared
from boresight.stats.intervals import wilson_clustered

FAMILIES = (
    "claude", "command", "deepseek", "falcon", "gemini", "gemma", "glm", "gpt", "granite", "grok", "kimi", "llama",
    "minimax", "ministral", "mistral", "mixtral", "nemotron", "olmo", "phi", "qwen", "smollm", "yi",
)  # fmt: skip


def family(model: str) -> str | None:
    """The family that a model's name tells, such as `qwen` of `Qwen/Qwen3-8B`; None for a name that tells none."""
    words = re.findall(r"[a-z]+", model.rsplit("/", 1)[-1].lower())
    return next((name for name in FAMILIES if name in words), None)


def is_kin(model: str, judge: str) -> bool:
    """Whether two names are those of one model or of one family."""
    kind = family(model)
    return model == judge or (kind is not None and kind == family(judge))


def judge_bias(compared: Sequence[Compared], judge: str) -> dict[str, Any]:
    """{position, length, self_preference}: each {rate, ci95, effect, effect_ci95, n} over comparisons with a verdict in
    both orders, or null where none tells; and `same_verdict_in_both`. Intervals are over prompts."""
    read = [one for one in compared if not one.failure]
    first = [(one, (one.given.value + one.swapped.value) / 2) for one in read]
    longer = [
        (one, _for_a(one, len(one.a.text) > len(one.b.text))) for one in read if len(one.a.text) != len(one.b.text)
    ]
    own = [(one, is_kin(one.a.model, judge), is_kin(one.b.model, judge)) for one in read]
    kin = [(one, _for_a(one, a_is_kin)) for one, a_is_kin, b_is_kin in own if a_is_kin != b_is_kin]
    return {
        "same_verdict_in_both": sum(one.agrees for one in read) / len(read) if read else None,
        "position": preference(first),
        "length": preference(longer),
        "self_preference": preference(kin),
    }


def preference(values: Sequence[tuple[Compared, float]]) -> dict[str, Any] | None:
    """Rate and effect of a preference from values 1 (for it), 0 (against it) and between; None without any."""
    if not values:
        return None
    found = wilson_clustered([value for _, value in values], [one.a.prompt.id for one, _ in values])
    bounds = [found.low, found.high]
    return {
        "rate": found.value,
        "ci95": bounds,
        "effect": 2 * found.value - 1,
        "effect_ci95": [2 * bound - 1 for bound in bounds],
        "n": len(values),
    }


def _for_a(one: Compared, a_has_it: bool) -> float:
    return one.p_a if a_has_it else 1.0 - one.p_a
