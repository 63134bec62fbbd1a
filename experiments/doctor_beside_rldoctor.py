"""Our doctor beside rldoctor (PyPI, 0.2.0) on labelled logs of real runs, side by side.

python -m venv peer && peer/bin/pip install rldoctor==0.2.0
python experiments/doctor_beside_rldoctor.py ../shared/data/runs --peer peer/bin/python \
    --json docs/figures/doctor_beside_rldoctor.json

rldoctor is asked twice: about each file as it is, and about the same log as our reader understands it, written out
under names that rldoctor reads; the second leaves the reading out of the comparison. Its detectors speak of other
things than our labels: a detector is right where any of the labels that it may stand for is (`STANDS_FOR`, in its
favour), also as an INFO. An alarm is its WARNING or CRITICAL, and ours above a note. Where it finds nothing it says
so, which is right for a healthy run, also where no detector had what it needs ("no check"). It is made for GRPO and
RLVR, so logs of PPO and GRPO are counted by themselves too. Scored as in doctor_on_public_logs.py.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from doctor_on_public_logs import Case, measure

from boresight.diagnosis.readers.folders import read_logs
from boresight.diagnosis.signals import COMPONENT, LoggedRun
from boresight.storage import read_json, write_json

ASK = """
import json, sys
import rl_doctor
told = []
for path in json.load(sys.stdin):
    try:
        found = rl_doctor.diagnose(rl_doctor.load_run(path))
        told.append({
            "problems": [[one.detector, one.severity.name] for one in found.problems], "passed": len(found.passed),
        })
    except Exception as error:  # what cannot be read is a result
        told.append({"failure": f"{type(error).__name__}: {error}"})
print(json.dumps({"version": rl_doctor.__version__, "told": told}))
"""
"""Run by the peer's own Python, so that neither tool has to be installed with the other."""

STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "advantage_collapse": ("zero_variance_groups",),
    "clip_saturation": ("clipfrac_saturated",),
    "entropy_collapse": ("entropy_collapse",),
    "gradient_pathology": ("nan_inf", "lr_too_high", "no_learning", "zero_variance_groups"),
    "kl_drift": ("kl_runaway", "no_learning"),
    "length_pathology": ("length_explosion", "missing_eos"),
    "plateau": ("no_learning",),
    "reward_composition": ("reward_hacking",),
    "reward_hacking": ("reward_hacking",),
    "healthy": ("healthy", "dpo_both_falling_ok"),
    "no check": ("healthy", "dpo_both_falling_ok", "unclear"),
    "unreadable": (),
}
"""Detectors of rldoctor, and what its silence says -> labels that it is right for."""

NAMES = {
    "reward/score": "reward", "reward/deviation": "reward_std", "reward/zero_variance_share": "frac_reward_zero_std",
    "reward/validation": "eval/score", "policy/entropy": "entropy", "policy/kl_per_token": "kl",
    "policy/kl_to_reference": "objective/kl", "policy/clip_fraction": "policy/clipfrac_avg",
    "optim/grad_norm": "grad_norm", "optim/learning_rate": "learning_rate", "loss/policy": "policy_loss",
    "loss/total": "loss", "rollout/length_tokens": "completions/mean_length",
    "rollout/length_maximum": "completions/max_length", "value/explained_variance": "explained_variance",
    "advantage/mean": "advantage/mean", "advantage/deviation": "advantage/std",
}  # fmt: skip
"""Our signals -> names that rldoctor reads."""


class Told(NamedTuple):
    """What the peer said of one log: first finding, alarms, and why it could not read it."""

    first: str
    alarms: tuple[str, ...]
    failure: str | None


def as_told(answer: Mapping[str, Any]) -> Told:
    if "failure" in answer:
        return Told("unreadable", (), str(answer["failure"]))
    alarms = tuple(name for name, severity in answer["problems"] if severity in ("WARNING", "CRITICAL"))
    silent = "healthy" if answer["passed"] else "no check"
    return Told(answer["problems"][0][0] if answer["problems"] else silent, alarms, None)


