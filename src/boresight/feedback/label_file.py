"""From response records to a file of preference pairs, by a rubric judge."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.data.jsonl import write_records
from boresight.errors import DataError
from boresight.feedback.ai_labels import Compared, Couple, choose_couples, comparisons_of, label_responses
from boresight.feedback.judge import ToldJudge
from boresight.feedback.label_summary import label_summary, summary_warnings
from boresight.feedback.rubric_judge import RubricJudge
from boresight.records import Response


def label_file(
    responses: Sequence[Response],
    judge: ToldJudge,
    out: Path,
    *,
    route: Path | None,
    pairs_per_prompt: int | None,
    clip: float,
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Write the pairs to `out` and what people should look at to `route`; the summary, and what to warn of. Without
    `pairs_per_prompt` all couples of a prompt are compared, and its pairs are a ranking."""
    labels = label_responses(
        responses,
        judge,
        pairs_per_prompt=pairs_per_prompt,
        couples=couples_of(responses, pairs_per_prompt, seed),
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
    responses: Sequence[Response], judge: RubricJudge, *, pairs_per_prompt: int | None, seed: int
) -> dict[str, Any]:
    """What `label_file` would ask and cost at most, prompt tokens estimated from characters."""
    couples = couples_of(responses, pairs_per_prompt, seed)
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


def estimate_words(estimate: Mapping[str, Any]) -> str:
    """The estimate in a sentence."""
    usd = estimate["usd"]
    cost = "give prices to know the cost" if usd is None else f"at most about {usd:.2f} USD"
    return (
        f"{estimate['comparisons']:,} comparisons in both orders: {estimate['questions']:,} questions to ask "
        f"({estimate['known_before']:,} known), about {estimate['prompt_tokens']:,} prompt tokens and at most "
        f"{estimate['completion_tokens']:,} in replies; {cost}."
    )


def couples_of(responses: Sequence[Response], pairs_per_prompt: int | None, seed: int) -> list[Couple]:
    """The couples to compare; DataError where there is none."""
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
