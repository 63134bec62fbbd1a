"""The figures of two runs side by side, and what was set or read differently. Every difference is the second run's
figure minus the first's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from boresight.evaluation.probe_comparison import paired_rate_interval
from boresight.pipeline.report_examples import read_outcomes
from boresight.pipeline.report_parts import Cell, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_verdict import candidate_names, certificate_sets
from boresight.pipeline.report_words import Rate, data, duration, number, plain, rate
from boresight.stats.intervals import Interval

NOTHING = Markup("–")
SHORT_HASH = 12
MANY_ROWS = 20

Couple = tuple[StageRecord, StageRecord]


def couples(first: RunRecord, second: RunRecord, *kinds: str) -> list[Couple]:
    """Finished stages of these kinds that both runs have under one name."""
    others = {stage.name: stage for stage in second.finished(*kinds)}
    return [(stage, others[stage.name]) for stage in first.finished(*kinds) if stage.name in others]


def win_rates(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """Win rates of candidates that both runs judged, with the difference on the prompts that they share."""
    rows: list[list[Cell]] = []
    for one, other in couples(first, second, "evaluate"):
        for name in candidate_names(one):
            theirs = other.outcome["candidates"].get(name)
            if theirs is None:
                continue
            ours = one.outcome["candidates"][name]
            paired = paired_difference(one, other, name)
            change = points(theirs["win_rate"] - ours["win_rate"], paired)
            against = one.outcome["baseline"]
            label = f"{one.name}: {name} against {against}"
            rows.append([label, rate(Rate.read(ours, "win_rate")), rate(Rate.read(theirs, "win_rate")), change])
    return Table(["Win rate", *names, "Difference, points"], rows) if rows else None


def paired_difference(one: StageRecord, other: StageRecord, candidate: str) -> Interval | None:
    """Difference of the candidate's verdicts prompt by prompt; None where the runs were not asked the same."""
    if _hashes(one, "prompts") != _hashes(other, "prompts"):
        return None
    sides = [
        {prompt: outcome.verdict for (prompt, name), outcome in read_outcomes(s.rows("comparisons.jsonl")).items()
         if name == candidate}
        for s in (one, other)
    ]  # fmt: skip
    shared = [prompt for prompt in sides[0] if prompt in sides[1]]
    if len(shared) < 2 or len(shared) < max(map(len, sides)):
        return None
    return paired_rate_interval(np.array([sides[1][prompt] - sides[0][prompt] for prompt in shared]))


