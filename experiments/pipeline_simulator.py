"""The pipeline simulator: reward scoring that starves the policy workers, its cure, its cost, and its checks.

    python experiments/pipeline_simulator.py --json docs/figures/pipeline_simulator.json \\
        --plot docs/figures/pipeline_simulator.svg

Times are those of an 8-billion model on A100-80GB cards, from the planner: ten policy workers that sample batches of
64 responses, and reward replicas of the same size. Checks: waiting time against queueing theory (M/D/1), and the same
simulator against two real processes of this package, one sampling, one scoring, with a queue between them. Exit code 1
where theory is missed by more than 5 % or the real pipeline by more than 25 %.
"""

import argparse
import json
import math
import multiprocessing
import statistics
import sys
import time
from dataclasses import replace
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

import torch

from boresight.data.chat_template import ChatFormat
from boresight.models.roles import Policy
from boresight.models.tiny import build_llama, tiny_tokenizer
from boresight.planning.arithmetic import decode_seconds, forward_flops
from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.hardware import catalogue
from boresight.planning.known_models import find_model
from boresight.planning.queueing import md1_wait
from boresight.planning.simulate import Pipeline, Tally, simulate, simulate_queue
from boresight.planning.workload import Workload

THEORY_BOUND, REAL_BOUND = 0.05, 0.25
ROWS, PROMPT, RESPONSE = 64, 256, 256
WORKERS = 10
GROWTH = (10, 30, 100, 300, 1000)
REAL_ROLLOUTS = 40


def eight_billion() -> Pipeline:
    """Seconds of an 8-billion policy and reward model on A100-80GB, a batch of 64 responses at a time."""
    shape, device, calibration = find_model("Llama-3.1-8B")[1], catalogue()["A100-80GB"], load_calibration(SHIPPED)
    token = decode_seconds(
        shape, rows=ROWS, context=PROMPT + RESPONSE / 2, number_bytes=2,
        bandwidth=device.bandwidth * calibration.gpu_sampling,
    )  # fmt: skip
    one = Workload(examples=1, prompt_tokens=PROMPT, response_tokens=RESPONSE)
    forward = ROWS * forward_flops(shape, one, head=False) / (device.flops * calibration.gpu_scoring)
    return Pipeline(
        workers=WORKERS,
        rollout_seconds=RESPONSE * token,
        rollout_law="fixed",
        replicas=1,
        scoring_seconds=forward,
        batch=8,
        training_seconds=8 * 6 * forward,  # policy and value model, forth and back
        trainers=32,
        sync_seconds=2 * shape.parameters / device.link,
    )


def cure(base: Pipeline) -> list[dict[str, float]]:
    """What the workers do for each number of replicas."""
    rows = []
    for replicas in range(1, 9):
        tally = simulate(replace(base, replicas=replicas), responses=3000, warm_up=500)
        rows.append({"replicas": replicas, "worker_busy": tally.worker_busy, "reward_busy": tally.reward_busy,
                     "rollouts_per_second": tally.responses_per_second})  # fmt: skip
    return rows


def growth(base: Pipeline, per_worker: float) -> list[dict[str, float]]:
    """GPU seconds of a rollout for more and more workers, trainers and batches growing with them: with as many replicas
    as the workers need, with one for every ten, and with those that ten workers needed and never more."""
    rows = []
    for workers in GROWTH:
        row: dict[str, float] = {"workers": workers}
        enough = math.ceil(workers * per_worker)
        for name, replicas in (
            ("matched", enough),
            ("scarce", workers // 10),
            ("fixed", math.ceil(WORKERS * per_worker)),
        ):
            times = workers // WORKERS
            grown = replace(
                base, workers=workers, replicas=replicas, trainers=base.trainers * times, batch=base.batch * times,
                training_seconds=base.training_seconds * times,
            )  # fmt: skip
            tally = simulate(grown, responses=20 * workers, warm_up=5 * workers)
            gpus = workers + replicas + grown.trainers
            row |= {f"{name}_gpus": gpus, f"{name}_busy": tally.worker_busy,
                    f"{name}_gpu_seconds": gpus / tally.responses_per_second}  # fmt: skip
        rows.append(row)
    return rows


def theory() -> list[dict[str, float]]:
    rows = []
    for busy in (0.3, 0.5, 0.7, 0.8, 0.9):
        wait = simulate_queue(arrivals=busy, scoring_seconds=1.0, responses=200_000, seed=3).mean_wait
        rows.append({"busy": busy, "simulated": wait, "theory": md1_wait(busy, 1.0),
                     "error": wait / md1_wait(busy, 1.0) - 1})  # fmt: skip
    return rows


def _policy() -> Policy:
    torch.set_num_threads(1)
    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 96, "intermediate_size": 192, "layers": 4, "heads": 4}
    model = build_llama(tokenizer, context_length=512, initializer_range=0.02, seed=0, **sizes)
    return Policy(model, tokenizer, ChatFormat(tokenizer))


