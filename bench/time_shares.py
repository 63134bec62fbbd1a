"""Where the time of a training step goes, why it is not all arithmetic, and what rows of other sizes cost.

    python bench/time_shares.py [--json FILE]

Shares: SFT, reward model, ORPO and DPO of `small` in bfloat16 on one thread under torch's profiler, the time of each
operator by itself, by what it is for; and how fast its products are beside the fastest one alone. Rows: DPO of `tiny`
with other `micro_batch_tokens`, each in a process of its own: seconds and peak memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
import train
from floor import floor_flops, gemm_peak
from torch.profiler import ProfilerActivity, profile
from versus_trl import PASS_TOKENS

from boresight.models.precision import arithmetic

HERE = Path(__file__).parent
METHODS = ("sft", "reward_model", "orpo", "dpo")
EXAMPLES = 16
BUDGETS = (512, 768, 1024, 2048)
PURPOSES = {
    "matrix products": ("mm", "addmm", "linear"),
    "attention": ("bmm", "baddbmm", "_softmax", "_softmax_backward_data", "triu", "tril"),
    "copies and casts": ("copy_", "clone", "cat", "fill_", "zero_", "contiguous", "index", "index_put_"),
    "optimizer": ("_fused_adamw_", "linalg_vector_norm", "_foreach_norm", "_foreach_mul_"),
}
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
ELEMENTWISE = "norms, activations, rotary positions, log-softmax, sums"
OUTSIDE = "outside of operators (Python, allocation)"


def measured(method: str, work: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Shares of the time of one run, and what makes its utilisation."""
    same = ["--method", method, "--make-model", "small", "--tokenizer", str(work / "tokenizer")]
    same += ["--data", str(work / "pairs.jsonl"), "--micro-batch-tokens", str(PASS_TOKENS["small"])]
    options = train.read_options([*same, "--examples", str(EXAMPLES)])
    _, events, whole = profiled(options)
    purpose = {f"aten::{name}": kind for kind, names in PURPOSES.items() for name in names}
    seconds: Counter[str] = Counter()
    for event in events:
        if event.key.startswith("aten::"):
            seconds[purpose.get(event.key, ELEMENTWISE)] += event.self_cpu_time_total / 1e6
    seconds[OUTSIDE] = max(0.0, whole - sum(seconds.values()))
    multiplying = sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS) / 1e6
    prepared, events, _ = profiled(options, with_flops=True)  # in a run of its own: it takes time
    performed = sum(event.flops for event in events if event.key in PRODUCTS)
    parts = {
        "share": multiplying / whole,
        "gflop_per_s": performed / multiplying / 1e9,
        "fastest_gflop_per_s": gemm_peak(torch.bfloat16) / 1e9,
        "performed_gflop": performed / 1e9,
        "needed_gflop": floor_flops(method, prepared.model, prepared.rows) / 1e9,
    }
    return {kind: value / whole for kind, value in seconds.most_common()}, parts


def profiled(options: argparse.Namespace, *, with_flops: bool = False) -> tuple[train.Work, Any, float]:
    """A run, the averages of its operators and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = train.prepare(options, Path(folder))
        with arithmetic("bfloat16", "cpu"), profile(activities=[ProfilerActivity.CPU], with_flops=with_flops) as seen:
            started = time.perf_counter()
            prepared.train()
            seconds = time.perf_counter() - started
        return prepared, seen.key_averages(), seconds


def rows(budget: int, work: Path) -> dict[str, float]:
    command = [sys.executable, str(HERE / "train.py"), "--method", "dpo", "--make-model", "tiny", "--json"]
    command += ["--tokenizer", str(work / "tokenizer"), "--data", str(work / "pairs.jsonl"), "--dtype", "bfloat16"]
    done = subprocess.run([*command, "--micro-batch-tokens", str(budget)], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    return {name: figures[name] for name in ("cpu_s", "peak_rss_mb")}


def make_work(model: str, folder: str) -> Path:
    subprocess.run([sys.executable, HERE / "work.py", "--model", model, "--out", folder], check=True)
    return Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {"examples": EXAMPLES}
    with tempfile.TemporaryDirectory() as folder:  # first: the peak of a process begins at that of its parent
        work = make_work("tiny", folder)
        found["rows"] = {str(budget): rows(budget, work) for budget in BUDGETS}
    with tempfile.TemporaryDirectory() as folder:
        work = make_work("small", folder)
        both = {method: measured(method, work) for method in METHODS}
    found["shares"] = {method: shares for method, (shares, _) in both.items()}
    found["products"] = {method: parts for method, (_, parts) in both.items()}
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
