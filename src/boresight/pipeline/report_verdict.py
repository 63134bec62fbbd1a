"""The first screen of the report: passed or failed, every check with its bound, and what the numbers say in a line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from boresight.pipeline.report_parts import Cell
from boresight.pipeline.report_reading import POLICY_KINDS, Json, RunRecord, StageRecord, measures_of
from boresight.pipeline.report_words import (
    Rate,
    count,
    counted,
    data,
    duration,
    listing,
    model_name,
    number,
    percent,
    plain,
    rate,
    sentence,
)

_PLAIN_NUMBERS = ("mean_tokens", "words", "choice_brier", "worse_probes")


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound of the gate: `direction` is min or max."""

    measure: str
    value: float
    direction: str

    def holds(self, value: float) -> bool:
        return value >= self.value if self.direction == "min" else value <= self.value


@dataclass(frozen=True, slots=True)
class Check:
    value: Markup
    passed: bool


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One requirement with what each candidate reached."""

    measure: str
    bound: Markup
    checks: Sequence[Check | None]


@dataclass(frozen=True, slots=True)
class Tile:
    figure: Markup
    words: Cell


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` is passed, failed, open (no gate reached yet) or none (no gate in the pipeline)."""

    state: str
    title: str
    sentences: Sequence[Cell]
    tiles: Sequence[Tile]
    candidates: Sequence[str]
    check_rows: Sequence[CheckRow]
    missing: Sequence[StageRecord]


def build_verdict(run: RunRecord) -> Verdict:
    """The head of the report: whether the gate holds, what was won, and the largest figures."""
    gates = run.finished("gate")
    checks = [check for gate in gates for check in gate.outcome["checks"]]
    failed = [check for check in checks if not check["passed"]]
    state, title = _state(run, gates, len(failed), len(checks))
    judged = {check["candidate"] for check in checks}
    candidates = [stage.name for stage in run.stages if stage.name in judged]
    sentences = [*_fooled(run), *_failures(failed, candidates), *_win_sentences(run), *_change_sentences(run)]
    return Verdict(state, title, sentences, _tiles(run), candidates, _check_rows(checks, candidates), run.unfinished)


def comparisons(run: RunRecord) -> list[StageRecord]:
    """Evaluations of models that preferences made."""
    return [s for s in run.finished("evaluate") if any(run.kind_of(c) in POLICY_KINDS for c in candidate_names(s))]


def candidate_names(evaluation: StageRecord) -> list[str]:
    """Candidates in the order of the pipeline file; in the result's order where the config does not say."""
    known = evaluation.outcome.get("candidates", {})
    named = [name for name in evaluation.config.get("candidates", []) if name in known]
    return named or list(known)


def evaluation_label(run: RunRecord, evaluation: StageRecord) -> Markup:
    """The evaluation's name and a colon where the run has several; otherwise nothing."""
    return Markup("{}: ").format(plain(evaluation.name)) if len(comparisons(run)) > 1 else Markup("")


def judge_words(evaluation: StageRecord) -> Markup:
    """Who gave the verdicts."""
    judge = evaluation.outcome.get("judge", {})
    if judge.get("kind") == "reward_model" and judge.get("model"):
        return Markup("the reward model {}").format(model_name(judge["model"]))
    if judge.get("kind") in ("openai", "local_model"):
        asked = evaluation.outcome.get("judging", {})
        return Markup("{} by the rubric {}").format(plain(asked["judge"]), plain(asked["rubric"]))
    return Markup("the rule judge") if judge.get("kind") == "rules" else Markup("the judge")


def certificate_sets(stage: StageRecord) -> list[tuple[str, Json]]:
    """A reward model's held-out sets, the one split off its own data first."""
    return sorted(stage.outcome["certificate"].items(), key=lambda item: (item[0] != "held_out", item[0]))


def gate_bounds(run: RunRecord) -> list[Bound]:
    """All bounds of the finished gates, each once."""
    checks = [check for gate in run.finished("gate") for check in gate.outcome["checks"]]
    return list(dict.fromkeys(Bound(c["measure"], float(c["bound"]), c["direction"]) for c in checks))


def bound_words(measure: str, direction: str, value: float) -> Markup:
    """A bound of the gate in words, such as "at most 15%"."""
    return Markup("{} {}").format("at least" if direction == "min" else "at most", _bound_text(measure, value))


def measured(measure: str, value: float) -> Markup:
    """A measure's value: percent, unless it is a plain number."""
    return number(value) if measure in _PLAIN_NUMBERS else percent(value)


def _bound_text(measure: str, value: float) -> Markup:
    return number(value) if measure in _PLAIN_NUMBERS else data(value, f"{100 * value:.4g}%")


def _state(run: RunRecord, gates: Sequence[StageRecord], failed: int, total: int) -> tuple[str, str]:
    if not gates:
        if any(stage.kind == "gate" for stage in run.stages):
            return "open", "No verdict yet: the gate has not been reached"
        return "none", "No verdict: this pipeline has no gate"
    if all(gate.outcome["passed"] for gate in gates):
        return "passed", f"Passed: all {total} checks hold"
    return "failed", f"Failed: {failed} of {total} checks {'does' if failed == 1 else 'do'} not hold"


