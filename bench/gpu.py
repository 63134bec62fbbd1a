"""Training on a GPU: packed rows with shared prompts beside the plain padded way, in speed, memory and losses.

    python bench/gpu.py [--model small] [--examples 256] [--json docs/figures/gpu.json]

Needs nothing but this package and a CUDA device (`--device cpu` tries the script itself out). Both ways start from the
same weights on the same pairs, in turn; exit code 1 where their losses part by more than rounding.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from versus_trl import METHODS, run
from work import SHAPES

HERE = Path(__file__).parent
APART = {"float32": 1e-3, "bfloat16": 3e-2}  # of a step's loss


def both_ways(method: str, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Medians of seconds and memory of both ways over some rounds, and how far their losses are apart at most."""
    command = [sys.executable, str(HERE / "train.py"), "--method", method, "--make-model", options.model]
    command += ["--tokenizer", str(work / "tokenizer"), "--data", str(work / "pairs.jsonl"), "--dtype", options.dtype]
    command += ["--examples", str(options.examples), "--batch-size", str(options.batch_size)]
    command += ["--micro-batch-tokens", str(options.micro_batch_tokens), "--device", options.device]
    packed, padded = [], []
    for _ in range(options.rounds):
        packed.append(run(command))
        padded.append(run([*command, "--padded"]))
    memory = "peak_rss_mb" if options.device == "cpu" else "device_peak_mb"
    losses = zip(packed[0]["losses"], padded[0]["losses"], strict=True)
    return {
        "seconds": [statistics.median(line["wall_s"] for line in lines) for lines in (packed, padded)],
        "peak_mb": [statistics.median(line[memory] for line in lines) for lines in (packed, padded)],
        "utilisation": [statistics.median(line["utilisation"] for line in lines) for lines in (packed, padded)],
        "losses_apart": max(abs(a - b) / abs(b) for a, b in losses),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=list(SHAPES), default="small")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--micro-batch-tokens", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=list(APART), default="bfloat16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("no CUDA device here; --device cpu tries the script out", file=sys.stderr)
        return 2
    name = "cpu" if options.device == "cpu" else torch.cuda.get_device_name()
    found: dict[str, Any] = {"device": name, "torch": torch.__version__, "model": options.model, "methods": {}}
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, str(HERE / "work.py"), "--model", options.model, "--pairs", str(options.examples)]
        subprocess.run([*make, "--out", folder], check=True)
        for method in options.methods:
            found["methods"][method] = figures = both_ways(method, options, Path(folder))
            for way, name in enumerate(("packed", "padded")):
                print(
                    f"{method:12} {name} {figures['seconds'][way]:8.2f} s {figures['peak_mb'][way]:8.0f} MB, "
                    f"utilisation {figures['utilisation'][way]:.2f}"
                )
            print(f"{method:12} losses within {figures['losses_apart']:.1e} of each other")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(figures["losses_apart"] > APART[options.dtype] for figures in found["methods"].values()))


if __name__ == "__main__":
    sys.exit(main())
