"""The graph of a pipeline as text for the terminal, or as Mermaid for a page."""

from typing import Literal, NamedTuple

from boresight.config.pipeline import Pipeline
from boresight.config.references import BASE_MODEL, entries
from boresight.config.sections import StageSection


class Edge(NamedTuple):
    """One thing that a stage takes: from another stage, from the base model, or from a file."""

    field: str
    source: str
    origin: Literal["stage", "base_model", "file"]


def draw(pipeline: Pipeline, form: Literal["text", "mermaid"] = "text") -> str:
    """The stages in the order they run, each with what it takes from where."""
    return _mermaid(pipeline) if form == "mermaid" else _text(pipeline)


def stage_edges(pipeline: Pipeline, stage: StageSection) -> list[Edge]:
    """What a stage takes, field by field in the order of its class; base_model and files included."""
    edges = []
    for field in dict.fromkeys((*stage.REFERENCES, *stage.PATHS)):
        for entry in entries(stage, field):
            if field in stage.REFERENCES and entry.text in pipeline.stages:
                edges.append(Edge(field, entry.text, "stage"))
            elif field in stage.REFERENCES and entry.text == BASE_MODEL:
                edges.append(Edge(field, pipeline.model_path or BASE_MODEL, "base_model"))
            else:
                edges.append(Edge(field, entry.text, "file"))
    return edges


def _text(pipeline: Pipeline) -> str:
    name_width = max(len(name) for name in pipeline.stages)
    kind_width = max(len(stage.kind) for stage in pipeline.stages.values())
    lines = [
        f"{pipeline.name}: {len(pipeline.stages)} stages from top to bottom, seed {pipeline.seed}; (…) is a file",
        "",
    ]
    for name, stage in pipeline.stages.items():
        by_field: dict[str, list[str]] = {}
        for edge in stage_edges(pipeline, stage):
            source = {"stage": edge.source, "base_model": f"[{edge.source}]", "file": f"({edge.source})"}[edge.origin]
            by_field.setdefault(edge.field, []).append(source)
        takes = "  ".join(f"{field} <- {', '.join(sources)}" for field, sources in by_field.items())
        lines.append(f"  {name:<{name_width}}  {stage.kind:<{kind_width}}  {takes}".rstrip())
    return "\n".join(lines) + "\n"


def _mermaid(pipeline: Pipeline) -> str:
    """Nodes are numbered: a stage may bear a name that Mermaid keeps for itself, such as `end`."""
    nodes: dict[tuple[str, str], str] = {("stage", name): f"s{number}" for number, name in enumerate(pipeline.stages)}
    lines = ["flowchart TD"]
    for name, stage in pipeline.stages.items():
        lines.append(f'  {nodes["stage", name]}["{name}<br/>{stage.kind}"]')
    arrows = []
    for name, stage in pipeline.stages.items():
        for edge in stage_edges(pipeline, stage):
            source: tuple[str, str] = (edge.origin, edge.source)
            if source not in nodes:
                nodes[source] = f"f{len(nodes) - len(pipeline.stages)}"
                lines.append(f'  {nodes[source]}[("{edge.source.replace(chr(34), "#quot;")}")]')
            arrows.append(f"  {nodes[source]} -->|{edge.field}| {nodes['stage', name]}")
    return "\n".join([*lines, *arrows]) + "\n"
