"""The `ai_labels` stage with people beside the judge: who is asked what, waiting for the answers, and merging them."""

from pathlib import Path
from typing import Any

from boresight.config.sections import AILabelsStage
from boresight.data.jsonl import write_records
from boresight.errors import PausedError
from boresight.feedback.human_votes import HumanVotes, read_human_votes
from boresight.feedback.judged_couples import JudgedCouple
from boresight.feedback.jury import Verdicts
from boresight.feedback.merge import Merged, MergeSettings, merge_labels
from boresight.feedback.routing import Plan, Shares, ask_rows, plan_route, save_plan
from boresight.pipeline.artifacts import IDENTITY
from boresight.pipeline.context import StageContext

ASK_PEOPLE, PLAN = "ask_people", "routing_plan.json"


def merge_with_people(context: StageContext, config: AILabelsStage, verdicts: Verdicts, clip: float) -> Merged:
    """The judge's labels and those of people; the plan lies in the stage's folder.

    Raises PausedError while people have not answered what the plan asks, with the questions in `ask_people/` of the
    run."""
    people = _answers(context)
    budget = int(config.human_share * len(verdicts.couples))
    plan = None
    if budget:
        plan = plan_route(verdicts, budget=budget, shares=Shares(audit=config.audit_share), seed=context.seed)
        _wait(context, plan, verdicts.couples, people)
        save_plan(plan, context.folder / PLAN)
    return merge_labels(verdicts, people, plan, MergeSettings(clip=clip))


def _answers(context: StageContext) -> HumanVotes:
    there = [path for path in _files(context) if path.exists()]
    return read_human_votes(there) if there else HumanVotes()


def _files(context: StageContext) -> list[Path]:
    return context.pipeline.late_files(context.name).get("human_labels", [])


def _wait(context: StageContext, plan: Plan, couples: Any, people: HumanVotes) -> None:
    by_id: dict[str, JudgedCouple] = {couple.id: couple for couple in couples}
    open_ids = {one.id for one in plan.routed if people.of(by_id[one.id]) is None}
    asked = context.runs.root / ASK_PEOPLE / f"{context.name}.jsonl"
    if not open_ids:
        asked.unlink(missing_ok=True)
        return
    write_records(asked, [row for row in ask_rows(plan, couples, context.seed) if row["id"] in open_ids])
    # The answers are part of what the stage is built from: with them it begins anew, so that what lies here would be
    # taken for that of other inputs. What the judge said is kept beside the stages.
    (context.folder / IDENTITY).unlink(missing_ok=True)
    places = " or ".join(map(str, _files(context)))
    raise PausedError(
        f"stage {context.name} waits for people: {len(open_ids):,} of {len(plan.routed):,} couples are unanswered. "
        f'They lie in {asked}. Label them (boresight label import), or add "ranks" to each row (1 the better response, '
        f"equal ranks for a tie), and put the answers into {places}, any form of preference pairs. The same command "
        "then goes on from here."
    )
