"""The planner against small runs of this package: peak memory and processor time, predicted beside measured.

    python experiments/plan_against_runs.py --calibrate --json docs/figures/plan_against_runs.json

Every run is a process of its own with one thread, over pairs with the lengths of real ones (bench/train.py and
bench/ppo.py do the work). The prediction knows the model's shape, the settings, the lengths of the data and the
calibration of this machine, nothing of the run. Exit code 1 where a predicted peak is more than 15 % off.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "bench"))

from train import read_data  # noqa: E402  (bench/ is no package)
from versus_trl import run  # noqa: E402
from work import SHAPES  # noqa: E402

from boresight.config.sections import (  # noqa: E402
    DPOStage,
    LoRASection,
    ORPOStage,
    PPOStage,
    RewardModelStage,
    SFTStage,
    StageSection,
)
from boresight.data.tokenize import encode_pair  # noqa: E402
from boresight.models.loading import chat_format, load_tokenizer  # noqa: E402
from boresight.planning.calibration import Calibration, load_calibration  # noqa: E402
from boresight.planning.hardware import find_machine  # noqa: E402
from boresight.planning.prediction import predict  # noqa: E402
from boresight.planning.shapes import ModelShape, llama_shape  # noqa: E402
from boresight.planning.workload import Workload, workload_of  # noqa: E402

BOUND = 0.15
BATCH, ROW_TOKENS, RESPONSE = 8, 1024, 64
EXAMPLES = {"tiny": 40, "medium": 24, "small": 16}
PPO_PROMPTS = 16
BATCHED = ("sft", "reward_model", "dpo", "orpo")
LAYOUTS = ("separate", "shared", "one_trunk")


def cases(models: list[str]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Model, method, format and the words that tell bench/train.py or bench/ppo.py."""
    for model in models:
        for dtype in ("float32", "bfloat16"):
            for method in BATCHED:
                yield model, method, dtype, train_words(model, method)
        for layout in LAYOUTS:
            words = ["ppo.py", "--roles", layout, "--examples", str(PPO_PROMPTS), "--response-length", str(RESPONSE)]
            yield model, f"ppo, {layout}", "bfloat16", words
        yield model, "sft, lora", "bfloat16", [*train_words(model, "sft"), "--lora", "16"]
        yield model, "sft, checkpointing", "bfloat16", [*train_words(model, "sft"), "--activation-checkpointing"]


def train_words(model: str, method: str) -> list[str]:
    words = ["train.py", "--method", method, "--examples", str(EXAMPLES[model])]
    return [*words, "--batch-size", str(BATCH), "--micro-batch-tokens", str(ROW_TOKENS)]


def section_of(method: str) -> StageSection:
    """The settings that the measured run has."""
    common: dict[str, Any] = {"batch_size": BATCH, "micro_batch_tokens": ROW_TOKENS}
    if method == "reward_model":
        return RewardModelStage(kind="reward_model", data="", **common)
    if method == "dpo":
        return DPOStage(kind="dpo", policy="start", reference="start", data="", **common)
    if method == "orpo":
        return ORPOStage(kind="orpo", data="", **common)
    if method.startswith("ppo"):
        layout = method.split(", ")[1]
        return PPOStage(
            kind="ppo", policy="start", reference="start", reward="random", prompts="", steps=PPO_PROMPTS // BATCH,
            roles=layout, lora=None if layout == "separate" else LoRASection(), prompts_per_step=BATCH,
            max_new_tokens=RESPONSE, minibatches=1, micro_batch_tokens=ROW_TOKENS,
        )  # fmt: skip
    changed = {"lora": LoRASection()} if "lora" in method else {}
    return SFTStage(
        kind="sft", data="", epochs=1, activation_checkpointing="checkpointing" in method, **changed, **common
    )


