"""From response records to a file of preference pairs, by a rubric judge."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.data.jsonl import write_records
from boresight.errors import DataError
from boresight.feedback.ai_labels import Compared, Couple, choose_couples, comparisons_of, label_responses
from boresight.feedback.calibration import Calibration
from boresight.feedback.drift import ask_again, drift_figures, drift_warning
from boresight.feedback.judge import Judge, ToldJudge
from boresight.feedback.judged_couples import couple_of, write_judged
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
    judged: Path | None = None,
    calibration: Calibration | None = None,
    again: Judge | None = None,
    warn: Callable[[str], None] = lambda line: None,
) -> tuple[dict[str, Any], list[str]]:
    """Write the pairs to `out`, what people should look at to `route`, and all couples with their verdicts to `judged`;
    the summary, and what to warn of. Without `pairs_per_prompt` all couples of a prompt are compared, and its pairs are
    a ranking. `again`: the same judge without a memory, to ask the calibration's sample anew before anything else;
    `warn` is told at once where its verdicts have moved. Raises JudgeError, before anything is asked, for another
    judge's calibration."""
    drift: dict[str, Any] | None = None
    if calibration is not None:
        calibration.require(judge.identity(), "calibration")
        if again is not None and calibration.audit:
            drift = drift_figures(*ask_again(calibration.audit, again), seed=seed)
            if line := drift_warning(drift):
                warn(line)
    labels = label_responses(
        responses,
        judge,
        pairs_per_prompt=pairs_per_prompt,
        couples=couples_of(responses, pairs_per_prompt, seed),
        clip=clip,
        meta=judge.identity(),
        probability=None if calibration is None else calibration.of_compared,
    )
    write_records(out, labels.pairs)
    if judged is not None:
        write_judged(judged, [couple_of(one) for one in labels.compared], judge.identity())
    summary = {"out": str(out), "responses": len(responses), **label_summary(labels, judge)}
    if route is not None:
        open_couples = [one for one in labels.compared if one.failure or not one.agrees]
        write_records(route, [_routed(one) for one in open_couples])
        summary |= {"route": str(route), "routed": len(open_couples)}
    if judged is not None:
        summary["judged"] = str(judged)
    if calibration is not None:
        summary["calibration"] = {"map": calibration.map.name, "sha256": calibration.hash, **calibration.data}
    if drift is not None:
        summary["drift"] = drift
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
