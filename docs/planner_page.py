"""The page of the planner's figures: made from the planner itself, and from what experiments measured."""

import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.case import Case, read_have
from boresight.planning.choose import Option, choose
from boresight.planning.hardware import catalogue, find_machine
from boresight.planning.known_models import find_model
from boresight.planning.memory import memory_of
from boresight.planning.numbers import GIB
from boresight.storage import read_json

DOCS = Path(__file__).parent
RUNS, SIMULATOR = DOCS / "figures" / "plan_against_runs.json", DOCS / "figures" / "pipeline_simulator.json"
SHARES = DOCS / "figures" / "ray_shares.json"


def planner_page() -> str:
    published = runpy.run_path(str(DOCS.parent / "experiments" / "plan_published.py"), run_name="published")
    lines = [
        "# Figures of the planner",
        "",
        "Made by `docs/generate.py`: predictions by the code as it stands, what was measured from the sources named,",
        "or from `docs/figures`, which `make experiments` writes. How to read them: [the planner](planner.md).",
        *_case(),
        *_published(published),
        *_fits(published["fits"]()),
    ]
    if RUNS.exists():
        lines += _runs(read_json(RUNS))
    if SIMULATOR.exists():
        lines += _simulator(read_json(SIMULATOR))
    if SHARES.exists():
        lines += _shares(read_json(SHARES))
    return "\n".join([*lines, *_hardware()]) + "\n"


def _case() -> list[str]:
    speeds = load_calibration(SHIPPED)
    name, shape = find_model("Llama-3.1-8B")
    lines = ["", "## Eight billion parameters on two A100-80GB", ""]
    lines += [
        f"`boresight plan --model Llama-3.1-8B --gpus 2xA100-80GB`: {shape.parameters / 1e9:.2f} billion parameters."
    ]
    for finetune in ("full", "lora"):
        case = Case(
            model=name, shape=shape, machine=find_machine("2xA100-80GB", speeds), calibration=speeds,
            have=read_have("demonstrations,pairs,prompts"), finetune=finetune,
        )  # fmt: skip
        lines += ["", f"`--finetune {finetune}`", "", "| method | verdict | peak GiB | stage and phase | hours | why |"]
        lines += ["|---|---|---|---|---|---|", *(_option(option) for option in choose(case))]
    return lines


def _option(option: Option) -> str:
    fullest = option.fullest
    assert fullest is not None
    where = f"{fullest.name}, {fullest.memory.peak.name}"
    why = "; ".join(option.reasons)
    return f"| {option.method} | {option.verdict} | {option.peak / GIB:.1f} | {where} | {option.hours:.2f} | {why} |"


def _published(published: Mapping[str, Any]) -> list[str]:
    lines = ["", "## Against published measurements", ""]
    lines += [f"Llama-3.2-3B, two rows of 4,096 tokens, one A100: {published['TORCHTUNE']}.", ""]
    lines += _measured(published["torchtune_rows"]())
    lines += ["", f"Held out while the model of memory was written: {published['LITGPT']}.", ""]
    return lines + _measured(published["held_out_rows"]())


def _measured(rows: Sequence[Any]) -> list[str]:
    head = ["| row | predicted GiB | measured GiB | off by | highest phase |", "|---|---|---|---|---|"]
    return head + [
        f"| {row.name} | {row.predicted:.1f} | {row.measured:.1f} | {100 * row.error:+.1f} % | "
        f"{memory_of(row.recipe).peak.name} |"
        for row in rows
    ]


def _fits(fits: Sequence[Any]) -> list[str]:
    right = sum(fit.predicted == fit.ran for fit in fits)
    lines = ["", "## Fits or does not fit", "", f"{right} of {len(fits)} as somebody else found it.", ""]
    lines += ["| what | on | predicted GiB of each GPU | predicted | it | source |", "|---|---|---|---|---|---|"]
    for fit in fits:
        words = "fits" if fit.predicted else "does not fit"
        ran = "ran" if fit.ran else "ran out of memory"
        lines.append(f"| {fit.name} | {fit.gpus} | {fit.predicted_gib:.1f} | {words} | {ran} | {fit.source} |")
    return lines


