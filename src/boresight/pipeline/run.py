"""Runs a pipeline: stages in order, finished ones skipped, interrupted ones resumed."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from boresight.config.pipeline import Pipeline
from boresight.config.several_processes import SHARED_KINDS
from boresight.data.refusals import RowsAside
from boresight.errors import ConfigError
from boresight.models.loading import default_device
from boresight.models.precision import arithmetic
from boresight.pipeline import data_stages, evaluation_stages, policy_stages, training_stages
from boresight.pipeline.anew import Anew
from boresight.pipeline.artifacts import RunFolder, remove_half_written
from boresight.pipeline.context import RemoteRoles, StageContext, identify
from boresight.pipeline.out_of_memory import memory_told
from boresight.pipeline.stage_usage import StageUsage, expected
from boresight.pipeline.tracking import followed
from boresight.runlog.writer import MetricsWriter
from boresight.storage import held_alone, read_json, write_json, write_text
from boresight.trackers.feed import refuse_missing
from boresight.training.processes import ALONE, Processes

STAGES: dict[str, Callable[[StageContext, Any], dict[str, Any]]] = {
    "pretrain": training_stages.pretrain,
    "sft": training_stages.sft,
    "sample": data_stages.sample,
    "ai_labels": data_stages.ai_labels,
    "preferences": data_stages.preferences,
    "reward_model": training_stages.reward_model,
    "ppo": policy_stages.ppo,
    "rloo": policy_stages.rloo,
    "dpo": training_stages.dpo,
    "orpo": training_stages.orpo,
    "simpo": training_stages.simpo,
    "kto": training_stages.kto,
    "evaluate": evaluation_stages.evaluate,
    "gate": evaluation_stages.gate,
}
LEFT_OUT = "left_out.jsonl"
"""Rows of a stage's files that were left out, each with its file, its line and the reason."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: stages built now and found built, and whether every gate holds."""

    folder: Path
    built: tuple[str, ...]
    reused: tuple[str, ...]
    gates: dict[str, bool]

    @property
    def passed(self) -> bool:
        return all(self.gates.values())


def run_pipeline(
    pipeline: Pipeline,
    out: Path,
    *,
    only: str | None = None,
    start: str | None = None,
    begun: Path | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
    processes: Processes = ALONE,
    remote: RemoteRoles | None = None,
) -> Outcome:
    """Build every stage that is not built already, in `out`.

    `only`: this stage alone; what it needs must be built. `start`: this stage and all that rest on it are built anew.
    `begun`: a file that keeps how far that has come, so that a later call with the same file goes on with it.
    Of several `processes` this is the first; the others `follow_run` meanwhile. Roles of policy stages may be `remote`.
    Raises ConfigError for an unknown stage name or where `only` lacks an input, StorageError where another process is
    at work in `out`.
    """
    refuse_missing(pipeline.sections.run.report_to)
    prepare_torch(pipeline)
    runs = RunFolder(out)
    names = _chosen(pipeline, runs, only)
    anew = Anew(_resting_on(pipeline, start) if start is not None else set(), begun)
    if only is not None and start is not None and only not in _resting_on(pipeline, start):
        raise ConfigError(
            f"--only {only}: does not rest on {start} (--from), so nothing would be built anew. Leave one out."
        )
    if only is not None:
        _tell_older_inputs(pipeline, runs, only, say)
    with held_alone(out):
        remove_half_written(out.glob(".*"))
        write_text(out / "pipeline.yaml", pipeline.to_yaml())
        built, reused = [], []
        for number, name in enumerate(names, 1):
            say_stage = partial(_say_stage, say, f"[{number}/{len(names)}] {name} ({pipeline.stages[name].kind})")
            anew.begin(name, runs)
            if build_stage(name, pipeline, runs, anew=name in anew, say=say_stage, processes=processes, remote=remote):
                built.append(name)
                anew.done(name)
            else:
                reused.append(name)
            write_summary(pipeline, runs)
        processes.agreed(None)  # there is nothing more to follow
    gates = {
        name: bool(read_json(runs.stage(name) / "result.json")["passed"])
        for name in names
        if pipeline.stages[name].kind == "gate"
    }
    return Outcome(out, tuple(built), tuple(reused), gates)


def follow_run(pipeline: Pipeline, out: Path, processes: Processes, remote: RemoteRoles | None = None) -> None:
    """What every process but the first does: take its share of the stages that all build together, and write nothing.

    `out` must be the same folder for all.
    """
    prepare_torch(pipeline)
    runs = RunFolder(out)
    while (identity := processes.agreed(None)) is not None:
        config = pipeline.stages[identity.stage]
        with RowsAside() as aside, arithmetic(pipeline.sections.model.dtype, default_device()):
            context = StageContext(
                identity.stage, config, pipeline, runs, identity, runs.partial(identity.stage), aside,
                processes=processes.for_stage(), remote=remote,
            )  # fmt: skip
            STAGES[config.kind](context, config)


