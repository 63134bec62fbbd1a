"""The stages that decide: blind comparison in both orders, and the gate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boresight.config.sections import EvaluateStage, GateStage
from boresight.data.jsonl import write_records
from boresight.errors import JudgeError
from boresight.evaluation.badge import gate_badge
from boresight.evaluation.gate import decide
from boresight.evaluation.measures import MeasuredResponse, model_summary
from boresight.evaluation.probe_answers import read_answers, write_answers
from boresight.evaluation.probe_comparison import compare_probes
from boresight.evaluation.probe_models import answer_probes
from boresight.evaluation.probe_sets import joined, own_probes, read_probes
from boresight.evaluation.win_rate import compare, compare_all
from boresight.feedback.judge import Answer, Comparison, Judge, Verdict
from boresight.feedback.rule_judge import hits
from boresight.pipeline.answers import answer_prompts, fitting_prompts, limited
from boresight.pipeline.context import StageContext
from boresight.pipeline.inputs import RESPONSES, read_stage_prompts
from boresight.pipeline.judge_roles import build_judge, judged_by
from boresight.pipeline.regulated_gate import regulated_checks
from boresight.records import Prompt, Response
from boresight.stats.intervals import wilson_clustered
from boresight.storage import read_json, write_text
from boresight.training.rollout import response_text

Result = dict[str, Any]
COMPARISONS, UNJUDGED = "comparisons.jsonl", "unjudged.jsonl"
BADGE = "badge.svg"
CANARY_PROMPTS = 50
PROBE_ANSWERS = "probe_answers"


def evaluate(context: StageContext, config: EvaluateStage) -> Result:
    """The stage `evaluate`: candidates against the baseline, blind and in both orders."""
    models = list(dict.fromkeys([config.baseline, *config.candidates]))
    read = fitting_prompts(context, config, models, read_stage_prompts(context))
    prompts = limited(read.records, config.limit, context.seed)
    answers: dict[str, list[Response]] = {}
    for model in models:
        requests = [(f"{prompt.id}/{model}", prompt, config.temperature) for prompt in prompts]
        answers[model] = answer_prompts(context, config, model, requests)
    judge = build_judge(context, config.judge)
    judged = {
        candidate: compare_in_both_orders(candidate, answers[candidate], answers[config.baseline], judge)
        for candidate in config.candidates
    }
    rows = [row for found in judged.values() for row in with_verdicts(context, found)]
    write_records(context.folder / RESPONSES, [_response_row(i, p, answers) for i, p in enumerate(prompts)])
    write_records(context.folder / COMPARISONS, rows)
    if failed := [row for found in judged.values() for row in found if row.get("failure")]:
        write_records(context.folder / UNJUDGED, failed)
    return {
        "prompts": len(prompts),
        "read": read.read,
        "dropped": read.dropped,
        "temperature": config.temperature,
        "judge": config.judge.model_dump(),
        "baseline": config.baseline,
        "models": {model: model_summary([_measured(r) for r in given]) for model, given in answers.items()},
        "candidates": compare_all(rows, seed=context.seed),
        "position": position_effect(rows),
        "canaries": judge_canaries(answers[config.baseline], judge, context.seed),
        **unjudged(judged),
        **judged_by(judge),
        **compared_by_probes(context, config, models),
    }


def compared_by_probes(context: StageContext, config: EvaluateStage, models: Sequence[str]) -> Result:
    """{probes: {candidate: comparison with the baseline}} where the stage asks any; answers survive a kill."""
    sets = {"the shipped set": own_probes()} if config.own_probes else {}
    files = context.pipeline.file_inputs(context.name).get("probe_sets", [])
    asked = joined(sets | {str(path): read_probes(path) for path in files})
    if not asked:
        return {}
    given = {}
    for model in models:
        file = context.folder / PROBE_ANSWERS / f"{model}.jsonl"
        if not file.exists():
            answers, _ = answer_probes(
                Path(context.model_path(model)),
                asked,
                as_text=response_text,
                max_new_tokens=config.max_new_tokens,
                batch_size=config.batch_size,
                template=context.chat_template(model),
            )
            write_answers(file, answers)
        given[model] = read_answers(str(file), asked)
    return {
        "probes": {
            candidate: compare_probes(asked, given[candidate], given[config.baseline], seed=context.seed)
            for candidate in config.candidates
        }
    }


def judge_canaries(baseline: Sequence[Response], judge: Judge, seed: int) -> Result:
    """What the judge makes of answers that are worth nothing, against the baseline's: {empty, constant}.

    The constant answer is what the baseline said to one prompt, given to all others. A sound judge prefers neither to
    answers that are worth something; `beats_baseline` where it does so by more than chance, so that either the judge is
    fooled or the baseline is worth no more, and a win proves little. At most CANARY_PROMPTS prompts are judged.
    """
    asked = limited(baseline, CANARY_PROMPTS + 1, seed)
    found = {}
    for name, text, judged in (("empty", "", asked[1:]), ("constant", asked[0].text, asked[1:])):
        if len(judged) >= 2:
            worthless = [replace(response, text=text, stopped=True) for response in judged]
            rows = [row for row in compare_in_both_orders(name, worthless, judged, judge) if not row.get("failure")]
            if len(rows) < 4:
                continue
            figures = compare(rows, seed=seed)
            kept = {key: figures[key] for key in ("n", "win_rate", "ci95", "wins", "losses", "ties")}
            found[name] = {**kept, "beats_baseline": figures["ci95"][0] > 0.5}
    return found


def compare_in_both_orders(
    candidate: str, answers: Sequence[Response], baseline_answers: Sequence[Response], judge: Judge
) -> list[dict[str, Any]]:
    """Rows of comparisons.jsonl (and unjudged.jsonl), two a prompt; `verdict` is the candidate's: 1 it won, 0 it lost,
    0.5 a tie. A soft verdict counts by the side that it takes, and stands beside it as `p_candidate`. Where the judge
    gave no verdict in one of the orders, both rows have a `failure` and no verdict."""
    comparisons = [
        Comparison(a.prompt, Answer(a.text, a.stopped), Answer(b.text, b.stopped))
        for a, b in zip(answers, baseline_answers, strict=True)
    ]
    verdicts = judge.compare([*comparisons, *(comparison.swapped() for comparison in comparisons)])
    given, swapped = verdicts[: len(comparisons)], verdicts[len(comparisons) :]
    failures = [first.failure or second.failure for first, second in zip(given, swapped, strict=True)]
    return [
        _row(candidate, order, comparison.prompt, verdict, failure)
        for order, verdicts in (("candidate_first", given), ("baseline_first", swapped))
        for comparison, verdict, failure in zip(comparisons, verdicts, failures, strict=True)
    ]


def _row(candidate: str, order: str, prompt: Prompt, verdict: Verdict, failure: str) -> dict[str, Any]:
    first = order == "candidate_first"
    scores = (verdict.first_score, verdict.second_score)
    p_candidate = verdict.value if first else 1.0 - verdict.value
    soft = {} if failure or p_candidate in (0.0, 0.5, 1.0) else {"p_candidate": p_candidate}
    return {
        "prompt_id": prompt.id,
        "kind": prompt.kind,
        "candidate": candidate,
        "order": order,
        "verdict": None if failure else (p_candidate > 0.5) + 0.5 * (p_candidate == 0.5),
        "score_candidate": scores[0] if first else scores[1],
        "score_baseline": scores[1] if first else scores[0],
        **soft,
        **({"failure": failure} if failure else {}),
    }


def with_verdicts(context: StageContext, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of a candidate that have a verdict. Raises JudgeError where fewer than two prompts have."""
    kept = [row for row in rows if not row.get("failure")]
    if len(kept) < 4:
        reasons = dict(sorted(Counter(str(row["failure"]) for row in rows if row.get("failure")).items()))
        raise JudgeError(
            f"stage {context.name}: the judge gave a verdict in both orders on {len(kept) // 2} of {len(rows) // 2} "
            f"prompts (rows without one: {reasons}); expected at least 2. Replies so far are kept; take another judge "
            "or rubric, or more prompts."
        )
    return kept


