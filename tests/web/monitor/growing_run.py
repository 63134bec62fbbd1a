"""A run folder that grows as a PPO stage makes it grow: rows and responses through the writer that stages use."""

import json
import math
from pathlib import Path

from boresight.runlog.writer import MetricsWriter

PIPELINE = """run: {name: helper, seed: 7}
model: {path: base}
stages:
  demo: {kind: sft, data: demos.jsonl}
  align: {kind: ppo, policy: demo, reference: demo, reward: scorer, kl_coefficient: 0.05, steps: 200}
"""
STEPS = 200


class GrowingRun:
    """`demo` is finished; `align` is under way and grows with each call of `grow`."""

    def __init__(self, root: Path, name: str = "helper") -> None:
        self.folder = root / name
        self.stage = self.folder / "stages" / "align.partial"
        self.steps = 0
        self.noise = 0.0
        """Added to the reward: equal steps of another attempt come out otherwise."""
        self.stage.mkdir(parents=True)
        (self.folder / "pipeline.yaml").write_text(PIPELINE)
        settings = {"kind": "ppo", "steps": STEPS, "kl_coefficient": 0.05, "policy": "demo"}
        (self.stage / "config.json").write_text(json.dumps(settings))
        self.writer = MetricsWriter(self.stage)
        demo = self.folder / "stages" / "demo"
        demo.mkdir()
        (demo / "config.json").write_text(json.dumps({"kind": "sft", "epochs": 1}))
        (demo / "manifest.json").write_text('{"key": "k", "inputs": {}, "outputs": {}}')
        (demo / "result.json").write_text('{"loss": 1.25}')
        sft = MetricsWriter(demo)
        for step in range(30):
            sft.append(step, {"loss/total": 1.2 + 3.0 * math.exp(-step / 8), "time/step_seconds": 0.5})

    def grow(self, steps: int = 1, response: str = "Use `kubectl get pods` first.") -> None:
        for step in range(self.steps, self.steps + steps):
            metrics = metrics_at(step)
            self.writer.append(step, metrics | {"reward/score": metrics["reward/score"] + self.noise})
            self.writer.append_samples(step, [sample_at(step, number, response) for number in range(4)])
        self.steps += steps

    def finish(self) -> Path:
        """As a stage does it: manifest last, then the rename."""
        (self.stage / "result.json").write_text('{"reward": 2.0}')
        (self.stage / "manifest.json").write_text('{"key": "k", "inputs": {}, "outputs": {}}')
        return self.stage.rename(self.folder / "stages" / "align")


def metrics_at(step: int) -> dict[str, float]:
    """A healthy run: KL settles, the reward rises with noise, entropy falls slowly, the clip fraction is moderate."""
    noise = math.sin(12.9898 * (step + 1)) * 43758.5453 % 1 - 0.5
    return {
        "policy/kl_to_reference": 6.0 * (1 - math.exp(-step / 50)) + 0.5 * noise * min(1.0, step / 10),
        "reward/score": -0.4 + 2.2 * (1 - math.exp(-step / 70)) + 0.4 * noise,
        "policy/entropy": 1.1 + 0.5 * math.exp(-step / 120) + 0.05 * noise,
        "policy/clip_fraction": 0.12 + 0.06 * noise,
        "value/explained_variance": 0.8 * (1 - math.exp(-step / 30)),
        "rollout/length_tokens": 24.0 + 3 * noise,
        "loss/policy": 0.01 * noise,
        "time/step_seconds": 2.0 + 0.1 * noise,
        "throughput/tokens_per_second": 400.0 + 20 * noise,
    }


def sample_at(step: int, number: int, response: str) -> dict[str, object]:
    kind = ("question", "request")[number % 2]
    return {
        "prompt": f"p-{number:04d}", "kind": kind, "response": f"{response} ({step}.{number})", "tokens": 12,
        "stopped": number != 3, "score": 0.01 * step + 0.1 * number, "kl": 2.5,
    }  # fmt: skip