def _failures(failed: Sequence[Json], candidates: Sequence[str]) -> list[Markup]:
    """One sentence for each candidate that misses a bound."""
    sentences = []
    for name in candidates:
        reasons = [
            Markup("{} is {}, {} is required").format(
                plain(check["measure"]),
                measured(check["measure"], check["value"]),
                bound_words(check["measure"], check["direction"], check["bound"]),
            )
            for check in failed
            if check["candidate"] == name
        ]
        if reasons:
            sentences.append(Markup("{} does not hold: {}.").format(model_name(name), Markup("; ").join(reasons)))
    return sentences


def _fooled(run: RunRecord) -> list[Markup]:
    """Answers worth nothing that win: the judge is fooled, or the baseline is worth no more."""
    return [
        Markup("{}{} answers beat those of {} in {} by {}: a win proves little here.").format(
            evaluation_label(run, evaluation),
            name if evaluation_label(run, evaluation) else sentence(name),
            model_name(evaluation.outcome["baseline"]),
            rate(Rate.read(canary, "win_rate")),
            judge_words(evaluation),
        )
        for evaluation in comparisons(run)
        for name, canary in evaluation.outcome.get("canaries", {}).items()
        if canary["beats_baseline"]
    ]


def _win_sentences(run: RunRecord) -> list[Markup]:
    sentences = []
    for evaluation in comparisons(run):
        ranked = sorted(
            ((name, evaluation.outcome["candidates"][name]) for name in candidate_names(evaluation)),
            key=lambda item: -float(item[1]["win_rate"]),
        )
        parts = [
            Markup("{}{} {}").format(model_name(name), " wins" if first else "", rate(Rate.read(result, "win_rate")))
            for first, (name, result) in zip([True, *[False] * len(ranked)], ranked, strict=False)
        ]
        sentences.append(
            Markup("{}{} with {} by {}, ties as halves: {}.").format(
                label := evaluation_label(run, evaluation),
                "compared blind" if label else "Compared blind",
                model_name(evaluation.outcome["baseline"]),
                judge_words(evaluation),
                listing(parts),
            )
        )
    return sentences


def _change_sentences(run: RunRecord) -> list[Markup]:
    """What the gate bounds and the baseline did not meet: from where to where it went."""
    sentences = []
    for evaluation in comparisons(run):
        baseline = evaluation.outcome["baseline"]
        before = measures_of(evaluation, baseline)
        for bound in gate_bounds(run):
            if bound.measure not in before or bound.holds(before[bound.measure]["value"]):
                continue
            after = [
                Markup("{} {}").format(model_name(name), percent(measures[bound.measure]["value"]))
                for name in candidate_names(evaluation)
                if bound.measure in (measures := measures_of(evaluation, name))
            ]
            sentences.append(
                Markup("{}: {} {} before; {} after.").format(
                    sentence(plain(bound.measure)),
                    model_name(baseline),
                    rate(Rate.read(before[bound.measure])),
                    listing(after),
                )
            )
    return sentences


def _tiles(run: RunRecord) -> list[Tile]:
    tiles = []
    for evaluation in comparisons(run):
        results: Mapping[str, Json] = evaluation.outcome["candidates"]
        best = max(candidate_names(evaluation), key=lambda name: float(results[name]["win_rate"]))
        win = Rate.read(results[best], "win_rate")
        words = Markup("{}of {} blind comparisons with {} won by {}, ties as halves").format(
            evaluation_label(run, evaluation),
            count(win.n or 0),
            model_name(evaluation.outcome["baseline"]),
            model_name(best),
        )
        tiles.append(Tile(percent(win.value), words))
    for stage in run.finished("reward_model")[-1:]:
        for name, certificate in certificate_sets(stage):
            words = Markup("of {} pairs ({}) ordered as preferred by {}")
            words = words.format(count(certificate["n"]), plain(name), model_name(stage.name))
            tiles.append(Tile(percent(certificate["accuracy"]), words))
    for stage in run.finished("preferences")[-1:]:
        tiles.append(Tile(count(stage.outcome["kept"]), "preference pairs kept after checking and filtering"))
    seconds = [stage.seconds for stage in run.stages if stage.seconds is not None]
    if seconds:
        words = Markup("of computing in {}").format(counted(len(seconds), "stage"))
        tiles.append(Tile(duration(sum(seconds)), words))
    return tiles


def _check_rows(checks: Sequence[Json], candidates: Sequence[str]) -> list[CheckRow]:
    rows: dict[tuple[str, str, float], dict[str, Check]] = {}
    for check in checks:
        key = (check["measure"], check["direction"], float(check["bound"]))
        value = measured(check["measure"], check["value"])
        rows.setdefault(key, {})[check["candidate"]] = Check(value, bool(check["passed"]))
    return [
        CheckRow(sentence(plain(measure)), bound_words(measure, direction, bound), [row.get(c) for c in candidates])
        for (measure, direction, bound), row in rows.items()
    ]
