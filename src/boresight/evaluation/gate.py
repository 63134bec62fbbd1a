"""Pass or fail of an evaluation, check by check, with the reason for each."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from boresight.config.sections import Bounds
from boresight.errors import ConfigError

_PLAIN_NUMBERS = ("mean_tokens", "stop_rate")  # numbers of a model that are no measures of a rule


def decide(
    evaluation: Mapping[str, Any],
    *,
    min_win_rate: float,
    min_lower_bound: float,
    measures: Mapping[str, Bounds],
    candidates: Sequence[str] | None = None,
    no_worse_probes: bool = False,
) -> dict[str, Any]:
    """Hold the candidates of an evaluate result (all by default) against bounds; a bound itself still passes.

    Returns {passed, checks: [{candidate, measure, value, bound, direction, passed, reason}]}; measure is `win_rate`,
    `win_rate_lower_bound` (low end of its ci95), a name of `measures`, or `worse_probes`, how many probe measures are
    shown to be worse than the baseline's; direction is "min" or "max".
    Raises ConfigError, with all faults at once, for unknown candidates and measures and for bounds that bound nothing.
    """
    chosen = list(evaluation["candidates"]) if candidates is None else list(candidates)
    problems = _faults(evaluation, measures, chosen)
    if problems:
        raise ConfigError(problems)
    checks: list[dict[str, Any]] = []
    for name in chosen:
        comparison = evaluation["candidates"][name]
        checks.append(_check(name, "win_rate", comparison["win_rate"], min_win_rate, "min"))
        checks.append(_check(name, "win_rate_lower_bound", comparison["ci95"][0], min_lower_bound, "min"))
        for measure, bounds in measures.items():
            value = _values(evaluation, name)[measure]
            if bounds.min is not None:
                checks.append(_check(name, measure, value, bounds.min, "min"))
            if bounds.max is not None:
                checks.append(_check(name, measure, value, bounds.max, "max"))
        if no_worse_probes:
            worse = evaluation["probes"][name]["regressions"]
            check = _check(name, "worse_probes", len(worse), 0, "max")
            checks.append(check | ({"reason": f"{check['reason']} ({', '.join(worse)})"} if worse else {}))
    return {"passed": all(check["passed"] for check in checks), "checks": checks}


def _check(candidate: str, measure: str, value: float, bound: float, direction: str) -> dict[str, Any]:
    passed = value >= bound if direction == "min" else value <= bound  # NaN passes neither
    relation = "at least" if direction == "min" else "at most"
    found, required = _apart(value, bound)
    return {
        "candidate": candidate,
        "measure": measure,
        "value": value,
        "bound": bound,
        "direction": direction,
        "passed": bool(passed),
        "reason": f"{candidate}: {measure} is {found}, required is {relation} {required}",
    }


def _apart(value: float, bound: float) -> tuple[str, str]:
    """Both in four digits, or in as many as tell them apart: 0.49998 is not "0.5, required is at least 0.5"."""
    digits = next((n for n in range(4, 17) if f"{value:.{n}g}" != f"{bound:.{n}g}"), 4)
    return f"{value:.{digits}g}", f"{bound:.{digits}g}"


def _values(evaluation: Mapping[str, Any], name: str) -> dict[str, float]:
    """Measures of a candidate: those of the rules, of its length, and of its probes, where a group has none."""
    model, probes = evaluation["models"][name], (evaluation.get("probes") or {}).get(name, {})
    values = {b["measure"]: b["candidate"] for b in probes.get("measures", ()) if not b["group"]}
    values |= {measure: rate["value"] for measure, rate in model["measures"].items()}
    return values | {measure: model[measure] for measure in _PLAIN_NUMBERS if measure in model}


def _faults(evaluation: Mapping[str, Any], measures: Mapping[str, Bounds], chosen: Sequence[str]) -> list[str]:
    known = evaluation["candidates"]
    problems = [] if chosen else ["gate: candidates: the list is empty; name at least one candidate or leave it out"]
    problems += [f"gate: candidates: unknown candidate {n!r}; {_nearest(n, known)}" for n in chosen if n not in known]
    for measure, bounds in measures.items():
        if bounds.min is None and bounds.max is None:
            problems.append(f"gate: measures.{measure}: neither min nor max; give at least one of them")
        for name in (name for name in chosen if name in known):
            values = _values(evaluation, name)
            if measure not in values:
                problems.append(f"gate: measures.{measure}: no such measure of {name!r}; {_nearest(measure, values)}")
    return problems


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f'did you mean "{close[0]}"?' if close else f"known are: {', '.join(names) or 'none'}"
