"""Where everything came from: the graph of data and stages, full hashes, versions, seeds and times."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from boresight.pipeline.report_graph import Edge, Node, draw_graph
from boresight.pipeline.report_parts import Cell, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_words import data, duration, number

SHORT = 8
_LONGEST_LABEL = 19


@dataclass(frozen=True, slots=True)
class TimeBar:
    name: str
    kind: str
    seconds: Markup
    share: float


@dataclass(frozen=True, slots=True)
class Lineage:
    graph: Markup | None
    stages: Table
    inputs: Table
    versions: Sequence[tuple[str, str]]
    seed: int
    times: Sequence[TimeBar]
    untimed: Sequence[str]
    whole: Markup
    """Time of all stages, and their cost where the run knows what an hour costs."""


def build_lineage(run: RunRecord) -> Lineage:
    """The section on lineage: graph, times, hashes and versions."""
    recorded = [stage for stage in run.stages if stage.manifest]
    timed = [(stage, stage.seconds) for stage in run.stages if stage.seconds]
    longest = max((seconds for _, seconds in timed if seconds), default=1.0)
    return Lineage(
        graph=_graph(recorded) if recorded else None,
        stages=_stage_table(recorded),
        inputs=_input_table(recorded),
        versions=_versions(recorded),
        seed=run.seed,
        times=[TimeBar(s.name, s.kind, duration(t), t / longest) for s, t in timed if t],
        untimed=[stage.name for stage in run.finished() if not stage.seconds],
        whole=_whole(run),
    )


def _whole(run: RunRecord) -> Markup:
    seconds = sum(stage.seconds or 0.0 for stage in run.stages)
    if run.cost_per_hour is None:
        return duration(seconds)
    cost = seconds / 3600 * run.cost_per_hour
    return Markup("{}, which at {} an hour cost {}").format(duration(seconds), number(run.cost_per_hour), number(cost))


def short(sha256: str) -> str:
    return sha256[:SHORT]


def _graph(stages: Sequence[StageRecord]) -> Markup:
    nodes = {stage.name: _stage_node(stage) for stage in stages}
    edges = []
    for stage in stages:
        for field, source in _inputs(stage):
            name = source.get("stage") or source["path"]
            if source.get("path"):
                # One tag for each reader: the hash tells that two are the same file, without lines across the page.
                words = name.replace("\\", "/").rsplit("/", 1)[-1]
                name = f"{stage.name}:{name}"
                nodes[name] = Node(name, (_fit(words), short(source["sha256"])), "data")
            edges.append(Edge(name, stage.name, _role(field)))
    ordered = dict.fromkeys(edges)
    return draw_graph(list(nodes.values()), list(ordered), "Lineage: data files and stages, each with what it was "
                      "built from")  # fmt: skip


def _stage_node(stage: StageRecord) -> Node:
    kind = stage.kind.replace("_", " ")
    judge = stage.config.get("judge", {}).get("kind")
    second = f"{kind} · {judge.replace('_', ' ')}" if judge else kind
    if stage.name != stage.kind or judge:
        return Node(stage.name, (_fit(stage.name), f"{_fit(second, 20)} {short(stage.manifest['key'])[:6]}"), "stage")
    return Node(stage.name, (_fit(stage.name), short(stage.manifest["key"])), "stage")


def _role(field: str) -> str:
    if field == "reference":
        return "reference"
    return "reward" if field.startswith(("reward", "judge")) else "built"


def _fit(text: str, length: int = _LONGEST_LABEL) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _inputs(stage: StageRecord) -> list[tuple[str, Json]]:
    return [(field, source) for field, sources in stage.manifest.get("inputs", {}).items() for source in sources]


def _hash(sha256: str) -> Markup:
    return Markup("<code>{}</code>").format(sha256)


def _stage_table(stages: Sequence[StageRecord]) -> Table:
    rows: list[list[Cell]] = []
    for stage in stages:
        manifest = stage.manifest
        made: list[Markup] = [Markup("{} {}").format(name, _hash(sha)) for name, sha in manifest["outputs"].items()]
        rows.append([stage.name, stage.kind, data(manifest["seed"], str(manifest["seed"])), _hash(manifest["key"]),
                     _hash(manifest["config_sha256"]), Markup("<br>").join(made)])  # fmt: skip
    headers = ["Stage", "Kind", "Seed", "Key", "Config SHA-256", "Made (SHA-256)"]
    return Table(headers, rows, summary="Every stage with its seed, key and the full hashes of what it made")


def _input_table(stages: Sequence[StageRecord]) -> Table:
    rows: list[list[Cell]] = [
        [stage.name, field, source.get("stage") or source["path"], _hash(source["sha256"])]
        for stage in stages
        for field, source in _inputs(stage)
    ]
    return Table(["Stage", "Input", "From", "SHA-256"], rows, summary="Every input with its full hash")


def _versions(stages: Sequence[StageRecord]) -> list[tuple[str, str]]:
    """Library versions; where stages differ, all of them."""
    found: dict[str, dict[str, None]] = {}
    for stage in stages:
        for library, version in stage.manifest.get("versions", {}).items():
            found.setdefault(library, {})[version] = None
    return [(library, ", ".join(versions)) for library, versions in found.items()]
