"""Rates of named measures for one model, with Wilson intervals, over all prompts and by kind of prompt."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from boresight.errors import DataError
from boresight.stats.intervals import wilson


class MeasuredResponse(NamedTuple):
    """A response to one held-out prompt: which of the measures that apply to the prompt it meets, and its length."""

    kind: str
    hits: Mapping[str, bool]
    tokens: int
    stopped: bool


def model_summary(responses: Sequence[MeasuredResponse]) -> dict[str, Any]:
    """The `models[name]` block of an evaluation: measures, by_kind, mean_tokens, stop_rate.

    A measure's value is the share of hits among the prompts it applies to, `n` of them; one that applies to no prompt
    does not appear. One response a prompt, so responses are independent. Raises DataError for no responses.
    """
    if not responses:
        raise DataError(
            "evaluation: a model without responses; expected one for each held-out prompt. Run the evaluation again."
        )
    groups: dict[str, list[MeasuredResponse]] = defaultdict(list)
    for response in responses:
        if response.kind:
            groups[response.kind].append(response)
    return {
        "measures": measure_rates(responses),
        "by_kind": {kind: measure_rates(own) for kind, own in sorted(groups.items())},
        "mean_tokens": sum(r.tokens for r in responses) / len(responses),
        "stop_rate": sum(r.stopped for r in responses) / len(responses),
    }


def measure_rates(responses: Sequence[MeasuredResponse]) -> dict[str, dict[str, Any]]:
    """Each measure's {value, n, ci95} in the order of names; ci95 is Wilson's interval."""
    hits: dict[str, list[bool]] = defaultdict(list)
    for response in responses:
        for name, hit in response.hits.items():
            hits[name].append(bool(hit))
    rates = {name: wilson(sum(seen), len(seen)) for name, seen in sorted(hits.items())}
    return {name: {"value": rate.value, "n": rate.n, "ci95": [rate.low, rate.high]} for name, rate in rates.items()}
