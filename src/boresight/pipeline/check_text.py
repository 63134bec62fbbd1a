"""A check as text for a person: data, memory, findings, and what it comes to. This module loads no torch."""

from boresight.data.wording import noun
from boresight.pipeline.check import Check
from boresight.tables import Block, Table, bytes_text


def blocks_of(check: Check) -> list[Block]:
    """The check for a person: data, memory, findings, and what it comes to."""
    blocks: list[Block] = [f"{check.pipeline.path}: {check.pipeline.name}, {len(check.pipeline.stages)} stages"]
    blocks += [*_data(check), *_memory(check), *_findings(check)]
    counts = {kind: sum(f.severity == kind for f in check.findings) for kind in ("error", "warning", "note")}
    verdict = "ready to run" if check.passed else "not ready to run"
    listed = ", ".join(f"{count} {noun(count, kind)}" for kind, count in counts.items())
    blocks.append(f"{verdict}: {listed}")
    return blocks


def _data(check: Check) -> list[Block]:
    root = check.pipeline.data_root
    rows = [["data", "format", "rows", "used", "stages"]]
    for file in check.files:
        name = file.path.relative_to(root) if file.path.is_relative_to(root) else file.path
        rows.append([str(name), file.format, f"{file.rows:,}", f"{file.used:,}", ", ".join(file.stages)])
    return [Table(rows, right=(2, 3))] if len(rows) > 1 else []


def _memory(check: Check) -> list[Block]:
    if not check.memory:
        return []
    rows = [["memory", "longest row", "weights", "gradients", "moments", "frozen", "activations", "libraries", "total"]]
    for line in check.memory:
        memory = line.memory
        parts = (memory.weights, memory.gradients, memory.moments, memory.frozen, memory.activations, memory.overhead)
        rows.append([line.stage, f"{line.tokens:,} tokens", *map(bytes_text, (*parts, memory.total))])
    machine = f"  This machine: {bytes_text(check.machine.available)} of {check.machine.kind}. Activations are rough."
    return [Table(rows, right=range(1, 9)), machine]


def _findings(check: Check) -> list[Block]:
    lines = []
    for finding in check.findings:
        stage = f" {finding.stage}:" if finding.stage else ""
        lines.append(f"  {finding.severity:<7} {finding.id}:{stage} {finding.message}")
    return ["\n".join(lines)] if lines else []
