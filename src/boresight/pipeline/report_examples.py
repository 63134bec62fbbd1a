"""Held-out prompts with the responses of every model side by side, chosen by rule and not by eye."""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from boresight.pipeline.report_parts import SharedResponse, SideBySide, Voice, model_series
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_verdict import candidate_names
from boresight.pipeline.report_words import count, model_name, number, plain

OPENING_KINDS = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What both orders said about a candidate's response to one prompt; scores where the judge gives any."""

    verdict: float
    score_candidate: float | None
    score_baseline: float | None

    @property
    def gain(self) -> float:
        """By how much the candidate was better: by score, or by verdict (-0.5..0.5) where there is none."""
        if self.score_candidate is None or self.score_baseline is None:
            return self.verdict - 0.5
        return self.score_candidate - self.score_baseline

    @property
    def word(self) -> str:
        return "won" if self.verdict > 0.5 else "lost" if self.verdict < 0.5 else "tied"


Outcomes = dict[tuple[str, str], Outcome]
"""By prompt id and candidate."""


def chosen_examples(run: RunRecord, evaluation: StageRecord) -> list[SideBySide]:
    """One prompt of each kind drawn by the run's seed, then each candidate's largest gain and largest loss.

    A prompt is shown once; a candidate that gained (or lost) nowhere has no such example.
    """
    rows = evaluation.rows("responses.jsonl")
    outcomes = read_outcomes(evaluation.rows("comparisons.jsonl"))
    examples: dict[str, SideBySide] = {}
    for row in drawn_by_kind(rows, f"{run.seed}/{evaluation.name}"):
        examples[row["prompt_id"]] = _side_by_side(run, evaluation, row, outcomes, "Drawn at random from its kind")
    for name in candidate_names(evaluation):
        for sign, word in ((1, "gain"), (-1, "loss")):
            equals = _extremes(rows, outcomes, name, sign, shown=examples)
            if equals:
                row = random.Random(f"{run.seed}/{evaluation.name}/{name}/{word}").choice(equals)
                gain = number(abs(outcomes[row["prompt_id"], name].gain))
                many = Markup(", drawn from {} alike").format(count(len(equals))) if len(equals) > 1 else ""
                why = Markup("Largest {} of {}: {}{}").format(word, model_name(name), gain, many)
                examples[row["prompt_id"]] = _side_by_side(run, evaluation, row, outcomes, why)
    return list(examples.values())


def opening_examples(run: RunRecord, evaluation: StageRecord) -> list[SideBySide]:
    """A few prompts drawn by the run's seed, one a kind."""
    rows = drawn_by_kind(evaluation.rows("responses.jsonl"), f"{run.seed}/{evaluation.name}/opening")
    outcomes = read_outcomes(evaluation.rows("comparisons.jsonl"))
    return [_side_by_side(run, evaluation, row, outcomes, "") for row in rows[:OPENING_KINDS]]


def drawn_by_kind(rows: Iterable[Json], seed: str) -> list[Json]:
    """One row of each kind, largest kinds first; the same for the same seed whatever the order of the rows."""
    by_kind: dict[str, list[Json]] = defaultdict(list)
    for row in sorted(rows, key=_id):
        by_kind[row["kind"]].append(row)
    kinds = sorted(by_kind, key=lambda kind: (-len(by_kind[kind]), kind))
    return [random.Random(f"{seed}/{kind}").choice(by_kind[kind]) for kind in kinds]


def read_outcomes(rows: Iterable[Json]) -> Outcomes:
    """Both orders of a comparison joined into one."""
    orders: dict[tuple[str, str], list[Json]] = defaultdict(list)
    for row in rows:
        orders[row["prompt_id"], row["candidate"]].append(row)
    return {
        key: Outcome(
            fmean(row["verdict"] for row in both), _mean(both, "score_candidate"), _mean(both, "score_baseline")
        )
        for key, both in orders.items()
    }


def _mean(rows: Sequence[Json], field: str) -> float | None:
    values = [row[field] for row in rows if row.get(field) is not None]
    return fmean(values) if values else None


def _extremes(
    rows: Sequence[Json], outcomes: Outcomes, candidate: str, sign: int, *, shown: Iterable[str]
) -> list[Json]:
    """The rows not yet shown on which the candidate gained (sign 1) or lost (sign -1) most: several where alike."""
    hidden = set(shown)
    gains = {
        row["prompt_id"]: sign * outcomes[row["prompt_id"], candidate].gain
        for row in rows
        if row["prompt_id"] not in hidden and (row["prompt_id"], candidate) in outcomes
    }
    most = max(gains.values(), default=0.0)
    if most <= 0:
        return []
    return [row for row in sorted(rows, key=_id) if gains.get(row["prompt_id"]) == most]


def _id(row: Json) -> str:
    return str(row["prompt_id"])


def _side_by_side(
    run: RunRecord, evaluation: StageRecord, row: Json, outcomes: Outcomes, why: Markup | str
) -> SideBySide:
    baseline, candidates = evaluation.outcome["baseline"], candidate_names(evaluation)
    series, prompt_id = model_series(run), row["prompt_id"]
    voices: dict[tuple[str, bool, int], list[Voice]] = {}
    for name in [baseline, *candidates]:
        response = row["responses"].get(name)
        if response is None:
            continue
        key = (response["text"], bool(response["stopped"]), int(response["tokens"]))
        voices.setdefault(key, []).append(
            _voice(name, name == baseline, series.get(name, 0), outcomes, row, candidates)
        )
    responses = [
        SharedResponse(given_by, text, stopped, tokens) for (text, stopped, tokens), given_by in voices.items()
    ]
    return SideBySide(prompt_id, plain(row["kind"]), row["prompt"], responses, why)


def _voice(
    name: str, is_baseline: bool, series: int, outcomes: Outcomes, row: Json, candidates: Sequence[str]
) -> Voice:
    outcome = outcomes.get((row["prompt_id"], candidates[0] if is_baseline else name))
    if is_baseline:
        return Voice(name, series, "baseline", outcome.score_baseline if outcome else None)
    return Voice(name, series, outcome.word if outcome else "not judged", outcome.score_candidate if outcome else None)