def _sample(queue: Any, room: Semaphore, results: Any, rollouts: int, tokens: int) -> None:
    """Batches of responses as fast as there is room for them; tells what each took."""
    policy = _policy()
    generator, took = torch.Generator().manual_seed(0), []
    results.put(("ready", time.perf_counter(), []))
    for _ in range(rollouts):
        room.acquire()
        started = time.perf_counter()
        made = policy.generate(
            [[65] * 16] * 8, temperatures=[1.0] * 8, max_new_tokens=tokens, stop_token_ids=[10**6],
            generator=generator, batch_size=8,
        )  # fmt: skip
        took.append(time.perf_counter() - started)
        queue.put([response.token_ids for response in made])
    queue.put(None)
    results.put(("sampled", time.perf_counter(), took))


def _score(queue: Any, room: Semaphore, results: Any, passes: int) -> None:
    """Scores what comes; a larger model by several passes of a small one."""
    policy = _policy()
    took = []
    while (batch := queue.get()) is not None:
        started = time.perf_counter()
        ids = torch.tensor(batch)
        with torch.no_grad():
            for _ in range(passes):
                policy.model(ids)
        took.append(time.perf_counter() - started)
        room.release()
    results.put(("scored", time.perf_counter(), took))


def real_pipeline(tokens: int, passes: int) -> dict[str, float]:
    """Two processes, one queue; the simulator is told the mean times that they measured, and predicts the pace."""
    context = multiprocessing.get_context("spawn")
    queue, results, room = context.Queue(), context.Queue(), context.Semaphore(2)
    processes = [
        context.Process(target=_score, args=(queue, room, results, passes)),
        context.Process(target=_sample, args=(queue, room, results, REAL_ROLLOUTS, tokens)),
    ]
    for process in processes:
        process.start()
    told = {name: (at, took) for name, at, took in (results.get(timeout=600) for _ in range(3))}
    for process in processes:
        process.join()
    seconds = max(told["sampled"][0], told["scored"][0]) - told["ready"][0]
    rollout, scoring = statistics.fmean(told["sampled"][1]), statistics.fmean(told["scored"][1])
    network = Pipeline(
        workers=1, rollout_seconds=rollout, rollout_law="fixed", replicas=1, scoring_seconds=scoring, batch=1, ahead=2
    )
    tally: Tally = simulate(network, responses=2000, warm_up=50)
    real, simulated = REAL_ROLLOUTS / seconds, tally.responses_per_second
    return {
        "rollout_seconds": rollout, "scoring_seconds": scoring, "rollouts_per_second": real, "simulated": simulated,
        "error": simulated / real - 1, "worker_busy": rollout * REAL_ROLLOUTS / seconds,
        "simulated_worker_busy": tally.worker_busy,
    }  # fmt: skip


def plot(found: dict[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "simulator"  # equal figures, equal bytes
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9.6, 3.8))
    replicas = [row["replicas"] for row in found["cure"]]
    for name, label, colour in (
        ("worker_busy", "policy workers", "#1e5fb3"),
        ("reward_busy", "reward replicas", "#b3541e"),
    ):
        left.plot(replicas, [100 * row[name] for row in found["cure"]], marker="o", color=colour, label=label)
    left.set(xlabel=f"reward replicas for {WORKERS} policy workers", ylabel="busy, % of the time", ylim=(0, 105))
    left.legend(frameon=False)
    workers = [row["workers"] for row in found["growth"]]
    for name, label, colour in (
        ("matched", "replicas as needed", "#1e5fb3"),
        ("scarce", "one for ten workers", "#b3541e"),
        ("fixed", "those of ten workers", "#8a8a8a"),
    ):
        right.plot(
            workers, [row[f"{name}_gpu_seconds"] for row in found["growth"]], marker="o", color=colour, label=label
        )
    right.set(xlabel="policy workers", ylabel=f"GPU seconds for {ROWS} responses", xscale="log", yscale="log")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--plot", type=Path, help="also draw them here, as SVG")
    parser.add_argument("--without-real", action="store_true", help="leave the two real processes out")
    options = parser.parse_args()
    base = eight_billion()
    found: dict[str, Any] = {
        "rollout_seconds": base.rollout_seconds, "scoring_seconds": base.scoring_seconds, "theory": theory(),
        "cure": cure(base), "growth": growth(base, base.scoring_seconds / base.rollout_seconds / 0.8), "real": [],
    }  # fmt: skip
    if not options.without_real:
        found["real"] = [real_pipeline(tokens=64, passes=4), real_pipeline(tokens=24, passes=48)]
    for name in ("theory", "cure", "growth", "real"):
        for row in found[name]:
            print(name, "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(found, options.plot)
    missed = any(abs(row["error"]) > THEORY_BOUND for row in found["theory"])
    return int(missed or any(abs(row["error"]) > REAL_BOUND for row in found["real"]))


if __name__ == "__main__":
    sys.exit(main())
