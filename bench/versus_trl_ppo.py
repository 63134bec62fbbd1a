"""PPO beside the last TRL that had it, in every layout of roles: runs in turn, medians, ratios.

    make bench                                          # makes both environments, measures, writes docs/benchmarks.md
    python bench/versus_trl_ppo.py --peer PEER/bin/python --trl-path FOLDER --rounds 3

All start from the same prompts and the same shape of models with random weights, and have the same settings: rollouts
of 8 prompts, 64 new tokens, 4 epochs of one minibatch, bfloat16, AdamW, one thread. Each run is a process of its own;
odd rounds go the other way round. A ratio is TRL's figure over ours within a round. Beside them SFT with adapters on as
many tokens an update, whose memory shared PPO is held against.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from versus_trl import run, store

HERE = Path(__file__).parent
MODELS = ("tiny", "small")
LAYOUTS: dict[str, list[str]] = {
    "separate": ["--roles", "separate"],
    "shared": ["--roles", "shared"],
    "one_trunk": ["--roles", "one_trunk"],
    "one_trunk, all weights": ["--roles", "one_trunk", "--lora", "0"],
}
PHASES = ("generation", "scoring", "update")
RANK = 16


def commands(options: argparse.Namespace, model: str, work: Path) -> dict[str, list[str]]:
    """What is run in a round, by name."""
    data = ["--make-model", model, "--tokenizer", str(work / "tokenizer"), "--data", str(work / "pairs.jsonl")]
    data += ["--examples", str(options.examples), "--batch-size", "8", "--dtype", options.dtype]
    same = [*data, "--response-length", str(options.response_length), "--ppo-epochs", str(options.ppo_epochs)]
    found = {"trl": [options.peer, str(HERE / "peer_trl_ppo.py"), "--trl-path", str(options.trl_path), *same]}
    found |= {name: [sys.executable, str(HERE / "ppo.py"), *same, *more] for name, more in LAYOUTS.items()}
    sft = [sys.executable, str(HERE / "train.py"), "--method", "sft", *data, "--lora", str(RANK)]
    return found | {"sft with adapters": sft}


def measure(given: Mapping[str, Sequence[str]], rounds: int) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in given}
    for number in range(rounds):
        for name in reversed(given) if number % 2 else given:
            line = run(given[name])
            lines[name].append(line)
            print(
                f"  round {number + 1}: {name:24} {line['cpu_s']:6.1f} s {line['peak_rss_mb']:6.0f} MB", file=sys.stderr
            )
    return lines


def summary(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Medians; ratios of TRL over each layout by round: median, lowest and highest; shares of the phases."""

    def median(name: str, figure: str) -> float:
        return statistics.median(line[figure] for line in lines[name])

    first = lines["trl"][0]
    found: dict[str, Any] = {name: first[name] for name in ("library", "examples", "dtype", "threads")}
    found["rounds"] = len(lines["trl"])
    found["trl"] = {figure: median("trl", figure) for figure in ("cpu_s", "peak_rss_mb", "generation_cpu_s")}
    found["layouts"] = {}
    for name in LAYOUTS:
        figures: dict[str, Any] = {figure: median(name, figure) for figure in ("cpu_s", "peak_rss_mb")}
        for figure, told in (("cpu_s", "speed"), ("peak_rss_mb", "memory")):
            ratios = [peer[figure] / own[figure] for peer, own in zip(lines["trl"], lines[name], strict=True)]
            figures[told] = [statistics.median(ratios), min(ratios), max(ratios)]
        figures["shares"] = {phase: median(name, f"{phase}_share") for phase in PHASES}
        found["layouts"][name] = figures
    sft = median("sft with adapters", "peak_rss_mb")
    found["sft_with_adapters"] = {"peak_rss_mb": sft}
    found["shared_over_sft"] = found["layouts"]["shared"]["peak_rss_mb"] / sft
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="a Python with what TRL needs")
    parser.add_argument("--trl-path", type=Path, required=True, help="folder with a TRL that has PPO: 1.12.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["tiny"])
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--response-length", type=int, default=64)
    parser.add_argument("--ppo-epochs", type=int, default=4)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--json", type=Path, help="write the figures here; what is there of other work is kept")
    options = parser.parse_args()
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: a process begins with the peak memory of the one that it was forked from. SFT has
            # as many tokens an update where responses are as long as those that are sampled.
            made = [sys.executable, str(HERE / "work.py"), "--model", model, "--pairs", str(options.examples)]
            made += ["--response-tokens", str(options.response_length), "--out", folder]
            subprocess.run(made, check=True)
            lines = measure(commands(options, model, Path(folder)), options.rounds)
        found = summary(lines) | {name: getattr(options, name) for name in ("response_length", "ppo_epochs")}
        for name, figures in found["layouts"].items():
            shares = ", ".join(f"{phase} {share:.0%}" for phase, share in figures["shares"].items())
            ratios = f"speed {figures['speed'][0]:.2f}  peak memory {figures['memory'][0]:.2f}"
            print(f"{model:6} {name:24} {ratios}  ({shares})")
        print(f"{model:6} peak of shared PPO over SFT with adapters: {found['shared_over_sft']:.2f}")
        if options.json:
            store(options.json, f"{model}/{options.dtype}", found)


if __name__ == "__main__":
    main()
