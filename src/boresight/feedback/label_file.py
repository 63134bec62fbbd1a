"""From response records to a file of preference pairs, by a rubric judge."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boresight.data.jsonl import write_records
from boresight.errors import DataError
from boresight.feedback.ai_labels import Compared, Couple, choose_couples, comparisons_of, label_responses
from boresight.feedback.label_summary import label_summary, summary_warnings
from boresight.feedback.rubric_judge import RubricJudge
from boresight.records import Response


def label_file(
    responses: Sequence[Response],
    judge: RubricJudge,
    out: Path,
    *,
    route: Path | None,
    pairs_per_prompt: int,
    clip: float,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Write the pairs to `out` and what people should look at to `route`; the summary, and what to warn of."""
    labels = label_responses(
        responses,
        judge,
        pairs_per_prompt=pairs_per_prompt,
        couples=_couples(responses, pairs_per_prompt, seed),
        clip=clip,
        meta=judge.identity(),
    )
    write_records(out, labels.pairs)
    summary = {"out": str(out), "responses": len(responses), **label_summary(labels, judge)}
    if route is not None:
        open_couples = [one for one in labels.compared if one.failure or not one.agrees]
        write_records(route, [_routed(one) for one in open_couples])
        summary |= {"route": str(route), "routed": len(open_couples)}
    return summary, summary_warnings(summary)


def estimate_file(
    responses: Sequence[Response], judge: RubricJudge, *, pairs_per_prompt: int, seed: int
) -> dict[str, Any]:
    """What `label_file` would ask and cost at most, prompt tokens estimated from characters."""
    couples = _couples(responses, pairs_per_prompt, seed)
    estimate = judge.estimate(comparisons_of(couples))
    prices = judge.client.prices
    return {
        "comparisons": len(couples),
        "questions": estimate.questions,
        "known_before": estimate.known,
        "prompt_tokens": estimate.prompt_tokens,
        "completion_tokens": estimate.completion_tokens,
        "usd": prices.cost(estimate.prompt_tokens, estimate.completion_tokens) if prices else None,
        **judge.identity(),
    }


def _couples(responses: Sequence[Response], pairs_per_prompt: int, seed: int) -> list[Couple]:
    couples = choose_couples(responses, pairs_per_prompt, seed=seed)
    if not couples:
        raise DataError(
            f"{len(responses)} responses make no couple; expected at least one prompt with two different responses. "
            "Sample more responses a prompt."
        )
    return couples


def _routed(one: Compared) -> dict[str, Any]:
    """A couple for people, without a word of which response the judge preferred."""
    return {
        "id": f"{one.a.id}|{one.b.id}",
        "prompt": [{"role": m.role, "content": m.content} for m in one.a.prompt.messages],
        "responses": [one.a.text, one.b.text],
        "reason": one.failure or "orders_disagree",
    }
