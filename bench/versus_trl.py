"""Boresight beside TRL on the same work: runs of both in turn, medians, ratios.

    make bench                                    # makes an environment for TRL, measures, writes docs/benchmarks.md
    python bench/versus_trl.py --peer PEER/bin/python --rounds 5 --methods dpo --models tiny

Both get the same pairs, the same random weights and the same settings (batch 8, bfloat16, AdamW, gradients clipped, one
thread), and run in one environment, so that each imports the same libraries. Each run is a process of its own; even
rounds start with the one, odd rounds with the other. A ratio is TRL's figure over ours, taken within a round: above 1
ours is the faster or the leaner.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLES = {"tiny": 128, "small": 32}
PASS_TOKENS = {"tiny": 768, "small": 1024}  # ours; what a pass costs for itself grows with the weights
METHODS = ("sft", "reward_model", "orpo", "dpo")
COMPARED = {"cpu_s": "speed", "peak_rss_mb": "peak memory", "train_delta_mb": "memory above the model's"}


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON line that a measured process ends with; exits with its messages where it fails."""
    settings = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | dict(environment or {})
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def commands(options: argparse.Namespace, method: str, model: str, work: Path) -> tuple[list[str], list[str]]:
    """Ours and the peer's for the same work."""
    same = ["--method", method, "--make-model", model, "--tokenizer", str(work / "tokenizer")]
    same += ["--data", str(work / "pairs.jsonl"), "--examples", str(options.examples or EXAMPLES[model])]
    same += ["--dtype", options.dtype]
    peer = [options.peer, str(HERE / "peer_trl.py"), *same, "--setting", options.setting]
    ours = [options.peer, str(HERE / "train.py"), *same, "--micro-batch-tokens", str(PASS_TOKENS[model])]
    return ours, peer


def compare(ours: Callable[[], dict[str, Any]], peer: Callable[[], dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Medians of both and the median, lowest and highest ratio of a round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            theirs = peer()
            mine = ours()
        else:
            mine = ours()
            theirs = peer()
        pairs.append((mine, theirs))
        print(f"  round {number + 1}: {theirs['cpu_s']:.1f} s, {mine['cpu_s']:.1f} s", file=sys.stderr)
    result: dict[str, Any] = {"library": pairs[0][1]["library"], "rounds": rounds, "examples": pairs[0][0]["examples"]}
    for figure in COMPARED:
        ratios = [theirs[figure] / mine[figure] for mine, theirs in pairs]
        result[figure] = {
            "ours": statistics.median(mine[figure] for mine, _ in pairs),
            "peer": statistics.median(theirs[figure] for _, theirs in pairs),
            "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        }
    for figure in ("first_loss", "last_loss"):
        result[figure] = {"ours": pairs[0][0][figure], "peer": pairs[0][1][figure]}
    for figure in ("utilisation", "gemm_gflop_per_s"):
        result[figure] = statistics.median(mine[figure] for mine, _ in pairs)
    result["peer_utilisation"] = statistics.median(
        mine["floor_gflop"] / theirs["cpu_s"] / mine["gemm_gflop_per_s"] for mine, theirs in pairs
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="a Python that has TRL and boresight")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--models", nargs="+", choices=list(EXAMPLES), default=list(EXAMPLES))
    parser.add_argument("--examples", type=int, help="by default 128 for tiny, 32 for small")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--setting", choices=["tuned", "default"], default="tuned")
    parser.add_argument("--json", type=Path, help="write the figures here; those of other work and other days are kept")
    options = parser.parse_args()
    for model in options.models:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            subprocess.run([sys.executable, HERE / "work.py", "--model", model, "--out", work], check=True)
            for method in options.methods:
                print(f"{method}, {model}, TRL {options.setting}", file=sys.stderr)
                mine, theirs = commands(options, method, model, work)
                found = compare(lambda c=mine: run(c), lambda c=theirs: run(c), options.rounds)
                found["pass_tokens"] = PASS_TOKENS[model]
                ratio = found["cpu_s"]["ratio"][0], found["peak_rss_mb"]["ratio"][0]
                print(f"{method:13} {model:6} speed {ratio[0]:.2f}  peak memory {ratio[1]:.2f}")
                if options.json:
                    day = date.today().isoformat()
                    store(options.json, f"{method}/{model}/{options.setting}/{options.dtype}/{day}", found)


def store(path: Path, key: str, found: dict[str, Any]) -> None:
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    known[key] = found | {"date": date.today().isoformat(), "machine": machine}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()
