"""What came of a round of AI labels, in figures: nothing that was asked is missing from them."""

from typing import Any

from boresight.feedback.ai_labels import Labels
from boresight.feedback.judge_bias import judge_bias
from boresight.feedback.rubric_judge import RubricJudge


def label_summary(labels: Labels, judge: RubricJudge) -> dict[str, Any]:
    """`comparisons` = labelled + ties + verdict_flips + failed; of those labelled, `pairs` were taken."""
    ledger = judge.client.ledger
    failed = sum(labels.failed.values())
    return {
        "prompts": labels.prompts,
        "comparisons": len(labels.compared),
        "labelled": len(labels.compared) - labels.ties - labels.verdict_flips - failed,
        "pairs": len(labels.pairs),
        "ties": labels.ties,
        "verdict_flips": labels.verdict_flips,
        "failed": failed,
        "failed_by_reason": dict(sorted(labels.failed.items())),
        "failure_examples": dict(sorted(judge.examples.items())),
        "unreadable_replies": judge.unreadable_replies,
        **judge.identity(),
        "base_url": judge.client.endpoint.base_url,
        "bias": judge_bias(labels.compared, judge.client.endpoint.model),
        "cost": {
            "asked": ledger.asked,
            "known_before": ledger.known,
            "prompt_tokens": ledger.prompt_tokens,
            "completion_tokens": ledger.completion_tokens,
            "replies_with_estimated_tokens": ledger.estimated_counts,
            "usd": judge.client.cost(),
        },
    }


def summary_warnings(summary: dict[str, Any]) -> list[str]:
    """What a person should know before these labels train anything."""
    found = []
    bias = summary["bias"]
    for name, what in (
        ("position", "the response shown first"),
        ("length", "the longer response"),
        ("self_preference", "responses of its own family"),
    ):
        effect = bias[name]
        if effect is not None and (effect["effect_ci95"][0] > 0.1 or effect["effect_ci95"][1] < -0.1):
            low, high = effect["ci95"]
            how = "preferred" if effect["effect"] > 0 else "was against"
            found.append(f"the judge {how} {what}: {effect['rate']:.1%} of verdicts ({low:.1%} to {high:.1%})")
    if bias["self_preference"] is not None:
        found.append("judge and some of the models share a family: judges tend to prefer their own kind")
    for kind, count in summary["failed_by_reason"].items():
        example = summary["failure_examples"].get(kind, "")
        found.append(f"{count:,} comparisons failed ({kind.replace('_', ' ')}), for instance: {example}")
    return found
