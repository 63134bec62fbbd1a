"""One measured training run: one process, one epoch, one JSON line.

    python bench/work.py --model tiny --out work
    python bench/train.py --method dpo --make-model tiny --tokenizer work/tokenizer --data work/pairs.jsonl \\
        --examples 128 --batch-size 8 --threads 1 --dtype bfloat16 --json

The clocks cover the reference pass and the training steps; not imports, nor building the model, nor tokenising. On a
shared machine one thread and CPU seconds are the steady figures.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from work import SHAPES, make_model, make_tokenizer, resident_mb

from boresight.config.sections import DPOStage, ORPOStage, RewardModelStage, SFTStage
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import EncodedPair, encode_conversation, encode_pair
from boresight.models.loading import chat_format, load_causal_lm, load_tokenizer, start_reward_model
from boresight.models.precision import arithmetic
from boresight.models.roles import FrozenPolicy, Policy
from boresight.records import Demonstration, Message, PreferencePair
from boresight.runlog.reader import read_metrics
from boresight.training.dpo import train_dpo
from boresight.training.orpo import train_orpo
from boresight.training.reward_model import train_reward_model
from boresight.training.run import Run
from boresight.training.sft import train_sft

RATE = 1e-5


def read_data(path: Path, count: int) -> list[PreferencePair]:
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for _, line in zip(range(count), stream, strict=False)]
    if len(rows) < count:
        raise SystemExit(f"{path}: {len(rows)} rows, fewer than the {count} asked for")
    return [
        PreferencePair(
            id=str(i),
            prompt=(Message("user", row["prompt"]),),
            chosen=(Message("assistant", row["chosen"]),),
            rejected=(Message("assistant", row["rejected"]),),
        )
        for i, row in enumerate(rows)
    ]


def prepare(options: argparse.Namespace, folder: Path) -> tuple[Callable[[], None], int]:
    """The work to be timed, and how many tokens it is (a prompt counted for each of its responses)."""
    tokenizer = (
        load_tokenizer(options.tokenizer or options.model_dir) if options.tokenizer or options.model_dir else None
    )
    tokenizer = tokenizer or make_tokenizer(options.make_model)
    chat = chat_format(tokenizer, "tokenizer")
    data = read_data(options.data, options.examples)
    run = Run(folder, title=options.method, key="bench", seed=0, checkpoint_every=10**9)
    settings = {
        "batch_size": options.batch_size,
        "micro_batch_tokens": options.micro_batch_tokens,
        "learning_rate": RATE,
    }
    if options.method == "sft":
        return _sft(options, settings, tokenizer, chat, data, run)
    pairs = [encode_pair(chat, pair) for pair in data]
    return _on_pairs(options, settings, tokenizer, chat, pairs, run), _pair_tokens(pairs)


def _sft(
    options: argparse.Namespace,
    settings: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    data: list[PreferencePair],
    run: Run,
) -> tuple[Callable[[], None], int]:
    demonstrations = [Demonstration(id=pair.id, messages=(*pair.prompt, *pair.chosen)) for pair in data]
    rows = [encode_conversation(chat, d.messages, record_id=d.id) for d in demonstrations]
    policy = Policy(_language_model(options, tokenizer), tokenizer, chat)
    config = SFTStage(kind="sft", data="", epochs=1, **settings)
    return lambda: train_sft(config, policy, rows, run), sum(len(row.input_ids) for row in rows)


def _on_pairs(
    options: argparse.Namespace,
    settings: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    pairs: list[EncodedPair],
    run: Run,
) -> Callable[[], None]:
    if options.method == "reward_model":
        scorer = _scorer(options, tokenizer)
        reward = RewardModelStage(kind="reward_model", data="", **settings)
        return lambda: train_reward_model(reward, scorer, pairs, run)
    policy = Policy(_language_model(options, tokenizer), tokenizer, chat)
    if options.method == "orpo":
        orpo = ORPOStage(kind="orpo", data="", **settings)
        return lambda: train_orpo(orpo, policy, pairs, run)
    reference = FrozenPolicy(_language_model(options, tokenizer), tokenizer, chat)
    dpo = DPOStage(kind="dpo", policy="start", reference="start", data="", **settings)
    return lambda: train_dpo(dpo, policy, reference, pairs, run)


def _language_model(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> Any:
    return load_causal_lm(options.model_dir) if options.model_dir else make_model(options.make_model, tokenizer)


def _scorer(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> Any:
    if options.model_dir:
        return start_reward_model(options.model_dir, seed=0)
    config = make_model(options.make_model, tokenizer).config
    config.num_labels = 1
    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_config(config)


def _pair_tokens(pairs: list[EncodedPair]) -> int:
    return sum(2 * len(p.prompt_ids) + len(p.chosen_ids) + len(p.rejected_ids) for p in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["sft", "reward_model", "dpo", "orpo"], required=True)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model-dir", type=Path, help="a model folder")
    model.add_argument("--make-model", choices=list(SHAPES), help="a model with random weights")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer folder for --make-model; by default it is made anew")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines of prompt, chosen, rejected")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--micro-batch-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        work, tokens = prepare(options, Path(folder))
        before = resident_mb()
        wall, cpu = time.perf_counter(), time.process_time()
        with arithmetic(options.dtype, "cpu"):
            work()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        losses = [value for _, value in read_metrics(Path(folder) / "metrics.jsonl").series("loss/total", "train")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "library": "boresight", "method": options.method, "model": options.make_model or str(options.model_dir),
                "examples": options.examples, "batch_size": options.batch_size, "threads": options.threads,
                "dtype": options.dtype, "examples_per_s": options.examples / wall, "tokens_per_s": tokens / wall,
                "wall_s": wall, "cpu_s": cpu, "peak_rss_mb": peak, "train_delta_mb": peak - before,
                "first_loss": losses[0], "last_loss": losses[-1],
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