def measures(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """Rates of the rules' measures, model by model."""
    rows: list[list[Cell]] = []
    for one, other in couples(first, second, "evaluate"):
        for model, block in one.outcome["models"].items():
            theirs = other.outcome["models"].get(model, {}).get("measures", {})
            for name, ours in block["measures"].items():
                if name in theirs:
                    change = points(theirs[name]["value"] - ours["value"], None)
                    rows.append(
                        [
                            f"{one.name}: {model}, {plain(name)}",
                            rate(Rate.read(ours)),
                            rate(Rate.read(theirs[name])),
                            change,
                        ]
                    )
    folded = f"All {len(rows)} measures" if len(rows) > MANY_ROWS else ""
    return Table(["Measure", *names, "Difference, points"], rows, summary=folded) if rows else None


def reward_models(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """Certificates of reward models on the sets that both have."""
    rows: list[list[Cell]] = []
    for one, other in couples(first, second, "reward_model"):
        theirs = dict(certificate_sets(other))
        for set_name, ours in certificate_sets(one):
            if set_name in theirs:
                label, their = f"{one.name} ({plain(set_name)})", theirs[set_name]
                change = points(their["accuracy"] - ours["accuracy"], None)
                accuracies = [rate(Rate.read(ours, "accuracy")), rate(Rate.read(their, "accuracy"))]
                rows.append([f"{label}: accuracy", *accuracies, change])
                for key in ("ece", "nll"):
                    values = [number(ours[key]), number(their[key]), _signed(their[key] - ours[key])]
                    rows.append([f"{label}: {key.upper()}", *values])
    return Table(["Reward model", *names, "Difference"], rows) if rows else None


def last_values(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """The last logged value of every metric that both runs have of a training stage, and the stage's time."""
    rows: list[list[Cell]] = []
    for one, other in couples(first, second):
        for name in one.metrics.names:
            ours, theirs = one.metrics.last(name), other.metrics.last(name)
            if ours is not None and theirs is not None and not name.startswith(("time/", "throughput/", "memory/")):
                rows.append([f"{one.name}: {name}", number(ours), number(theirs), _signed(theirs - ours)])
        if one.seconds and other.seconds:
            change = _signed(other.seconds / one.seconds - 1, percent=True)
            rows.append([f"{one.name}: time", duration(one.seconds), duration(other.seconds), change])
    return Table(["Last value", *names, "Difference"], rows, summary="Last values of all metrics") if rows else None


def settings(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """Every setting that is not the same, and stages that one run alone has."""
    rows: list[list[Cell]] = []
    if first.seed != second.seed:
        rows.append(["run.seed", str(first.seed), str(second.seed)])
    sides = [{stage.name: stage for stage in run.stages} for run in (first, second)]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        stages = [side.get(name) for side in sides]
        if None in stages:
            rows.append([f"stages.{name}", *(NOTHING if s is None else s.kind for s in stages)])
            continue
        flat = [_flat(stage.config, f"stages.{name}") for stage in stages if stage]
        for key in dict.fromkeys([*flat[0], *flat[1]]):
            values = [side.get(key) for side in flat]
            if values[0] != values[1]:
                rows.append([key, *(NOTHING if value is None else _shown(value) for value in values)])
    return Table(["Setting", *names], rows) if rows else None


def inputs(first: RunRecord, second: RunRecord, names: Sequence[str]) -> Table | None:
    """Data files with other content, and libraries of another version."""
    rows: list[list[Cell]] = []
    versions: dict[str, list[Any]] = {}
    for one, other in couples(first, second):
        fields = [stage.manifest.get("inputs", {}) for stage in (one, other)]
        for field in dict.fromkeys([*fields[0], *fields[1]]):
            hashes = [_hashes(stage, field) for stage in (one, other)]
            if hashes[0] != hashes[1]:
                rows.append([f"{one.name}: {field}", *(_hash_cell(found) for found in hashes)])
        found = [stage.manifest.get("versions", {}) for stage in (one, other)]
        for library in dict.fromkeys([*found[0], *found[1]]):
            both = [str(side.get(library, "")) for side in found]
            if both[0] != both[1]:
                versions.setdefault(library, both)
    rows += [[f"version of {library}", *both] for library, both in versions.items()]
    return Table(["Input", *names], rows) if rows else None


def points(difference: float, interval: Interval | None) -> Markup:
    """A difference of rates in percentage points, with its interval where the prompts are the same."""
    shown = data(difference, _sign(f"{100 * difference:+.1f}"))
    if interval is None:
        return shown
    ends = f"{100 * interval.low:+.1f} to {100 * interval.high:+.1f}, n = {interval.n:,}"
    return Markup('{} <span class="ci">({})</span>').format(shown, _sign(ends))


def _signed(value: float, *, percent: bool = False) -> Markup:
    return data(value, _sign(f"{100 * value:+.0f}%" if percent else f"{value:+.3g}"))


def _sign(text: str) -> str:
    return text.replace("-", "−")


def _flat(config: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Dotted keys and values; lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}.{key}") if isinstance(value, Mapping) else {f"{prefix}.{key}": value}
    return flat


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _hashes(stage: StageRecord, field: str) -> list[tuple[str, str]]:
    sources: Sequence[Json] = stage.manifest.get("inputs", {}).get(field, [])
    return [(str(s.get("stage") or s.get("path")).rsplit("/", 1)[-1], str(s["sha256"])) for s in sources]


def _hash_cell(found: Sequence[tuple[str, str]]) -> Cell:
    if not found:
        return NOTHING
    return Markup("<br>").join(Markup("{} <code>{}</code>").format(name, sha[:SHORT_HASH]) for name, sha in found)
