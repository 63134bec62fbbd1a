"""A stage as trackers see it: its settings and lineage as hyperparameters, its rows as they are logged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from boresight.config.pipeline import Pipeline
from boresight.pipeline.artifacts import Identity, RunFolder
from boresight.pipeline.check_findings import Finding
from boresight.trackers.feed import Feed, flat, missing
from boresight.trackers.tracker import RunCard

FOLDER = "trackers"


def tracker_findings(pipeline: Pipeline) -> list[Finding]:
    """Trackers that are asked for and not installed."""
    return [Finding("tracker_missing", "error", None, line) for line in missing(pipeline.sections.run.report_to)]


@contextmanager
def followed(pipeline: Pipeline, identity: Identity, runs: RunFolder, say: Callable[[str], None]) -> Iterator[Feed]:
    """The trackers of `run.report_to` around the building of a stage; closed at its end, whichever that is."""

    def card(run_id: str) -> RunCard:
        lineage = {
            "key": identity.key,
            "seed": identity.seed,
            "inputs": {field: [f"{i.name}@{i.sha256[:16]}" for i in found] for field, found in identity.inputs.items()},
            "versions": {name: version(name) for name in ("boresight", "torch", "transformers")},
        }
        settings = {"config": dict(identity.config), "model": dict(identity.model), "lineage": lineage}
        return RunCard(run_id, pipeline.name, identity.stage, identity.kind, flat(settings), runs.root / FOLDER)

    feed = Feed(pipeline.sections.run.report_to, card, say)
    finished = False
    try:
        yield feed
        finished = True
    finally:
        feed.close(finished=finished)
