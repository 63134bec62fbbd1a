"""What came of a round of AI labels, in figures: nothing that was asked is missing from them."""

from typing import Any

from boresight.feedback.ai_labels import Labels
from boresight.feedback.judge import ToldJudge
from boresight.feedback.judge_bias import judge_bias

LEAST_MASS = 0.5
"""Below it a local judge would rather have written something else than any of the answers that it was asked for."""


def label_summary(labels: Labels, judge: ToldJudge) -> dict[str, Any]:
    """`comparisons` = labelled + ties + verdict_flips + failed; of those labelled, `pairs` were taken."""
    identity = judge.identity()
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
        "cycles": labels.cycles,
        **identity,
        **judge.account(),
        "bias": judge_bias(labels.compared, identity["judge"]),
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
    if summary["answer_mass"] is not None and summary["answer_mass"] < LEAST_MASS:
        found.append(
            f"the judge gives its answers {summary['answer_mass']:.1%} of all probability: it would rather write "
            "something else, so that little can be read from them. Take a model that follows instructions"
        )
    for kind, count in summary["failed_by_reason"].items():
        example = summary["failure_examples"].get(kind, "")
        found.append(f"{count:,} comparisons failed ({kind.replace('_', ' ')}), for instance: {example}")
    return found
