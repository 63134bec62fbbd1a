"""`boresight check`: what is wrong before any computing is paid for."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from boresight.pipeline.check import Check


def command(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file.")],
    graph: Annotated[bool, typer.Option("--graph", help="Draw the stages and what each takes from where.")] = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be given often.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Check the run that the file's quick section makes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find what is wrong before any computing is paid for.

    Reads every data file with the settings of its stage, probes chat template and response mask, measures prompts and
    conversations against the context, looks for the classic mistakes (a policy that was never fine-tuned, a KL
    coefficient near 0, held-out prompts that were trained on, ...), and sets the memory of each stage against this
    machine. Nothing is written. Exit code 1: at least one error was found.

    \b
    Example:
      boresight check pipeline.yaml --graph
      boresight check pipeline.yaml --set stages.ppo.kl_coefficient=0 --json
    """
    from boresight.cli.checking import check
    from boresight.config.draw import draw
    from boresight.config.load import load_pipeline
    from boresight.pipeline.check import as_json as check_as_json

    loaded = load_pipeline(pipeline, overrides or (), quick=quick)
    done = check(loaded)
    if as_json:
        print(json.dumps(check_as_json(done, graph=graph), ensure_ascii=False))
    else:
        if graph:
            print(draw(loaded))
        print(text_of(done))
    if not done.passed:
        raise typer.Exit(1)


def text_of(check: "Check") -> str:
    """The check for a person: data, memory, findings, and what it comes to."""
    blocks = [f"{check.pipeline.path}: {check.pipeline.name}, {len(check.pipeline.stages)} stages"]
    blocks += [block for block in (_data_text(check), _memory_text(check), _findings_text(check)) if block]
    counts = [sum(f.severity == severity for f in check.findings) for severity in ("error", "warning", "note")]
    verdict = "ready to run" if check.passed else "not ready to run"
    blocks.append(f"{verdict}: {counts[0]} errors, {counts[1]} warnings, {counts[2]} notes")
    return "\n\n".join(blocks)


def _data_text(check: "Check") -> str:
    from boresight.cli.tables import table

    root = check.pipeline.data_root
    rows = [["data", "format", "rows", "used", "stages"]]
    for file in check.files:
        name = file.path.relative_to(root) if file.path.is_relative_to(root) else file.path
        rows.append([str(name), file.format, f"{file.rows:,}", f"{file.used:,}", ", ".join(file.stages)])
    return table(rows, right=(2, 3)) if len(rows) > 1 else ""


def _memory_text(check: "Check") -> str:
    from boresight.cli.tables import bytes_text, table

    if not check.memory:
        return ""
    rows = [["memory", "longest row", "weights", "gradients", "moments", "frozen", "activations", "libraries", "total"]]
    for line in check.memory:
        memory = line.memory
        parts = (memory.weights, memory.gradients, memory.moments, memory.frozen, memory.activations, memory.overhead)
        rows.append([line.stage, f"{line.tokens:,} tokens", *map(bytes_text, (*parts, memory.total))])
    machine = f"  This machine: {bytes_text(check.machine.available)} of {check.machine.kind}. Activations are rough."
    return table(rows, right=range(1, 9)) + "\n" + machine


def _findings_text(check: "Check") -> str:
    lines = []
    for finding in check.findings:
        stage = f" {finding.stage}:" if finding.stage else ""
        lines.append(f"  {finding.severity:<7} {finding.id}:{stage} {finding.message}")
    return "\n".join(lines)