def ask(peer: str, paths: Sequence[Path]) -> tuple[str, list[Told]]:
    """The peer's version and its answers."""
    done = subprocess.run(
        [peer, "-c", ASK], input=json.dumps([str(path) for path in paths]), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{peer}: cannot run rldoctor; install it there (pip install rldoctor==0.2.0).\n{done.stderr}")
    answer = json.loads(done.stdout.splitlines()[-1])
    told = [as_told(one) for one in answer["told"]]
    # Messages name the file by its whole path, which is another one on each machine.
    bare = [one.failure and one.failure.replace(str(path), path.name) for path, one in zip(paths, told, strict=True)]
    return answer["version"], [one._replace(failure=text) for one, text in zip(told, bare, strict=True)]


def translated(run: LoggedRun) -> list[dict[str, float]]:
    """Rows of the run under names that the peer reads."""
    rows: dict[float, dict[str, float]] = {}
    for name, series in run.signals.items():
        wanted = NAMES.get(name)
        if name.startswith(COMPONENT):
            wanted = f"rewards/{name.removeprefix(COMPONENT).replace('/', '_')}/mean"
        turned = name == "rollout/stop_rate"  # it reads the share that was cut
        if wanted is None and not turned:
            continue
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            rows.setdefault(step, {"step": step})[wanted or "completions/clipped_ratio"] = (
                1 - value if turned else value
            )
    return [rows[step] for step in sorted(rows)]


def written(folder: Path, runs: Iterable[LoggedRun]) -> list[Path]:
    paths = []
    for number, run in enumerate(runs):
        paths.append(folder / f"{number}.jsonl")
        paths[-1].write_text("".join(json.dumps(row) + "\n" for row in translated(run)), encoding="utf-8")
    return paths


def is_right(case: Case, told: Told, stands_for: Mapping[str, tuple[str, ...]] = STANDS_FOR) -> bool:
    return bool(set(stands_for.get(told.first, (told.first,))) & {*case.labels, *case.secondary})


def counted(
    cases: Sequence[Case],
    told: Sequence[Told],
    policy_runs: Collection[str],
    stands_for: Mapping[str, tuple[str, ...]] = STANDS_FOR,
) -> dict[str, int]:
    """Figures of one column; `policy_runs` are the names of the logs of PPO and GRPO."""
    scored = [(case, one) for case, one in zip(cases, told, strict=True) if case.scored]
    healthy = [one for case, one in scored if case.labels == ["healthy"]]
    policy = [(case, one) for case, one in scored if case.name in policy_runs]
    return {
        "scored": len(scored),
        "right": sum(is_right(case, one, stands_for) for case, one in scored),
        "policy_scored": len(policy),
        "policy_right": sum(is_right(case, one, stands_for) for case, one in policy),
        "healthy": len(healthy),
        "healthy_with_alarm": sum(bool(one.alarms) for one in healthy),
        "unreadable": sum(one.failure is not None for one in told),
        "logs": len(cases),
    }


def as_ours(case: Case) -> Told:
    return Told(case.first, tuple(case.alarms), case.failure)


def table(figures: Mapping[str, Mapping[str, int]]) -> str:
    lines = ["| | first cause right | on PPO and GRPO alone | healthy runs with an alarm | cannot be read |"]
    lines.append("|---|---|---|---|---|")
    lines += [
        f"| {name} | {one['right']} of {one['scored']} "
        f"| {one['policy_right']} of {one['policy_scored']} | {one['healthy_with_alarm']} of {one['healthy']} "
        f"| {one['unreadable']} of {one['logs']} |"
        for name, one in figures.items()
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", required=True, help="a Python in which rldoctor is installed")
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    cases = measure(arguments.folder)
    about = {case.name: read_json(arguments.folder / case.name / "meta.json") for case in cases}
    logs = [arguments.folder / name / meta["log"] for name, meta in about.items()]
    policy_runs = [name for name, meta in about.items() if meta["method"] in ("ppo", "grpo")]
    version, plain = ask(arguments.peer, logs)
    with tempfile.TemporaryDirectory() as folder:
        _, read = ask(arguments.peer, written(Path(folder), (read_logs(log)[0].run for log in logs)))
    columns = {
        "boresight": [as_ours(case) for case in cases],
        f"rldoctor {version}": plain,
        f"rldoctor {version}, log read by boresight": read,
    }
    print(f"{'case':20s} {'label':26s} {'boresight':24s} {'rldoctor':20s} rldoctor, read by us")
    for number, case in enumerate(cases):
        said = [f"{told[number].first}{'' if is_right(case, told[number]) else ' x'}" for told in columns.values()]
        mark = "" if case.scored else "   (not scored)"
        print(f"{case.name:20s} {', '.join(case.labels):26s} {said[0]:24s} {said[1]:20s} {said[2]}{mark}")
    figures = {name: counted(cases, told, policy_runs) for name, told in columns.items()}
    print(f"\n{table(figures)}")
    if arguments.json:
        answers = {
            case.name: [told[number]._asdict() for told in columns.values()] for number, case in enumerate(cases)
        }
        write_json(arguments.json, {"table": table(figures), "figures": figures, "cases": answers})
    return 0


if __name__ == "__main__":
    sys.exit(main())
