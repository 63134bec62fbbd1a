"""The same losses as TRL, step by step: what is trained is the same, only cheaper.

    python bench/same_losses.py --peer PEER/bin/python [--json docs/figures/same_losses.json]

Both start from the same random weights and take the same examples in the same order, in float32. Printed: the largest
relative difference of a step's loss, for each method. Exit code 1 where it is above the bound.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from versus_trl import METHODS, run

HERE = Path(__file__).parent
BOUND = 0.01
BATCH = 4
RATE = 1e-4  # high enough that twenty steps move the loss


def losses_of_both(method: str, steps: int, work: Path, peer: str) -> dict[str, Any]:
    """Losses of each step; TRL is given the examples in the order in which ours were trained on."""
    rows = (work / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
    same = ["--method", method, "--make-model", "tiny", "--tokenizer", str(work / "tokenizer"), "--dtype", "float32"]
    same += ["--examples", str(steps * BATCH), "--batch-size", str(BATCH), "--learning-rate", str(RATE)]
    ours = run([sys.executable, str(HERE / "train.py"), *same, "--data", str(work / "pairs.jsonl")])
    ordered = work / f"{method}.jsonl"
    ordered.write_text("".join(rows[row] + "\n" for row in ours["order"]), encoding="utf-8")
    theirs = run([peer, str(HERE / "peer_trl.py"), *same, "--data", str(ordered), "--setting", "in_order"])
    apart = [abs(a - b) / abs(b) for a, b in zip(ours["losses"], theirs["losses"], strict=True)]
    return {"library": theirs["library"], "ours": ours["losses"], "peer": theirs["losses"], "largest": max(apart)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="a Python that has TRL")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE / "work.py", "--model", "tiny", "--out", folder], check=True)
        for method in options.methods:
            found[method] = both = losses_of_both(method, options.steps, Path(folder), options.peer)
            print(
                f"{method:13} first {both['ours'][0]:.4f} / {both['peer'][0]:.4f}, last {both['ours'][-1]:.4f} / "
                f"{both['peer'][-1]:.4f}, largest difference {both['largest']:.1e}"
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(any(both["largest"] > BOUND for both in found.values()))


if __name__ == "__main__":
    sys.exit(main())
