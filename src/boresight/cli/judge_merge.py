"""`boresight judge merge`: a judge's labels and people's votes as one preference set."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from boresight.cli.judge_calibrate import JuryMethod
from boresight.cli.judge_route import CalibrationFile, Judged
from boresight.data.wording import counted


def merge(
    judged: Judged,
    human: Annotated[list[Path], typer.Option("--human", metavar="FILE", help="What people said, any form of pairs.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the preference pairs go.")],
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="What `judge route` planned: its audit is the estimate."),
    ] = None,
    calibration: CalibrationFile = None,
    clip: Annotated[float, typer.Option("--clip", min=0.0, max=0.49, help="No judge is surer than 1 - clip.")] = 0.05,
    human_error: Annotated[
        float, typer.Option("--human-error", min=0.0, max=0.49, help="Assumed share of votes that are wrong.")
    ] = 0.0,
    human_weight: Annotated[float, typer.Option("--human-weight", min=0.0, help="Of a pair by people.")] = 1.0,
    ai_weight: Annotated[float, typer.Option("--ai-weight", min=0.0, help="Of a pair by the judge.")] = 1.0,
    jury: JuryMethod = "mean",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """One preference set from both: where people voted, their votes are the label.

    Pairs carry `source`, `p_chosen` (the share of the votes, or the calibrated probability) and, where the weights
    differ, `meta.weight` (stages take it with pair_weights: true). Told are the share of human labels and, from the
    audit of the plan, how often the judge's labels are wrong, with intervals.

    \b
    Example:
      boresight judge merge judged.jsonl --calibration calibration.json --human answers.jsonl --plan plan.json
          --out pairs.jsonl
    """
    from boresight.data.jsonl import write_records
    from boresight.feedback.human_votes import read_human_votes
    from boresight.feedback.judged_sets import read_verdicts
    from boresight.feedback.merge import MergeSettings, merge_labels
    from boresight.feedback.routing import load_plan, require_source

    verdicts, source = read_verdicts(judged, calibration, jury)
    settings = MergeSettings(clip, human_error, human_weight, ai_weight)
    made = load_plan(plan) if plan else None
    if made is not None:
        require_source(made, source, str(plan))
    merged = merge_labels(verdicts, read_human_votes(human), made, settings)
    write_records(out, merged.pairs)
    report = {"out": str(out), **merged.report, **source}
    print(json.dumps(report, ensure_ascii=False) if as_json else merge_text(report))


def merge_text(report: dict[str, Any]) -> str:
    """What the set is made of, and how often the labels of the judge are wrong."""
    share = "" if report["human_share"] is None else f" ({100 * report['human_share']:.1f} %)"
    made_of = f"{report['human']:,} by people{share}, {report['ai']:,} by the judge, of {report['couples']:,} couples"
    lines = [f"{report['out']}: {counted(report['pairs'], 'pair')}, {made_of}"]
    if report["left_out"]:
        left = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in report["left_out"].items())
        lines.append(f"  left out: {left}")
    lines.append(f"  people overruled the judge on {report['people_overruled_the_judge']:,} couples")
    for key, words in (("ai_label_error", "wrong among the judge's labels"), ("judge_error", "wrong among all it gave"),
                       ("label_error", "wrong in the whole set, people taken as right")):  # fmt: skip
        if (found := report[key]) is not None:
            low, high = found["ci95"]
            lines.append(
                f"  {words}: {100 * found['value']:.1f} % ({100 * low:.1f} to {100 * high:.1f}), "
                f"{found['audited']:,} of {found['of']:,} known"
            )
    if report["audit_unanswered"]:
        lines.append(
            f"  {report['audit_unanswered']:,} couples of the audit are unanswered, and taken for like the others"
        )
    return "\n".join(lines)
