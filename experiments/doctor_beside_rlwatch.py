"""Our doctor beside the thresholds of rlwatch (PyPI, 0.5.1) on labelled logs of real runs.

python -m venv peer && peer/bin/pip install rlwatch==0.5.1
python experiments/doctor_beside_rlwatch.py ../shared/data/runs --peer peer/bin/python \
    --json docs/figures/doctor_beside_rlwatch.json

rlwatch looks on while a run of its own goes and reads no logs, so its detectors, as they are set by default, are fed
the signals as our reader understands them, row by row. What it has a detector for it is given: entropy, KL, mean and
deviation of the reward, deviation of the advantage, loss and gradient norm; its test of single rewards has nothing to
go by in logs. Its first alert is its finding, any alert an alarm. A detector is right where any of the labels that it
may stand for is (`STANDS_FOR`, in its favour). Scored as in doctor_on_public_logs.py.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from doctor_beside_rldoctor import Told, as_ours, counted, is_right, table
from doctor_on_public_logs import measure

from boresight.diagnosis.readers.folders import read_logs
from boresight.diagnosis.signals import LoggedRun
from boresight.storage import read_json, write_json

ASK = """
import importlib.metadata, json, sys
from rlwatch.config import RLWatchConfig
from rlwatch.detectors import DetectorSuite
told = []
for rows in json.load(sys.stdin):
    suite = DetectorSuite(RLWatchConfig())
    told.append([alert.detector for row in rows for alert in suite.check_step(int(row.pop("step")), **row)])
print(json.dumps({"version": importlib.metadata.version("rlwatch"), "told": told}))
"""
"""Run by the peer's own Python, so that neither tool has to be installed with the other."""

NAMES = {
    "policy/entropy": "entropy", "policy/kl_per_token": "kl_divergence", "policy/kl_to_reference": "kl_divergence",
    "reward/score": "reward_mean", "reward/deviation": "reward_std", "advantage/deviation": "advantage_std",
    "loss/policy": "loss", "loss/total": "loss", "optim/grad_norm": "grad_norm",
}  # fmt: skip
"""Our signals -> what its detectors are given."""

STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "entropy_collapse": ("entropy_collapse",),
    "kl_explosion": ("kl_runaway",),
    "reward_hacking": ("reward_hacking",),
    "reward_mean_drift": ("reward_hacking", "length_explosion", "no_learning"),
    "advantage_variance": ("zero_variance_groups", "lr_too_high"),
    "loss_nan": ("nan_inf",),
    "gradient_norm_spike": ("lr_too_high", "nan_inf"),
    "silent": ("healthy", "dpo_both_falling_ok", "unclear"),
}


def rows_of(run: LoggedRun) -> list[dict[str, float]]:
    """A row a step, of what the detectors take."""
    rows: dict[float, dict[str, float]] = {}
    for name, series in run.signals.items():
        wanted = NAMES.get(name)
        if wanted is not None:
            for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
                rows.setdefault(step, {"step": step}).setdefault(wanted, value)
    return [rows[step] for step in sorted(rows)]


def ask(peer: str, runs: Sequence[list[dict[str, float]]]) -> tuple[str, list[Told]]:
    """The peer's version and its answers."""
    done = subprocess.run([peer, "-c", ASK], input=json.dumps(runs), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{peer}: cannot run rlwatch; install it there (pip install rlwatch==0.5.1).\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer["version"], [Told((*alerts, "silent")[0], tuple(alerts), None) for alerts in answer["told"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", required=True, help="a Python in which rlwatch is installed")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    cases = measure(arguments.folder)
    about = {case.name: read_json(arguments.folder / case.name / "meta.json") for case in cases}
    policy_runs = [name for name, meta in about.items() if meta["method"] in ("ppo", "grpo")]
    logs = [arguments.folder / name / meta["log"] for name, meta in about.items()]
    version, told = ask(arguments.peer, [rows_of(read_logs(log)[0].run) for log in logs])
    for case, one in zip(cases, told, strict=True):
        mark = "" if is_right(case, one, STANDS_FOR) else " x"
        print(f"{case.name:20s} {', '.join(case.labels):26s} {case.first:24s} {one.first}{mark}")
    figures = {
        "boresight": counted(cases, [as_ours(case) for case in cases], policy_runs),
        f"rlwatch {version}, log read by boresight": counted(cases, told, policy_runs, STANDS_FOR),
    }
    print(f"\n{table(figures)}")
    if arguments.json:
        first = {case.name: one.first for case, one in zip(cases, told, strict=True)}
        write_json(arguments.json, {"table": table(figures), "figures": figures, "cases": first})
    return 0


if __name__ == "__main__":
    sys.exit(main())
