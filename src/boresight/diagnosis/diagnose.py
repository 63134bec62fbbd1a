"""A run's findings and the verdict they come to; "unclear" where the evidence allows no verdict."""

from typing import NamedTuple

import numpy as np

from boresight.diagnosis.four_signals import explain
from boresight.diagnosis.responses import examples_of
from boresight.diagnosis.rules.hacking import monitors
from boresight.diagnosis.rules.movement import LIKELY, SURE, rose
from boresight.diagnosis.rules.responses import RESPONSE_RULES
from boresight.diagnosis.rules.rule import SEVERITIES, Finding, Rule, evidence
from boresight.diagnosis.rules.table import RULES
from boresight.diagnosis.signals import PAIR_METHODS, RL_METHODS, TEXT_METHODS, LoggedRun, Series
from boresight.stats.trends import trend

SHORTEST = 8
"""Rows below which no run is called healthy."""

FEW_OTHER_ROWS = 0.2
"""Share of rows in other starts up to which one start is taken for the run."""

UNDECIDED = "nothing improves beyond chance, and nothing is plainly wrong"

FINE = ("dpo_both_falling_ok",)
"""Findings that answer a question people ask about a healthy run: told before "healthy"."""


class Diagnosis(NamedTuple):
    """The verdict (healthy, warning, failing, unclear), its findings, the cause first, and what was missing.

    `explanation` takes the four signals of a policy gradient together; empty for other methods.
    """

    verdict: str
    findings: tuple[Finding, ...]
    signals_missing: tuple[str, ...]
    explanation: str


def diagnose(run: LoggedRun) -> Diagnosis:
    """Apply every rule of the method to a run."""
    rules = [rule for rule in RULES if rule.applies(run)]
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest there are: NaN compares as not so
        return _judged(run, findings_of(run), rules)


def findings_of(run: LoggedRun) -> list[Finding]:
    """What the rules over logged numbers and those over responses find, a finding for each id, not yet in order."""
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest there are: NaN compares as not so
        found = {rule.id: finding for rule in RULES if rule.applies(run) and (finding := rule.check(run)) is not None}
    found = {name: finding._replace(examples=examples_of(name, run.samples)) for name, finding in found.items()}
    for rule in RESPONSE_RULES if run.method in RL_METHODS else ():
        seen = rule.check(run.samples)
        if seen is not None:
            found[rule.id] = _joined(found[rule.id], seen) if rule.id in found else seen
    return list(found.values())


def _joined(logged: Finding, seen: Finding) -> Finding:
    """One fault found in the numbers and in the responses: the graver one tells it, with the evidence of both."""
    graver = min(logged, seen, key=lambda finding: SEVERITIES.index(finding.severity))
    other = seen if graver is logged else logged
    return graver._replace(
        cause=f"{graver.cause} {other.cause}",
        evidence=(*graver.evidence, *other.evidence),
        examples=seen.examples or logged.examples,
    )


def _judged(run: LoggedRun, found: list[Finding], rules: list[Rule]) -> Diagnosis:
    """The findings in order, and the verdict that the gravest of them is."""
    found.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    missing = tuple(dict.fromkeys(name for rule in rules for name in rule.missing(run)))
    alarms = [finding for finding in found if finding.severity != "note"]
    notes = [finding for finding in found if finding.severity == "note"]
    verdict = "failing" if any(f.severity == "error" for f in alarms) else "warning" if alarms else ""
    if verdict:
        findings = (*alarms, *notes)
    else:
        summary = _summary(run)
        verdict = summary.id
        told = [finding for finding in notes if finding.id in FINE and verdict == "healthy"]
        findings = (*told, summary, *(finding for finding in notes if finding not in told))
    return Diagnosis(verdict, findings, missing, explain(run, findings))