def build_stage(
    name: str,
    pipeline: Pipeline,
    runs: RunFolder,
    *,
    anew: bool,
    say: Callable[[str], None],
    processes: Processes = ALONE,
    remote: RemoteRoles | None = None,
) -> bool:
    """Build one stage; False where an equal artifact stands already, unless it is to be built `anew`."""
    identity = identify(name, pipeline, runs)
    if not anew:
        if runs.built_key(name) == identity.key:
            say("already built")
            return False
        if runs.complete(name, identity.key):
            say("already built, only to be put in its place")
            return False
        if runs.restore(name, identity.key):
            say("already built, taken back from superseded/")
            return False
    resumed = runs.partial(name).exists()
    folder = runs.open(identity)
    say("resuming" if resumed else "building")
    started = time.perf_counter()
    config = pipeline.stages[name]
    sharing = ALONE
    if config.kind in SHARED_KINDS and processes.count > 1:
        processes.agreed(identity)
        sharing = processes.for_stage()
    usage = StageUsage()
    with (
        memory_told(pipeline, name),
        followed(pipeline, identity, runs, say) as feed,
        RowsAside() as aside,
        arithmetic(pipeline.sections.model.dtype, default_device()),
    ):
        context = StageContext(name, config, pipeline, runs, identity, folder, aside, say, sharing, feed, remote)
        result = STAGES[config.kind](context, config) | _save_aside(aside, folder)
        taken = usage.metrics(folder) | expected(context)
    finished = runs.finish(identity, result)
    seconds = time.perf_counter() - started
    MetricsWriter(finished).append(0, {"time/stage_seconds": seconds} | taken, split="stage")
    say(f"done in {seconds:.0f} s")
    return True


def _save_aside(aside: RowsAside, folder: Path) -> dict[str, Any]:
    """Write the rows that were left out of the stage's files beside its result; what the result says of them."""
    aside.save(folder / LEFT_OUT)
    return {"left_out": {"file": LEFT_OUT, "rows": aside.count}} if aside.count else {}


def prepare_torch(pipeline: Pipeline) -> None:
    """Equal runs give equal bits: deterministic kernels, and the number of threads that the pipeline names."""
    if pipeline.sections.run.threads:
        torch.set_num_threads(pipeline.sections.run.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory with NaN finds faults of kernels, at 4 % of the time; no result depends on it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property


def write_summary(pipeline: Pipeline, runs: RunFolder) -> None:
    """run.json: the stages in order, with the key of each one's finished artifact (null where there is none)."""
    stages = [
        {"name": name, "kind": stage.kind, "key": runs.built_key(name)} for name, stage in pipeline.stages.items()
    ]
    summary = {"name": pipeline.name, "seed": pipeline.seed, "stages": stages}
    if pipeline.sections.run.cost_per_hour is not None:
        summary["cost_per_hour"] = pipeline.sections.run.cost_per_hour
    if pipeline.quick:
        summary["quick"] = True
    write_json(runs.root / "run.json", summary)


def _say_stage(say: Callable[[str], None], title: str, text: str) -> None:
    say(f"{title}: {text}")


def _chosen(pipeline: Pipeline, runs: RunFolder, only: str | None) -> Sequence[str]:
    if only is None:
        return list(pipeline.stages)
    require_stage(pipeline, only, "--only")
    missing = [name for name in pipeline.stage_inputs(only) if runs.built_key(name) is None]
    if missing:
        raise ConfigError(
            f"--only {only}: it needs {', '.join(missing)}, which {runs.root} does not hold. Run the pipeline without "
            "--only, or build these first."
        )
    return [only]


def _tell_older_inputs(pipeline: Pipeline, runs: RunFolder, only: str, say: Callable[[str], None]) -> None:
    """A stage that is built alone takes its inputs as they stand, also where the pipeline has changed since."""
    older = [
        name
        for name in pipeline.ancestors(only)
        if (built := runs.built_key(name)) is not None
        and None not in map(runs.built_key, pipeline.stage_inputs(name))
        and built != identify(name, pipeline, runs).key
    ]
    if older:
        say(
            f"warning: --only {only}: it rests on {', '.join(older)}, built with other settings or inputs than the "
            "pipeline has now. Without --only the run builds anew what has changed."
        )


def _resting_on(pipeline: Pipeline, start: str) -> set[str]:
    require_stage(pipeline, start, "--from")
    return {name for name in pipeline.stages if name == start or start in pipeline.ancestors(name)}


def require_stage(pipeline: Pipeline, name: str, option: str) -> None:
    """ConfigError where the pipeline has no stage of that name."""
    if name not in pipeline.stages:
        raise ConfigError(
            f"{option} {name}: no such stage; the stages are {', '.join(pipeline.stages)}. Name one of these."
        )
