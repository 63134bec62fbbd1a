"""Small logs of the museum for the tests of the doctor: one failing run of each exhibit, and its healthy twin.

    python -m experiments.museum.keep --runs runs/museum --seed 0 --into tests/diagnosis/museum

At most 40 evenly spaced rows, four digits of each number, no columns that no rule reads; responses only of the exhibits
whose finding rests on them, of every other step.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from experiments.museum.exhibits import EXHIBITS

from boresight.runlog.writer import METRICS_FILE, SAMPLES_FILE
from boresight.storage import write_text

OF_RESPONSES = ("sycophancy", "length_bias")
SAMPLE_KEYS = ("step", "prompt", "kind", "response", "rule_score", "measures", "tokens", "stopped", "score")
MOST_BYTES, MOST_ROWS = 32_000, 40
UNREAD = (
    "advantage/", "loss/policy", "optim/value_grad_norm", "policy/kl_coefficient", "policy/sampler_effective_share",
    "policy/chosen_logp", "policy/rejected_logp", "reward/shaped", "reward/score_normalized", "value/clip_fraction",
    "policy/ratio_mean",
)  # fmt: skip


def keep(source: Path, target: Path, *, with_responses: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "config.json", target / "config.json")
    _write(target / METRICS_FILE, [_rounded(row) for row in _thinned(_rows(source / METRICS_FILE))])
    if with_responses:
        rows = [row for row in _rows(source / SAMPLES_FILE) if row["step"] % 2 == 0]
        _write(target / SAMPLES_FILE, [_rounded({k: row[k] for k in SAMPLE_KEYS if k in row}) for row in rows])


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every n-th row of training; looks at held-out pairs stay."""
    training = [row for row in rows if row["split"] == "train"]
    left = {row["step"] for row in training[:: -(-len(training) // MOST_ROWS)]}
    return [row for row in rows if row["split"] != "train" or row["step"] in left]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in row.items() if not name.startswith(UNREAD)}
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in kept.items()}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n" for row in rows)
    if len(text.encode()) > MOST_BYTES:
        raise SystemExit(f"{path}: {len(text.encode())} bytes, more than {MOST_BYTES}; keep less of it")
    write_text(path, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/museum"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--into", type=Path, default=Path("tests/diagnosis/museum"))
    options = parser.parse_args()
    for exhibit in EXHIBITS:
        for which in ("failing", "healthy"):
            if which == "failing" or not exhibit.twin:
                source = options.runs / exhibit.name / f"{which}-{options.seed}"
                keep(source, options.into / exhibit.name / which, with_responses=exhibit.name in OF_RESPONSES)
    return 0


if __name__ == "__main__":
    sys.exit(main())
