"""What a shell may complete: pipeline files, and the stages of the one that was named. Loads nothing but YAML."""

from collections.abc import Iterator
from pathlib import Path

import typer

ENDINGS = (".yaml", ".yml")


def pipeline_files(incomplete: str) -> list[str]:
    """Files that may be pipelines, and folders on the way to one."""
    return [path for path in _beginning_with(incomplete) if path.endswith(("/", *ENDINGS))]


def stage_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Stages of the pipeline that stands on the line already; none where it cannot be read."""
    # A line that ends in an option without its value is parsed no further: the rest of it lies in `ctx.args`.
    given = ctx.params.get("pipeline") or next((one for one in ctx.args if one.endswith(ENDINGS)), None)
    return [name for name in _stages(given) if name.startswith(incomplete)]


def _stages(pipeline: object) -> list[str]:
    from boresight.config.yaml_text import parse_yaml

    try:
        value = parse_yaml(Path(str(pipeline)).expanduser().read_text(encoding="utf-8-sig")).value
    except (OSError, UnicodeDecodeError):
        return []  # the command itself tells what is wrong with it
    stages = value.get("stages") if isinstance(value, dict) else None
    return list(stages) if isinstance(stages, dict) else []


def _beginning_with(incomplete: str) -> Iterator[str]:
    folder, _, start = incomplete.rpartition("/")
    place = Path(f"{folder}/" if "/" in incomplete else ".").expanduser()
    try:
        found = sorted(place.iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith(start) and (start.startswith(".") or not path.name.startswith(".")):
            yield (f"{folder}/" if "/" in incomplete else "") + path.name + ("/" if path.is_dir() else "")