def work_of(method: str, folder: Path, count: int) -> Workload:
    """Lengths of the rows that the run trains on."""
    chat = chat_format(load_tokenizer(folder / "tokenizer"), "tokenizer")
    pairs = [encode_pair(chat, pair) for pair in read_data(folder / "pairs.jsonl", count)]
    prompts = [len(pair.prompt_ids) for pair in pairs]
    if method.startswith("ppo"):
        return workload_of(prompts, [[RESPONSE]] * len(prompts))
    both = not method.startswith("sft")
    responses = [[len(p.chosen_ids), len(p.rejected_ids)] if both else [len(p.chosen_ids)] for p in pairs]
    return workload_of(prompts, responses)


def predicted(
    section: StageSection, shape: ModelShape, dtype: str, work: Workload, calibration: Calibration
) -> tuple[float, float]:
    """Peak in MiB, processor seconds."""
    found = predict(
        section,
        shape,
        work,
        dtype=dtype,
        machine=find_machine("cpu", calibration),
        calibration=calibration,
        shares_reward=True,
    )
    assert found is not None
    return found.peak_gib * 1024, found.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=["tiny", "medium"])
    parser.add_argument("--calibrate", action="store_true", help="measure this machine first (else: the shipped file)")
    parser.add_argument("--calibration", type=Path, help="measured speeds to go by")
    parser.add_argument("--work", type=Path, help="folder of what bench/work.py makes, to be used again")
    parser.add_argument(
        "--again", type=Path, help="predict anew what this file of figures has measured, and run nothing"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        path = options.calibration
        if options.calibrate:  # in a process of its own: the system counts a parent's memory as its child's
            path = Path(scratch) / "calibration.json"
            command = [sys.executable, "-m", "boresight", "plan", "--calibrate", "--calibration", str(path)]
            subprocess.run(command, check=True)
        calibration = load_calibration(path)
        work = options.work or Path(scratch)
        for model in options.models:
            command = [sys.executable, str(ROOT / "bench/work.py"), "--model", model, "--out", str(work / model)]
            if not (work / model / "pairs.jsonl").exists():
                subprocess.run(command, check=True)
        known = {} if options.again is None else known_rows(options.again)
        for model, method, dtype, words in cases(options.models):
            before = known.get((model, method, dtype))
            if options.again is not None and before is None:
                continue
            rows.append(measured(model, method, dtype, words, work / model, calibration, before))
            told = rows[-1]
            print(
                f"{model:7} {method:20} {dtype:9} peak {told['predicted_mib']:6.0f} predicted, "
                f"{told['measured_mib']:6.0f} measured ({told['memory_error']:+.1%}); "
                f"{told['predicted_s']:6.1f} s predicted, "
                f"{told['measured_s']:6.1f} measured ({told['time_error']:+.0%})",
                flush=True,
            )
    worst = max(abs(row["memory_error"]) for row in rows)
    print(f"{len(rows)} runs, peak at most {worst:.1%} off")
    if options.json:
        content = {"calibration": asdict(calibration), "rows": rows}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return int(worst > BOUND)


def known_rows(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {(row["model"], row["method"], row["dtype"]): row for row in rows}


def measured(
    model: str,
    method: str,
    dtype: str,
    words: list[str],
    folder: Path,
    calibration: Calibration,
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """A row of the figures; measured now, unless it was before."""
    if before is None:
        script, *rest = words
        command = [sys.executable, str(ROOT / "bench" / script), *rest, "--make-model", model, "--dtype", dtype]
        command += ["--tokenizer", str(folder / "tokenizer"), "--data", str(folder / "pairs.jsonl"), "--json"]
        line = run(command)
        peak, took = line["peak_rss_mb"], line["cpu_s"]
    else:
        peak, took = before["measured_mib"], before["measured_s"]
    sizes = SHAPES[model]
    shape = llama_shape(
        vocabulary_size=sizes["vocab_size"],
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        layers=sizes["num_hidden_layers"],
        tied=True,
    )
    section = section_of(method)
    count = PPO_PROMPTS if method.startswith("ppo") else EXAMPLES[model]
    mib, seconds = predicted(section, shape, dtype, work_of(method, folder, count), calibration)
    return {
        "model": model, "method": method, "dtype": dtype, "predicted_mib": mib, "measured_mib": peak,
        "memory_error": mib / peak - 1, "predicted_s": seconds, "measured_s": took, "time_error": seconds / took - 1,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
