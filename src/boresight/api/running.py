"""`run` and `train`: build the stages of a pipeline, or one model, and hand back the run."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from boresight.api.checking import look
from boresight.api.faults import public
from boresight.api.pipelines import Overrides, PipelineLike, load_pipeline
from boresight.api.runs import Run, folder_of_model
from boresight.config.pipeline import RESOLVED, Pipeline
from boresight.config.references import BASE_MODEL
from boresight.config.sections import STAGE_CLASSES
from boresight.errors import ConfigError
from boresight.pipeline.check_findings import RefusedError
from boresight.pipeline.report import write_report
from boresight.pipeline.run import Outcome, run_pipeline
from boresight.pipeline.run_summary import Summary
from boresight.training.processes import ALONE, Processes

STARTS = ("start", "policy", "reference")
"""Fields that name the model which a stage begins from, or is held to."""


def default_folder(name: str, quick: bool) -> Path:
    """A smoke test has a folder of its own: it never stands in the way of the real run."""
    return Path("runs") / (f"{name}-quick" if quick else name)


@public
def run(
    pipeline: PipelineLike,
    *,
    out: str | Path | None = None,
    only: str | None = None,
    start: str | None = None,
    overrides: Overrides = (),
    quick: bool = False,
    check_first: bool = True,
    processes: Processes = ALONE,
    build: Callable[..., Outcome] | None = None,
    shared_by: int | None = None,
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr),
) -> Run:
    """Build the stages of a pipeline that are not built, write the report, and hand back the run.

    `out`: folder of the run, by default runs/NAME. `only`: this stage alone; what it needs must be built. `start`: this
    stage and all that rest on it anew. Interrupted at any moment, the same call goes on and ends with the same bits.
    `say` is told each stage as it begins and ends; progress of long work goes to stderr. PyTorch is set to
    deterministic kernels, and to `run.threads` threads where that is given, for the whole process. Of several
    `processes` this is the first. `build` makes the stages in place of this process, by `shared_by` processes together.

    Raises RefusedError where the check finds an error (`check_first=False` runs all the same), ConfigError where `out`
    is a file or holds a pipeline file that no run wrote, and the error of a stage that stops. A gate that does not hold
    raises nothing: `run.passed` tells.
    """
    loaded = load_pipeline(pipeline, overrides=overrides, quick=quick)
    folder = default_folder(loaded.name, loaded.quick) if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder}: is a file; expected a folder for the run. Choose another name.")
    _spare_own_files(folder)
    if check_first:
        _check_first(loaded, only, shared_by or processes.count, say)
    build = build or partial(run_pipeline, processes=processes)
    outcome = build(loaded, folder, only=only, start=start, say=say)
    touched = {name: stage.kind for name, stage in loaded.stages.items() if name in outcome.built + outcome.reused}
    summary = Summary(folder=folder, name=loaded.name, kinds=touched, built=outcome.built, gates=outcome.gates)
    return Run(summary, write_report(folder))


@public
def train(
    kind: str,
    *,
    out: str | Path,
    model: "str | Path | Run | None" = None,
    dtype: str = "float32",
    chat_template: str = "tokenizer",
    seed: int = 0,
    check_first: bool = True,
    **settings: Any,
) -> Run:
    """Train one model: a run of a single stage of that kind, which is named as the kind is.

    `model` is where it begins: a model folder, the folder of a stage, a hub name, or a run of one model; it is also the
    reference of dpo and kto. `settings` are those of the stage (docs/settings.md), such as `data`, `epochs`, `beta`.

        demo = bs.train("sft", model="models/base", data="demonstrations.jsonl", epochs=3, out="runs/demo")
        best = bs.train("dpo", model=demo, data="pairs.csv", beta=0.1, out="runs/dpo")

    Raises as `run` does, and ConfigError for a kind that there is not.
    """
    if kind not in STAGE_CLASSES:
        raise ConfigError(
            f"train {kind!r}: no such kind of stage; expected one of {', '.join(STAGE_CLASSES)}. Name one of these."
        )
    starts = {field: BASE_MODEL for field in STARTS if field in STAGE_CLASSES[kind].model_fields}
    values: dict[str, Any] = {
        "run": {"name": kind, "seed": seed},
        "model": {"dtype": dtype, "chat_template": chat_template},
        "stages": {kind: {"kind": kind, **(starts if model is not None else {}), **settings}},
    }
    if model is not None:
        values["model"]["path"] = folder_of_model(model)
    return run(values, out=out, check_first=check_first)


def _spare_own_files(folder: Path) -> None:
    """A run keeps its resolved configuration as pipeline.yaml; one that somebody wrote is not to be written over."""
    kept = folder / "pipeline.yaml"
    if kept.is_file() and not kept.read_bytes().startswith(RESOLVED.encode()):
        raise ConfigError(
            f"--out {folder}: holds a pipeline.yaml that no run wrote, and a run would write its own over it. Choose "
            f"another folder, for example {folder / 'runs'}/NAME."
        )


def _check_first(pipeline: Pipeline, only: str | None, processes: int, say: Callable[[str], None]) -> None:
    """Tell warnings; refuse what a check calls an error, before anything is written."""
    say(f"checking {pipeline.path}")
    done = look(pipeline, processes)
    for finding in done.findings:
        if finding.severity == "warning":
            stage = f"{finding.stage}: " if finding.stage else ""
            say(f"warning: {stage}{finding.message}")
    errors = done.errors(None if only is None else [only])
    if errors:
        raise RefusedError(errors)