def _summary(run: LoggedRun) -> Finding:
    """No alarm: either the run does what it should, or there is too little to say so."""
    doubt = _doubt(run)
    sign = _improvement(run)
    if doubt is None and sign is not None:
        what, series = sign
        return Finding(
            "healthy",
            "note",
            f"{what}; no rule finds anything wrong.",
            evidence(*series),
            "Nothing. Judge samples before you trust a reward.",
            "docs/doctor.md",
        )
    return Finding(
        "unclear",
        "note",
        f"Not enough evidence: {doubt or UNDECIDED}.",
        evidence(*_shown(run)),
        "Log more steps, and the signals listed as missing; then ask again.",
        "docs/doctor.md",
    )


def _doubt(run: LoggedRun) -> str | None:
    """Why no verdict is given although no rule fires."""
    others = monitors(run)
    if not run.signals:
        return "no name in this log is one whose meaning is known"
    if run.other_rows > FEW_OTHER_ROWS * run.rows:
        return f"the log holds {run.starts} starts, and {run.other_rows} of {run.rows} rows are of another run"
    if run.method == "unknown":
        return "the names do not tell which method ran"
    few = SHORTEST if run.method in (*RL_METHODS, *PAIR_METHODS, *TEXT_METHODS) else 2
    if run.steps < few and not (run.method == "dpo" and run.get("eval/chosen") is not None and run.steps >= 2):
        return f"{run.steps} logged steps, too few for a trend"
    if others and not any(rose(series, LIKELY) for series in others):
        return f"{others[0].source}, which is not trained on, does not rise with the reward"
    return None


def _improvement(run: LoggedRun) -> tuple[str, tuple[Series | None, ...]] | None:
    """What has got better, beyond chance."""
    if run.method in RL_METHODS:
        return _reward_gain(run)
    loss = run.get("loss/total")
    held = run.first_of("eval/accuracy", "reward/accuracy")
    if run.method == "rm" and held is not None and held.evidence().end >= 0.55:
        return f"{held.evidence().end:.1%} of the pairs are ordered rightly", (held, loss)
    if run.method in PAIR_METHODS:
        margin = run.first_of("reward/margin", "reward/chosen", "eval/margin", "eval/chosen")
        if rose(run.get("reward/margin"), LIKELY) or rose(run.get("eval/margin"), LIKELY):
            return "the margin widens", (margin, loss, held)
        if _pulled_apart(run):
            return "chosen and rejected responses move apart", (run.get("eval/chosen"), run.get("eval/rejected"))
    if loss is not None and trend(loss.finite().values).z < -SURE:
        return "the loss falls", (loss, run.get("eval/loss"))
    return None


def _reward_gain(run: LoggedRun) -> tuple[str, tuple[Series | None, ...]] | None:
    """A reward that rises; a gain that is small beside its level needs a second signal to be believed."""
    reward, outside = run.get("reward/score"), run.first_of("reward/validation", "eval/accuracy", "eval/win_rate")
    if rose(outside):
        return "the score on held-out prompts rises", (outside, reward)
    if reward is None or not rose(reward, LIKELY):
        return None
    gain = reward.late - reward.early
    alone = not any(name.startswith("policy/") for name in run.signals)
    if alone and gain < 0.1 * abs(reward.early):
        return None
    return f"the reward rises from {reward.early:.3g} to {reward.late:.3g}", (reward, outside)


def _pulled_apart(run: LoggedRun) -> bool:
    chosen, rejected = run.get("eval/chosen"), run.get("eval/rejected")
    if chosen is None or rejected is None or len(chosen) < 2 or len(rejected) < 2:
        return False
    return float(chosen.values[-1] - rejected.values[-1]) > float(chosen.values[0] - rejected.values[0])


def _shown(run: LoggedRun) -> tuple[Series | None, ...]:
    names = ("reward/score", "loss/total", "reward/margin", "eval/accuracy", "loss/policy")
    return tuple(series for name in names if (series := run.get(name)) is not None)[:3]
