"""How long the report of a run with many compared prompts takes to write and to open, and how large it is.

python bench/report.py --prompts 10000

The run folder is made with the writers that stages use: one evaluation of two candidates with both orders of each
prompt, responses of a hundred words, and a training curve of two thousand steps. Opening is measured in Chromium where
there is one: from the navigation to the load event, and on to the first painted frame.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from boresight.evaluation.measures import MeasuredResponse, model_summary
from boresight.evaluation.win_rate import compare_all
from boresight.pipeline.artifacts import Identity, Input, RunFolder
from boresight.pipeline.report import write_report
from boresight.runlog.writer import MetricsWriter
from boresight.storage import hash_text, write_json, write_text

CHROMIUM = Path("/usr/bin/chromium")
KINDS = ("plain", "false_premise", "true_premise", "greeting", "code", "two_turn")
TEXT = "the pod runs in a namespace and waits for its volume while the node drains so that nothing is lost"
ORDERS = ("candidate_first", "baseline_first")
STEPS = 2000


def build(root: Path, prompts: int, seed: int) -> None:
    """A run of a policy and its evaluation against the model that it began with."""
    draw, runs = random.Random(seed), RunFolder(root)
    kinds = {"demo": "sft", "ppo": "ppo", "dpo": "dpo", "compare": "evaluate"}
    stages = {
        "demo": ({"data": ["demonstrations.jsonl"]}, lambda folder: _trained(folder, "loss/total")),
        "ppo": ({"policy": ["demo"], "reference": ["demo"]}, lambda folder: _trained(folder, "reward/score")),
        "dpo": ({"policy": ["demo"], "reference": ["demo"]}, lambda folder: _trained(folder, "reward/margin")),
        "compare": (
            {"candidates": ["ppo", "dpo"], "baseline": ["demo"], "prompts": ["held_out.jsonl"]},
            lambda folder: _evaluated(folder, prompts, draw),
        ),
    }
    for name, (sources, fill) in stages.items():
        inputs = {
            field: [Input(s, s, runs.output_hash(s) if s in kinds else hash_text(s), s in kinds) for s in given]
            for field, given in sources.items()
        }
        identity = Identity(name, kinds[name], {"kind": kinds[name], **sources}, {}, seed, inputs)
        runs.finish(identity, fill(runs.open(identity)))
    rows = [{"name": name, "kind": kind, "key": runs.built_key(name)} for name, kind in kinds.items()]
    write_json(root / "run.json", {"name": "many-prompts", "seed": seed, "stages": rows})


def opened(page: Path) -> dict[str, float] | None:
    """Seconds to the load event and to the first frame after it; None without Chromium or Playwright."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not CHROMIUM.exists():
        return None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load")
        loaded = time.perf_counter() - started
        tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        painted = time.perf_counter() - started
        browser.close()
    return {"load_s": round(loaded, 3), "painted_s": round(painted, 3)}


def _trained(folder: Path, metric: str) -> dict[str, Any]:
    writer = MetricsWriter(folder)
    for step in range(1, STEPS + 1):
        writer.append(step, {metric: 1 / step})
        writer.append(step, {"time/step_seconds": 0.25})
    told = {"conversations": 80, "dropped": {}, "trained_tokens": 910, "read": {"demonstrations.jsonl": 80}}
    return {"steps": STEPS, "final_loss": 1 / STEPS, "pairs": 30, "responses": 64, "reward_mean": 0.0, **told}


def _evaluated(folder: Path, prompts: int, draw: random.Random) -> dict[str, Any]:
    models, responses, comparisons, words = ("demo", "ppo", "dpo"), [], [], TEXT.split()
    measured: dict[str, list[MeasuredResponse]] = {model: [] for model in models}
    for number in range(prompts):
        kind, name = draw.choice(KINDS), f"p-{number:06}"
        scores = {model: draw.gauss(0.3 * place, 1.0) for place, model in enumerate(models)}
        given = {m: {"text": " ".join(draw.choices(words, k=100)), "stopped": True, "tokens": 130} for m in models}
        prompt = [{"role": "user", "content": " ".join(draw.choices(words, k=20))}]
        responses.append({"prompt_id": name, "kind": kind, "prompt": prompt, "responses": given})
        for model in models:
            hits = {"right": scores[model] > 0}
            measured[model].append(MeasuredResponse(kind=kind, hits=hits, tokens=130, stopped=True))
        for model in models[1:]:
            verdict = float(scores[model] > scores["demo"])
            row = {"prompt_id": name, "kind": kind, "candidate": model, "verdict": verdict}
            both = {"score_candidate": scores[model], "score_baseline": scores["demo"]}
            comparisons += [{**row, "order": order, **both} for order in ORDERS]
    for file, rows in (("responses.jsonl", responses), ("comparisons.jsonl", comparisons)):
        write_text(folder / file, "".join(json.dumps(row) + "\n" for row in rows))
    return {
        "prompts": prompts,
        "temperature": 0.0,
        "judge": {"kind": "rules"},
        "baseline": "demo",
        "models": {model: model_summary(rows) for model, rows in measured.items()},
        "candidates": compare_all(comparisons, seed=7),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        root = Path(home) / "run"
        build(root, arguments.prompts, arguments.seed)
        started = time.perf_counter()
        page = write_report(root)
        written = time.perf_counter() - started
        figures = {"prompts": arguments.prompts, "write_s": round(written, 2), "page_bytes": page.stat().st_size}
        browsing = opened(page)
        figures |= browsing or {}
    if browsing is None:
        print("Chromium or playwright is missing: opening was not measured", file=sys.stderr)
    print(json.dumps(figures))
    if arguments.json:
        write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
