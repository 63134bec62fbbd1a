"""The monitor's pages: runs, one run, one stage. All of them only read."""

import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from boresight.web.link_token import Link
from boresight.web.monitor.assets import SCRIPTS, chart_scripts
from boresight.web.monitor.charts import FOUR_SIGNALS, SIGNALS
from boresight.web.monitor.run_folders import RunPlace, StagePlace, is_run
from boresight.web.monitor.watch import Watch
from boresight.web.monitor.wording import ago, duration, figure, percent, setting
from boresight.web.pages import pages_of
from boresight.web.shell import LOOPBACK, StaticFolder, build_shell

LONGEST_FILE_SHOWN = 200_000
"""Characters of the pipeline file that a page shows."""


def build_monitor(root: Path, *, hosts: tuple[str, ...] = LOOPBACK, link: Link | None = None) -> FastAPI:
    """The monitor of one run, or of a folder of runs."""
    words = {"ago": ago, "duration": duration, "figure": figure, "percent": percent, "setting": setting}
    app = build_shell("monitor", hosts=hosts, link=link, always={**words, "scripts": SCRIPTS})
    app.state.watch = Watch(root)
    app.mount("/charts", StaticFolder(directory=chart_scripts()))
    app.include_router(_routes())
    return app


def watch_of(request: Request) -> Watch:
    watch = request.app.state.watch
    assert isinstance(watch, Watch)
    return watch


def run_of(request: Request, run: str) -> RunPlace:
    found = watch_of(request).places().get(run)
    if found is None:
        raise HTTPException(404, f"There is no run of the name {run} in {watch_of(request).root}.")
    return found


Run = Annotated[RunPlace, Depends(run_of)]


def stage_of(run: Run, stage: str) -> StagePlace:
    found = run.stage(stage)
    if found is None:
        raise HTTPException(404, f"The run {run.name} has no stage of the name {stage}.")
    return found


Stage = Annotated[StagePlace, Depends(stage_of)]


def _routes() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def index(request: Request) -> Response:
        watch = watch_of(request)
        run = next(iter(watch.places()), None)
        if run is not None and is_run(watch.root):
            return RedirectResponse(request.url_for("run_page", run=run).path, 303)
        return pages_of(request).show(request, "monitor/index.html", **_index(watch))

    @router.get("/part/runs")
    def runs_part(request: Request) -> Response:
        return pages_of(request).show(request, "monitor/_runs.html", **_index(watch_of(request)))

    @router.get("/runs/{run}")
    def run_page(request: Request, run: Run) -> Response:
        pipeline = run.folder / "pipeline.yaml"
        text = pipeline.read_text(encoding="utf-8", errors="replace")[:LONGEST_FILE_SHOWN] if pipeline.is_file() else ""
        return pages_of(request).show(request, "monitor/run.html", **_run(watch_of(request), run), pipeline=text)

    @router.get("/runs/{run}/part/stages")
    def stages_part(request: Request, run: Run) -> Response:
        return pages_of(request).show(request, "monitor/_stages.html", **_run(watch_of(request), run))

    @router.get("/runs/{run}/stages/{stage}")
    def stage_page(request: Request, run: Run, stage: Stage) -> Response:
        values = _stage(watch_of(request), run, stage)
        return pages_of(request).show(request, "monitor/stage.html", **values, stages=run.stages)

    @router.get("/runs/{run}/stages/{stage}/part/{part}")
    def stage_part(request: Request, run: Run, stage: Stage, part: str) -> Response:
        if part not in ("state", "findings", "responses"):
            raise HTTPException(404, "There is no such part.")
        return pages_of(request).show(request, f"monitor/_{part}.html", **_stage(watch_of(request), run, stage))

    @router.get("/runs/{run}/stages/{stage}/series")
    def series(request: Request, run: Run, stage: Stage, after: str = "") -> dict[str, Any]:
        return watch_of(request).series(run, stage, after)

    return router


def _index(watch: Watch) -> dict[str, Any]:
    return {"root": watch.root, "runs": watch.runs(), "now": time.time()}


def _run(watch: Watch, run: RunPlace) -> dict[str, Any]:
    return {"run": watch.run_view(run), "folder": run.folder, "now": time.time()}


def _stage(watch: Watch, run: RunPlace, stage: StagePlace) -> dict[str, Any]:
    view = watch.stage_view(run, stage)
    return {
        "run_name": run.name,
        "stage": view,
        "report": view.report,
        "latest": watch.latest(run, stage),
        "logged": view.step is not None,
        "unreadable": watch.unreadable(run, stage),
        "responses": watch.responses(run, stage),
        "settings": stage.read("config.json"),
        "result": stage.read("result.json"),
        "trains": view.step is not None or stage.kind in SIGNALS,
        "four": SIGNALS.get(stage.kind) == FOUR_SIGNALS,
        "now": time.time(),
    }
