"""A diagnosis as text for people and as the object of the contract."""

import json
import math
import textwrap
from typing import Any

from boresight.diagnosis.diagnose import Diagnosis
from boresight.diagnosis.over_optimisation import Fit, fit_curve, told
from boresight.diagnosis.readers.folders import Log
from boresight.diagnosis.responses import Behaviour, Sample, by_kind
from boresight.diagnosis.signals import RL_METHODS, Evidence, LoggedRun
from boresight.tables import NARROWEST, line_width

WIDTH = 100
"""Longest line; on a narrower terminal its width."""
LONGEST_QUOTED = 240
"""Characters of a response that the text shows; the object has all of them."""

GRAVITY = ("failing", "warning", "unclear", "healthy")
"""Verdicts, the worst first."""

MOST_SHOWN = 4
"""Pieces of evidence that the text shows of a finding; the object has all."""


def as_object(log: Log, diagnosis: Diagnosis) -> dict[str, Any]:
    """The keys of the contract, and beside them file, explanation, unknown names and what the reader remarked."""
    run = log.run
    return {
        "file": log.name,
        "method": run.method,
        "framework": run.framework,
        "steps": run.steps,
        "verdict": diagnosis.verdict,
        "explanation": diagnosis.explanation,
        "findings": [
            {
                "id": finding.id,
                "severity": finding.severity,
                "cause": finding.cause,
                "evidence": [_evidence(one) for one in finding.evidence],
                "action": finding.action,
                "reference": finding.reference,
                **({"examples": [_example(sample) for sample in finding.examples]} if finding.examples else {}),
            }
            for finding in diagnosis.findings
        ],
        "over_optimisation": {what: _fit(fit) for what, fit in curves(run).items()},
        "by_kind": [behaviour._asdict() for behaviour in by_kind(run.samples)],
        "signals_missing": list(diagnosis.signals_missing),
        "signals_unknown": dict(run.unknown),
        "remarks": list(run.remarks),
    }


def as_text(log: Log, diagnosis: Diagnosis) -> str:
    """Verdict, findings with their evidence and what to do, and what could not be looked at."""
    run = log.run
    lines = [
        f"{log.name}",
        f"  {diagnosis.verdict.upper()} · {run.method}, logged by {run.framework}, {run.steps:,} steps "
        f"({_step(run.first_step)} to {_step(run.last_step)})",
    ]
    for finding in diagnosis.findings:
        lines += ["", f"  {finding.severity}: {finding.id}", *_wrapped(finding.cause)]
        lines += [f"      {_seen(one)}" for one in finding.evidence[:MOST_SHOWN]]
        for sample in finding.examples:
            lines += _wrapped(_quoted(sample), "      ")
        lines += [*_wrapped(f"Do: {finding.action}"), *_wrapped(f"Source: {finding.reference}")]
    if diagnosis.explanation:
        lines += ["", "  KL, reward, entropy and clip fraction together", *_wrapped(diagnosis.explanation)]
    kinds = by_kind(run.samples)
    if kinds:
        lines += ["", "  By kind of prompt, first third of its kept responses to last third"]
        lines += [line for behaviour in kinds for line in _wrapped(_behaviour(behaviour))]
    if fits := curves(run):
        lines += ["", f"  {CURVE_TITLE}", *(line for what, fit in fits.items() for line in _wrapped(told(fit, what)))]
    if diagnosis.signals_missing:
        lines += ["", *_wrapped(f"Not logged, so not looked at: {', '.join(diagnosis.signals_missing)}", "  ")]
    for name, why in run.unknown.items():
        lines += _wrapped(f"Unit unknown, not used: {name} ({why})", "  ")
    for remark in run.remarks:
        lines += _wrapped(f"Reading: {remark}", "  ")
    return "\n".join(lines)


CURVE_TITLE = "Over-optimisation (Gao et al. 2022): reward against the square root of KL"


def curves(run: LoggedRun) -> dict[str, Fit]:
    """The fits of the scores that the run logs in units of a response."""
    if run.method not in RL_METHODS:
        return {}
    wanted = {"The reward": "reward/score", "The canary": "reward/canary_score"}
    kl = run.get("policy/kl_to_reference")
    found = {what: fit_curve(run.get(name), kl) for what, name in wanted.items()}
    return {what: fit for what, fit in found.items() if fit is not None}


def _fit(fit: Fit) -> dict[str, float | None]:
    return {name: None if value is None else _number(value) for name, value in fit._asdict().items()}


def worst(diagnoses: list[Diagnosis]) -> int:
    """Place of the gravest diagnosis, the first of several."""
    return min(range(len(diagnoses)), key=lambda place: (GRAVITY.index(diagnoses[place].verdict), place))


def _example(sample: Sample) -> dict[str, Any]:
    return sample._asdict() | {"score": None if sample.score is None else _number(sample.score)}


def _quoted(sample: Sample) -> str:
    """A response on one line, with what it was paid."""
    text = json.dumps(sample.response[:LONGEST_QUOTED], ensure_ascii=False)
    more = " …" if len(sample.response) > LONGEST_QUOTED else ""
    kind = f", {sample.kind}" if sample.kind else ""
    paid = "" if sample.score is None else f", score {sample.score:.3g}"
    return f"step {sample.step:,}, {sample.prompt or 'prompt unknown'}{kind}{paid}: {text}{more}"


def _behaviour(one: Behaviour) -> str:
    parts = [
        f"{word} {pair[0]:{form}} → {pair[1]:{form}}"
        for word, pair, form in (
            ("score", one.score, ".3g"), ("tokens", one.tokens, ".0f"), ("ended", one.stop_share, ".0%"),
            ("repeated", one.repetition, ".0%"),
        )
        if pair[0] is not None and pair[1] is not None
    ]  # fmt: skip
    if one.reward_accuracy[0] is not None and one.reward_accuracy[1] is not None:
        first, last = one.reward_accuracy
        parts.append(f"reward orders as the prompts' rules do {first:.0%} → {last:.0%}")
    parts += [f"{name.replace('_', ' ')} {first:.0%} → {last:.0%}" for name, (first, last) in one.measures.items()]
    if one.opening:
        parts.append(f'begin with "{one.opening}" {one.opening_share[0]:.0%} → {one.opening_share[1]:.0%}')
    return f"{one.kind} ({one.samples:,}): {', '.join(parts)}"


def _evidence(one: Evidence) -> dict[str, Any]:
    return {
        "signal": one.signal,
        "from": _number(one.start),
        "to": _number(one.end),
        "step_from": _number(one.step_from),
        "step_to": _number(one.step_to),
    }


def _number(value: float) -> float | int | None:
    """Whole steps as whole numbers; what is no number as null, since JSON has no NaN."""
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _seen(one: Evidence) -> str:
    return f"{one.signal}: {one.start:.4g} → {one.end:.4g} (step {_step(one.step_from)} to {_step(one.step_to)})"


def _step(value: float) -> str:
    number = _number(value)
    return "?" if number is None else f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    width = min(WIDTH, max(line_width() or WIDTH, NARROWEST))
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
