"""`boresight plan --labels`: what preference labels cost and take, by people, by a judge, or by both."""

import json
from collections.abc import Sequence

import typer

from boresight.planning.labelling import LabelCase, LabelPlan, plan_labels
from boresight.tables import table


def answer_labels(case: LabelCase, as_json: bool) -> None:
    """Raises PlanError for what cannot be meant, Exit(1) where no way is open."""
    plans = plan_labels(case)
    best = plans[0] if plans[0].obstacle is None else None
    if as_json:
        rows = [plan._asdict() for plan in plans]
        print(json.dumps({"pairs": case.pairs, "advice": best and best.way, "ways": rows}, ensure_ascii=False))
    else:
        print(_text(case, plans, best))
    if best is None:
        raise typer.Exit(1)


def _text(case: LabelCase, plans: Sequence[LabelPlan], best: LabelPlan | None) -> str:
    rows = [["labels", "couples", "votes", "calls", "cost", "hours", "accuracy kept", "why not"]]
    for plan in plans:
        value, low, high = (100 * share for share in plan.kept)
        kept = f"{value:.0f} % ({low:.0f} to {high:.0f})"
        counts = [f"{count:,}" for count in (plan.couples, plan.votes, plan.calls)]
        rows.append([plan.way, *counts, f"{plan.cost:,.0f}", f"{plan.hours:,.1f}", kept, plan.obstacle or ""])
    advice = "no way is open: raise --budget or --hours" if best is None else f"advised: {best.way}"
    return (
        f"{case.pairs:,} preference pairs: {advice}\n\n{table(rows, right=(1, 2, 3, 4, 5))}\n\n"
        "Accuracy kept: of a reward model, beside one from all-human labels, in a small world with planted faults of\n"
        "the judge (docs/ai_feedback.md). Other judges and people differ: `boresight judge calibrate` measures yours."
    )
