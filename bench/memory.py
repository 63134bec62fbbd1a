"""Is memory flat? DPO for 2,000 steps of changing shapes; in bfloat16 the CPU's kernels are kept by shape.

    python bench/memory.py [--dtype float32] [--json docs/figures/memory.json]

Exit code 1 where a later step holds a tenth more than the fourth one, or memory still rises after step 64: the median
of the last quarter of the steps behind it against that of the first.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from versus_trl import run

HERE = Path(__file__).parent
PAIRS, BATCH = 256, 2
KEPT = ("method", "model", "steps", "batch_size", "resident_mb", "resident_by_quarters_mb")
GROWTH, TREND = 0.10, 0.03  # of the memory after step 4, of that of the quarter after step 64


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--json", type=Path, help="write the figures here; those of the other format are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE / "work.py", "--model", "tiny", "--out", folder], check=True)
        command = [sys.executable, HERE / "train.py", "--method", "dpo", "--make-model", "tiny"]
        command += ["--tokenizer", f"{folder}/tokenizer", "--data", f"{folder}/pairs.jsonl", "--examples", PAIRS]
        command += ["--dtype", options.dtype, "--batch-size", BATCH, "--epochs", options.steps * BATCH / PAIRS]
        line = run([str(word) for word in command])
    held = {int(step): value for step, value in line["resident_mb"].items()}
    for step, value in held.items():
        print(f"step {step:5}  {value:7.0f} MB")
    quarters = line["resident_by_quarters_mb"]
    print("quarters of the steps after 64, medians: " + ", ".join(f"{value:.0f}" for value in quarters) + " MB")
    if options.json:
        kept = {name: line[name] for name in KEPT}
        known = json.loads(options.json.read_text(encoding="utf-8")) if options.json.exists() else {}
        options.json.write_text(json.dumps(known | {options.dtype: kept}, indent=1) + "\n", encoding="utf-8")
    grows = max(value for step, value in held.items() if step > 4) > (1 + GROWTH) * held[4]
    rises = quarters[-1] > (1 + TREND) * quarters[0]
    return int(grows or rises)


if __name__ == "__main__":
    sys.exit(main())
