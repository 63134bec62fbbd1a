"""The same work by TRL, as one measured process with one JSON line; needs an environment of its own with TRL in it.

    python bench/work.py --model tiny --out work
    PEER/bin/python bench/peer_trl.py --method dpo --make-model tiny --tokenizer work/tokenizer \\
        --data work/pairs.jsonl --examples 128 --batch-size 8 --threads 1 --setting tuned

`--setting default` is what TRL does by itself (bfloat16 autocast, gradient checkpointing, random order); `tuned` is
what a competent user sets on a CPU: no checkpointing, batches of like length, DPO's reference computed beforehand;
`in_order` takes the examples one after the other and ORPO's likelihood as we define it, to compare losses.
The clock covers the reference pass and the training steps, as in train.py, wherever TRL runs them.
"""

import argparse
import json
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
os.environ.update(
    TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error",
    TRL_EXPERIMENTAL_SILENCE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1",
)  # fmt: skip

import torch  # noqa: E402  after the environment above, which these libraries read when imported
import trl  # noqa: E402
from datasets import Dataset, disable_progress_bars  # noqa: E402
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast  # noqa: E402
from work import SHAPES, make_model, resident_mb  # noqa: E402


class Stopwatch:
    """Seconds of wall and processor, added up over several stretches."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            result = function(*arguments, **options)
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            return result

        return run


def read_data(path: Path, count: int) -> list[dict[str, list[dict[str, str]]]]:
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for _, line in zip(range(count), stream, strict=False)]
    return [
        {
            "prompt": [{"role": "user", "content": row["prompt"]}],
            "chosen": [{"role": "assistant", "content": row["chosen"]}],
            "rejected": [{"role": "assistant", "content": row["rejected"]}],
        }
        for row in rows
    ]


def token_counts(tokenizer: Any, row: Any) -> tuple[int, int, int]:
    text = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
    answers = [row[side][0]["content"] + tokenizer.eos_token for side in ("chosen", "rejected")]
    prompt, chosen, rejected = (len(tokenizer.encode(t, add_special_tokens=False)) for t in (text, *answers))
    return prompt, chosen, rejected


def common_settings(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    tuned = options.setting == "tuned"
    settings: dict[str, Any] = {
        "output_dir": folder, "per_device_train_batch_size": options.batch_size, "num_train_epochs": 1,
        "report_to": "none", "save_strategy": "no", "logging_strategy": "steps", "logging_steps": 1,
        "disable_tqdm": True, "use_cpu": True, "seed": 0, "learning_rate": options.learning_rate,
        "bf16": options.dtype == "bfloat16",
        "gradient_checkpointing": options.setting == "default",
    }  # fmt: skip
    if options.setting == "in_order":
        settings["train_sampling_strategy"] = "sequential"
    if tuned:
        settings["train_sampling_strategy"] = "group_by_length"
        if options.method != "sft":
            settings |= {"length_column_name": "length", "remove_unused_columns": False}
    return settings


def likelihood_of_responses(forward: Callable[..., Any]) -> Callable[..., Any]:
    """ORPO's likelihood term over the chosen responses, a mean over each one's tokens, as in the paper's equation 2;
    TRL takes it over the tokens of all prompts and chosen responses of a batch."""

    def changed(*arguments: Any) -> Any:
        chosen, *between, _ = forward(*arguments)[:5]
        return (chosen, *between, -chosen.mean())

    return changed


def build_trainer(options: argparse.Namespace, watch: Stopwatch, folder: str) -> Any:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.tokenizer)
    rows = read_data(options.data, options.examples)
    settings = common_settings(options, folder)
    tuned = options.setting == "tuned"
    if tuned and options.method != "sft":
        counts = [token_counts(tokenizer, row) for row in rows]
        rows = [row | {"length": p + max(c, r)} for row, (p, c, r) in zip(rows, counts, strict=True)]
    model = make_model(options.make_model, tokenizer, vocabulary=options.vocabulary)
    if options.method == "sft":
        pairs = [{"prompt": row["prompt"], "completion": row["chosen"]} for row in rows]
        return trl.SFTTrainer(
            model=model, args=trl.SFTConfig(**settings), train_dataset=Dataset.from_list(pairs),
            processing_class=tokenizer,
        )  # fmt: skip
    data = Dataset.from_list(rows)
    if options.method == "reward_model":
        model.config.num_labels = 1
        torch.manual_seed(1)
        scorer = AutoModelForSequenceClassification.from_config(model.config)
        return trl.RewardTrainer(
            model=scorer, args=trl.RewardConfig(**settings), train_dataset=data, processing_class=tokenizer
        )
    if options.method == "orpo":
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        if options.setting == "in_order":
            ORPOTrainer.concatenated_forward = likelihood_of_responses(ORPOTrainer.concatenated_forward)
        arguments = ORPOConfig(max_length=1024, max_completion_length=512, **settings)
        return ORPOTrainer(model=model, args=arguments, train_dataset=data, processing_class=tokenizer)
    trl.DPOTrainer._precompute_ref_logps = watch.timed(trl.DPOTrainer._precompute_ref_logps)
    arguments = trl.DPOConfig(
        precompute_ref_log_probs=tuned, precompute_ref_batch_size=options.batch_size, **settings
    )  # fmt: skip
    reference = None if tuned else make_model(options.make_model, tokenizer, vocabulary=options.vocabulary)
    return trl.DPOTrainer(
        model=model, ref_model=reference, args=arguments, train_dataset=data, processing_class=tokenizer
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["sft", "reward_model", "dpo", "orpo"], required=True)
    parser.add_argument("--make-model", choices=list(SHAPES), required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--vocabulary", type=int, help="entries of the model; by default the shape's")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--setting", choices=["tuned", "default", "in_order"], default="tuned")
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    options = parser.parse_args()
    disable_progress_bars()
    torch.set_num_threads(options.threads)
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(options, watch, folder)
        before = resident_mb()
        already = watch.cpu  # the reference pass, where it has run while the trainer was made
        watch.timed(trainer.train)()
        if options.method == "dpo" and already == 0.0 and options.setting == "tuned":
            raise SystemExit("the reference pass was neither before nor within training: the clock would not cover it")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "library": f"trl {trl.__version__}", "method": options.method, "model": options.make_model,
                "setting": options.setting, "examples": options.examples, "batch_size": options.batch_size,
                "threads": options.threads, "dtype": options.dtype, "wall_s": watch.wall, "cpu_s": watch.cpu,
                "examples_per_s": options.examples / watch.wall, "peak_rss_mb": peak,
                "train_delta_mb": peak - before, "first_loss": losses[0], "last_loss": losses[-1],
                "losses": losses,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