def unjudged(judged: Mapping[str, Sequence[Mapping[str, Any]]]) -> Result:
    """{unjudged: {candidate: {why: prompts}}} where the judge gave no verdict in one of the orders."""
    found = {
        candidate: dict(
            sorted(Counter(str(row["failure"]) for row in rows[: len(rows) // 2] if row.get("failure")).items())
        )
        for candidate, rows in judged.items()
    }
    return {"unjudged": found} if any(found.values()) else {}


def position_effect(rows: Sequence[Mapping[str, Any]]) -> Result:
    """How often the response shown first won over both orders, ties as halves: {rate, ci95, effect, n}, an effect of
    2 rate - 1. The place is confounded with nothing, because each couple is seen in both orders."""
    first = [row["verdict"] if row["order"] == "candidate_first" else 1.0 - row["verdict"] for row in rows]
    found = wilson_clustered(first, [row["prompt_id"] for row in rows])
    return {"rate": found.value, "ci95": [found.low, found.high], "effect": 2 * found.value - 1, "n": len(rows)}


def gate(context: StageContext, config: GateStage) -> Result:
    """The decision, which is the stage's result.json, with a badge beside it."""
    decision = decide(
        read_json(context.stage_file(config.of, "result.json")),
        min_win_rate=config.min_win_rate,
        min_lower_bound=config.min_lower_bound,
        measures=config.measures,
        candidates=config.candidates,
        no_worse_probes=config.no_worse_probes,
    )
    if context.pipeline.sections.run.regulated:
        names = list(dict.fromkeys(check["candidate"] for check in decision["checks"]))
        checks = decision["checks"] + regulated_checks(context, config.of, names)
        decision = {"passed": all(check["passed"] for check in checks), "checks": checks}
    write_text(context.folder / BADGE, gate_badge(decision, context.name))
    return decision


def _measured(response: Response) -> MeasuredResponse:
    found = hits(response.prompt, response.text, response.stopped) if response.prompt.expect else {}
    return MeasuredResponse(kind=response.prompt.kind, hits=found, tokens=response.tokens, stopped=response.stopped)


def _response_row(index: int, prompt: Prompt, answers: Mapping[str, Sequence[Response]]) -> dict[str, Any]:
    return {
        "prompt_id": prompt.id,
        "kind": prompt.kind,
        "prompt": [{"role": m.role, "content": m.content} for m in prompt.messages],
        "responses": {
            model: {"text": given[index].text, "stopped": given[index].stopped, "tokens": given[index].tokens}
            for model, given in answers.items()
        },
    }
