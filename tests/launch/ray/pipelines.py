"""The tiny pipeline cut down to what a PPO and an RLOO stage need, and what a run of it came to."""

from pathlib import Path

from boresight.config.pipeline import Pipeline
from boresight.runlog.reader import read_metrics
from tests.pipeline import tiny_pipeline as tiny

SPREAD = (
    "stages.ppo.staleness=1", "stages.ppo.checkpoint_every=2", "stages.rloo.lora.rank=2", "stages.rloo.roles=separate"
)  # fmt: skip
"""PPO of all weights from responses written a step ahead, and RLOO of an adapter: of each way that rollouts go."""
LEFT_OUT = ("drafts", "labels", "dpo", "orpo", "simpo", "kto", "compare", "gate")


def text() -> str:
    """Stages base, demo, scorer, ppo and rloo."""
    blocks: list[str] = []
    for line in tiny.TEXT.splitlines(keepends=True):
        if (line.startswith("  ") and line[2] != " ") or not line.startswith(" "):
            blocks.append(line)
        else:
            blocks[-1] += line
    kept = [block for block in blocks if block.strip().partition(":")[0] not in LEFT_OUT]
    return "".join(kept).replace("sources: [pairs.jsonl, labels]", "sources: [pairs.jsonl]")


def load(folder: Path, *overrides: str) -> Pipeline:
    return tiny.load(folder, *overrides, text=text())


def logged(run: Path, stage: str) -> dict[str, list[tuple[int, float]]]:
    """Every figure of a stage's training that does not tell of time or memory, with its step."""
    log = read_metrics(run / "stages" / stage / "metrics.jsonl")
    names = [name for name in log.names if name.partition("/")[0] not in ("time", "memory", "throughput")]
    return {name: [(row.step, row.value) for row in log.series(name, "train")] for name in names}


def weights(run: Path, stage: str) -> bytes:
    return (run / "stages" / stage / "model" / "model.safetensors").read_bytes()
