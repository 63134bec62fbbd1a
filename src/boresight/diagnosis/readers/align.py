"""From raw columns to a run of known signals: names translated, units settled, restarts merged."""

import numpy as np

from boresight.diagnosis.readers.columns import Column, RawLog
from boresight.diagnosis.readers.identify import framework_of, method_of
from boresight.diagnosis.readers.names import STEP_NAMES, Name, preference, reason_unknown, tidy, translate
from boresight.diagnosis.readers.starts import Timeline, timeline
from boresight.diagnosis.signals import COMPONENT, LoggedRun, Numbers, Series

LOSSES = ("loss/total", "loss/policy")
LOST_STEPS = 3
"""Steps without a loss at the end of a log from which on they are no summary of the run, which has none."""


def align(raw: RawLog, *, framework: str = "", method: str = "") -> LoggedRun:
    """The signals of a log, by step. Framework and method are those given, or told by the names."""
    framework = framework or framework_of(raw.columns, raw.hint)
    method = method or method_of(raw.columns)
    line = timeline(raw)
    unknown = {raw_name: why for raw_name in raw.columns if (why := reason_unknown(raw_name, framework))}
    signals = _signals(raw, framework, line)
    lost = _settle_losses(signals, raw, line)
    unknown |= _settle_kl(signals, framework)
    percent = _settle_accuracies(signals)
    _settle_rest(signals, line)
    steps = np.unique(np.concatenate([series.steps for series in signals.values()])) if signals else np.array([])
    return LoggedRun(
        method=method, framework=framework, signals=signals, rows=raw.rows, steps=len(steps),
        first_step=float(steps[0]) if len(steps) else 0.0, last_step=float(steps[-1]) if len(steps) else 0.0,
        numbered=line.numbered,
        starts=line.starts, other_rows=line.other_rows, unknown=unknown,
        remarks=(*raw.remarks, *_remarks(line), *lost, *percent),
    )  # fmt: skip


def _signals(raw: RawLog, framework: str, line: Timeline) -> dict[str, Series]:
    """Each signal from the best of the names that mean it; a second reward becomes a score beside the first."""
    wanted: dict[str, tuple[int, str, Name]] = {}
    spare: dict[str, str] = {}
    for place, raw_name in enumerate(raw.columns):
        name = translate(raw_name, framework)
        if name is None:
            continue
        rank = preference(raw_name) * 100_000 + place
        taken = wanted.get(name.signal)
        loser = raw_name if taken is not None and taken[0] <= rank else taken[1] if taken else None
        if taken is None or rank < taken[0]:
            wanted[name.signal] = (rank, raw_name, name)
        if loser and name.signal == "reward/score":
            spare[COMPONENT + tidy(loser)] = loser
    found = {
        signal: _series(raw.columns[raw_name], name, raw_name, line) for signal, (_, raw_name, name) in wanted.items()
    }
    for signal, raw_name in spare.items():
        found.setdefault(signal, _series(raw.columns[raw_name], Name(signal), raw_name, line))
    return {signal: series for signal, series in found.items() if len(series)}


def _series(column: Column, name: Name, raw_name: str, line: Timeline) -> Series:
    rows = column.rows.astype(int)
    kept = line.kept[rows]
    values: Numbers = column.values[kept]
    if name.convert is not None:
        values = name.convert(values)
    return Series(name.signal, line.steps[rows][kept], values, raw_name)


def _settle_losses(signals: dict[str, Series], raw: RawLog, line: Timeline) -> list[str]:
    """A loss that was a number in each of its rows and is null from some step to the end was NaN there, for which JSON
    has no word; null before that may be a row that measured something else. Which were, in words."""
    remarks = []
    for name in LOSSES:
        if (series := signals.get(name)) is None:
            continue
        empty = raw.columns[series.source].empty.astype(int)
        lost = np.unique(line.steps[empty][line.kept[empty]])
        if len(lost) < LOST_STEPS or lost[0] <= series.steps[-1]:
            continue
        steps, values = np.append(series.steps, lost), np.append(series.values, np.full(len(lost), np.nan))
        signals[name] = Series(name, steps, values, series.source)
        remarks.append(
            f"{series.source} is null from step {lost[0]:g} to the end of the log, and a number in each row before: "
            "read as NaN, for which JSON has no word"
        )
    return remarks


def _settle_kl(signals: dict[str, Series], framework: str) -> dict[str, str]:
    """A KL of unknown unit stays apart and is named; one of known unit makes it needless."""
    doubtful = signals.get("policy/kl_unknown_unit")
    if doubtful is None:
        return {}
    if "policy/kl_per_token" in signals or "policy/kl_to_reference" in signals:
        del signals["policy/kl_unknown_unit"]
        return {}
    return {doubtful.source: f"{framework}: summed over the response or averaged over tokens, the log does not tell"}


def _settle_accuracies(signals: dict[str, Series]) -> list[str]:
    """An accuracy above 1 can only be one in percent; which were, in words."""
    remarks = []
    for name in ("reward/accuracy", "eval/accuracy"):
        series = signals.get(name)
        if series is not None and (series.values > 1.5).any():
            signals[name] = Series(name, series.steps, series.values / 100, series.source)
            remarks.append(f"{series.source} goes above 1 and is read as percent")
    return remarks


def _settle_rest(signals: dict[str, Series], line: Timeline) -> None:
    """What follows from other signals: no stop token counted is a stop rate of 0; progress from the planned steps."""
    counted = signals.get("rollout/stop_count")
    if counted is not None and "rollout/stop_rate" not in signals and len(counted) > 2 and not counted.values.any():
        signals["rollout/stop_rate"] = Series("rollout/stop_rate", counted.steps, counted.values, counted.source)
    if "run/progress" not in signals and line.total and signals:
        last = max(float(series.steps[-1]) for series in signals.values())
        signals["run/progress"] = Series(
            "run/progress", np.array([last]), np.array([last / line.total]), "step of the planned steps"
        )
    margin = signals.get("reward/margin")
    chosen, rejected = signals.get("reward/chosen"), signals.get("reward/rejected")
    if margin is None and chosen and rejected and np.array_equal(chosen.steps, rejected.steps):
        signals["reward/margin"] = Series(
            "reward/margin", chosen.steps, chosen.values - rejected.values, f"{chosen.source} - {rejected.source}"
        )


def _remarks(line: Timeline) -> list[str]:
    remarks = []
    if line.starts > 1:
        remarks.append(
            f"the log holds {line.starts} starts; the longest is diagnosed, {line.other_rows} rows of others are not"
        )
    if line.replaced:
        remarks.append(
            f"steps go back where the run was resumed; {line.replaced} rows were written again and count once"
        )
    if not line.numbered:
        remarks.append(f"the log has no steps ({', '.join(STEP_NAMES[:2])}); rows are counted instead")
    return remarks
