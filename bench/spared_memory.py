"""What activation checkpointing and adapters spare, and what they cost: SFT of `small`, a process for each.

    python bench/spared_memory.py [--json docs/figures/spared_memory.json]

Twice each: with the C library's allocator as it is, and told to give freed memory back to the system at once. What lies
between the two is memory that nobody uses and the process still holds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from versus_trl import run

HERE = Path(__file__).parent
MODEL, EXAMPLES, RANK = "small", 32, 16
WAYS = {
    "all weights": [],
    "all weights, activation checkpointing": ["--activation-checkpointing"],
    "adapters": ["--lora", str(RANK)],
    "adapters, activation checkpointing": ["--lora", str(RANK), "--activation-checkpointing"],
}
ALLOCATORS = {
    "as it is": {},
    "giving back at once": {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    found: dict[str, Any] = {"model": MODEL, "examples": EXAMPLES, "rank": RANK, "ways": {}}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE / "work.py", "--model", MODEL, "--out", folder], check=True)
        command = [sys.executable, str(HERE / "train.py"), "--method", "sft", "--make-model", MODEL]
        command += ["--tokenizer", f"{folder}/tokenizer", "--data", f"{folder}/pairs.jsonl"]
        command += ["--examples", str(EXAMPLES), "--micro-batch-tokens", "2048"]
        for way, settings in WAYS.items():
            found["ways"][way] = figures = {}
            for allocator, environment in ALLOCATORS.items():
                line = run([*command, *settings], environment)
                figures[allocator] = {name: line[name] for name in ("train_delta_mb", "cpu_s")}
                print(f"{way:38} {allocator:20} {line['train_delta_mb']:6.0f} MB {line['cpu_s']:6.1f} s", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