def _runs(measured: Mapping[str, Any]) -> list[str]:
    rows = measured["rows"]
    worst = max(abs(row["memory_error"]) for row in rows)
    lines = ["", "## Against own runs", ""]
    lines += [f"{len(rows)} small runs on a CPU, a process each, one thread; peaks at most {100 * worst:.0f} % off."]
    lines += [f"Calibration: {measured['calibration']['source']}. Seconds are processor seconds.", ""]
    lines += [
        "| model | method | format | peak predicted MiB | measured | off by | seconds predicted | measured | off by |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['method']} | {row['dtype']} | {row['predicted_mib']:.0f} | "
            f"{row['measured_mib']:.0f} | {100 * row['memory_error']:+.0f} % | {row['predicted_s']:.1f} | "
            f"{row['measured_s']:.1f} | {100 * row['time_error']:+.0f} % |"
        )
    return lines


def _simulator(found: Mapping[str, Any]) -> list[str]:
    lines = ["", "## The pipeline simulator", "", "![Policy workers that wait](figures/pipeline_simulator.svg)", ""]
    lines += [
        f"An 8-billion policy and reward model on A100-80GB: a worker samples 64 responses in "
        f"{found['rollout_seconds']:.1f} s, a replica scores them in {found['scoring_seconds']:.1f} s.",
        "",
        "| reward replicas for 10 workers | workers busy | replicas busy | batches a second |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['replicas']:.0f} | {100 * row['worker_busy']:.0f} % | {100 * row['reward_busy']:.0f} % | "
        f"{row['rollouts_per_second']:.2f} |"
        for row in found["cure"]
    ]
    lines += ["", "GPU seconds of 64 responses as workers grow, trainers and batches with them:", ""]
    lines += ["| workers | replicas as needed | one for ten workers | those of ten workers |", "|---|---|---|---|"]
    lines += [
        f"| {row['workers']:,} | {row['matched_gpu_seconds']:.0f} | {row['scarce_gpu_seconds']:.0f} | "
        f"{row['fixed_gpu_seconds']:.0f} |"
        for row in found["growth"]
    ]
    lines += [
        "",
        "Waiting time against theory (M/D/1, service of 1 s):",
        "",
        "| busy | simulated s | theory s | off by |",
    ]
    lines += ["|---|---|---|---|"]
    lines += [
        f"| {row['busy']:.1f} | {row['simulated']:.3f} | {row['theory']:.3f} | {100 * row['error']:+.1f} % |"
        for row in found["theory"]
    ]
    lines += ["", "Against two real processes, one sampling, one scoring, a queue between them:", ""]
    lines += [
        "| a rollout took s | its scoring s | real rollouts a second | simulated | off by |",
        "|---|---|---|---|---|",
    ]
    return lines + [
        f"| {row['rollout_seconds']:.2f} | {row['scoring_seconds']:.2f} | {row['rollouts_per_second']:.2f} | "
        f"{row['simulated']:.2f} | {100 * row['error']:+.0f} % |"
        for row in found["real"]
    ]


def _shares(found: Mapping[str, Any]) -> list[str]:
    alone, real = found["alone_seconds"], found["ray_seconds"]
    inputs = {
        "generate": f"half a batch {alone['half_a_batch']:.2f}, way {alone['way']:.2f}",
        "score": f"a batch {alone['score']:.2f}",
        "update": f"a batch {alone['update']:.2f}",
    }
    kept = found["steps"] - found["warm_up"]
    return [
        "",
        "## Shares of PPO over Ray",
        "",
        f"`experiments/ray_shares.py`: the embedded example, quick, with {found['prompts_per_step']} prompts a step;",
        f"{kept} steps, after {found['warm_up']} that are left out. One process measures what each actor takes by",
        "itself, and a question of one token the way of weights and answers; the simulator is told these and the",
        "layout (two rollout actors, one trainer, one scorer, one thread),",
        f"and nothing of the run over Ray on {found['processors']} processors that stands beside it.",
        "",
        "| part | alone s | simulated share | over Ray s a step | share | off by |",
        "|---|---|---|---|---|---|",
        *(
            f"| {part} | {inputs[part]} | {100 * found['predicted'][part]:.1f} % | {real[part]:.2f} | "
            f"{100 * found['measured'][part]:.1f} % | {100 * found['error'][part]:+.0f} % |"
            for part in inputs
        ),
    ]


def _hardware() -> list[str]:
    lines = ["", "## The catalogue", "", "Dense bfloat16 (where a card has none: float16), without sparsity.", ""]
    lines += [
        "| GPU | memory GiB | TFLOP/s | memory GB/s | to its neighbours GB/s | source |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {d.name} | {d.memory / GIB:.1f} | {d.flops / 1e12:.0f} | {d.bandwidth / 1e9:.0f} | {d.link / 1e9:.0f} | "
        f"{d.source} |"
        for d in catalogue().values()
    ]
