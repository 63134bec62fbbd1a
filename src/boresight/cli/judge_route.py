"""`boresight judge route`: which of the judged couples people should see, for so many votes."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.cli.judge_calibrate import JuryMethod

Judged = Annotated[
    list[Path], typer.Argument(metavar="JUDGED...", help="Judged couples (`judge label --judged`), a file a judge.")
]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", metavar="FILE", help="What `judge calibrate --out` wrote.")
]


def route(
    judged: Judged,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Couples for people go here.")],
    plan: Annotated[Path, typer.Option("--plan", metavar="FILE", help="Why each was chosen: `judge merge` needs it.")],
    budget: Annotated[int | None, typer.Option("--budget", min=1, metavar="N", help="Votes that people give.")] = None,
    share: Annotated[
        float | None, typer.Option("--share", min=0.0, max=1.0, help="The same, as a share of all couples.")
    ] = None,
    calibration: CalibrationFile = None,
    human: Annotated[
        list[Path] | None,
        typer.Option("--human", metavar="FILE", help="What people labelled already; not asked again."),
    ] = None,
    audit: Annotated[
        float, typer.Option("--audit", min=0.0, max=1.0, help="Part drawn by chance; 1: evenly from all, to calibrate.")
    ] = 0.3,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.0, max=1.0, help="Part of the others spread over kinds.")
    ] = 0.2,
    jury: JuryMethod = "mean",
    seed: Annotated[int, typer.Option("--seed", help="Of what chance decides.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Choose the couples that people should see, where only so many votes can be paid for.

    A part is an audit, drawn by chance from the judge's labels, which keeps the estimate of its errors honest; a part
    covers every kind of prompt; the rest goes where a vote tells most: orders, judges or reward models disagree, no
    verdict, or a calibrated probability near one half. A reward model's verdicts are a JUDGED file like any other.
    People add `"ranks": [1, 2]` to a row (1 the better one, equal ranks a tie), or label it in any form of preference
    pairs.

    \b
    Example:
      boresight judge route judged.jsonl --calibration calibration.json --budget 300 --out ask.jsonl --plan plan.json
      boresight judge merge judged.jsonl --calibration calibration.json --human answers.jsonl --plan plan.json
          --out pairs.jsonl
    """
    from boresight.data.jsonl import write_records
    from boresight.feedback.human_votes import read_human_votes
    from boresight.feedback.judged_sets import read_verdicts
    from boresight.feedback.routing import Shares, ask_rows, plan_route, save_plan

    if (budget is None) == (share is None):
        raise typer.BadParameter("give the votes as --budget N or as --share of all couples", param_hint="--budget")
    verdicts, source = read_verdicts(judged, calibration, jury)
    votes = budget if budget is not None else int((share or 0.0) * len(verdicts.couples))
    people = read_human_votes(human) if human else None
    made = plan_route(verdicts, budget=votes, people=people, shares=Shares(audit, coverage), seed=seed, source=source)
    write_records(out, ask_rows(made, verdicts.couples, seed))
    save_plan(made, plan)
    summary = {"out": str(out), "plan": str(plan), "couples": made.couples, "routed": len(made.routed),
               "reasons": made.counts(), "audited_from": made.audited_from, **source}  # fmt: skip
    if as_json:
        print(json.dumps(summary, ensure_ascii=False))
        return
    reasons = ", ".join(f"{reason.replace('_', ' ')} {count:,}" for reason, count in made.counts().items())
    print(f"{out}: {len(made.routed):,} of {made.couples:,} couples for people ({reasons})")
