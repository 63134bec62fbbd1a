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
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from floor import Row, floor_flops, gemm_peak
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from work import SHAPES, make_model, make_tokenizer, resident_mb

from boresight.config.sections import DPOStage, LoRASection, ORPOStage, RewardModelStage, SFTStage
from boresight.data.batches import BatchOrder
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import EncodedPair, encode_conversation, encode_pair
from boresight.models.activation_checkpointing import checkpoint_activations
from boresight.models.adapters import add_adapter
from boresight.models.hidden_states import unpacked
from boresight.models.lean_modules import make_lean
from boresight.models.loading import chat_format, load_causal_lm, load_tokenizer, start_reward_model
from boresight.models.precision import arithmetic
from boresight.models.roles import Policy, StartingPolicy, UnadaptedPolicy
from boresight.records import Demonstration, Message, PreferencePair
from boresight.runlog.reader import read_metrics
from boresight.training.dpo import train_dpo
from boresight.training.orpo import train_orpo
from boresight.training.reward_model import train_reward_model
from boresight.training.run import Run
from boresight.training.sft import train_sft


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


class WatchedRun(Run):
    """A run that notes the memory in use after each step."""

    def __init__(self, folder: Path, *, title: str) -> None:
        super().__init__(folder, title=title, key="bench", seed=0, checkpoint_every=10**9)
        self.resident: list[float] = []  # MB

    def log(self, step: int, metrics: Mapping[str, float], split: str = "train") -> None:
        super().log(step, metrics, split)
        self.resident.append(resident_mb())


class Work(NamedTuple):
    train: Callable[[], None]
    model: PreTrainedModel
    rows: list[Row]
    run: WatchedRun
    order: list[int]  # examples as they are trained on

    @property
    def tokens(self) -> int:
        """A prompt counted for each of its responses."""
        return sum(len(row.responses) * row.prompt + sum(row.responses) for row in self.rows)

    @property
    def mean_prompt(self) -> float:
        return sum(row.prompt for row in self.rows) / len(self.rows)

    @property
    def mean_response(self) -> float:
        lengths = [length for row in self.rows for length in row.responses]
        return sum(lengths) / len(lengths)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def prepare(options: argparse.Namespace, folder: Path) -> Work:
    tokenizer = (
        load_tokenizer(options.tokenizer or options.model_dir) if options.tokenizer or options.model_dir else None
    )
    tokenizer = tokenizer or make_tokenizer(options.make_model)
    chat = chat_format(tokenizer, "tokenizer")
    data = read_data(options.data, options.examples)
    run = WatchedRun(folder, title=options.method)
    settings = {
        "batch_size": options.batch_size,
        "micro_batch_tokens": options.micro_batch_tokens,
        "learning_rate": options.learning_rate,
        "schedule": "linear",  # this and the next two as TRL has them
        "warmup_fraction": 0.0,
        "adam_beta2": 0.999,
        "epochs": options.epochs,
    }
    if options.method == "sft":
        return _sft(options, settings, tokenizer, chat, data, run)
    return _on_pairs(options, settings, tokenizer, chat, [encode_pair(chat, pair) for pair in data], run)


def _sft(
    options: argparse.Namespace,
    settings: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    data: list[PreferencePair],
    run: WatchedRun,
) -> Work:
    demonstrations = [Demonstration(id=pair.id, messages=(*pair.prompt, *pair.chosen)) for pair in data]
    encoded = [encode_conversation(chat, d.messages, record_id=d.id) for d in demonstrations]
    policy = _policy(options, tokenizer, chat)
    config = SFTStage(kind="sft", data="", **settings)
    rows = [
        Row(len(row.input_ids) - sum(row.response_mask), (sum(row.response_mask),))
        for row in encoded
    ]  # fmt: skip
    order = order_of([len(row.input_ids) for row in encoded], options)
    return Work(lambda: train_sft(config, policy, encoded, run), policy.model, rows, run, order)


def _on_pairs(
    options: argparse.Namespace,
    settings: dict[str, Any],
    tokenizer: PreTrainedTokenizerBase,
    chat: ChatFormat,
    pairs: list[EncodedPair],
    run: WatchedRun,
) -> Work:
    rows = [Row(len(pair.prompt_ids), (len(pair.chosen_ids), len(pair.rejected_ids))) for pair in pairs]
    order = order_of([pair.tokens for pair in pairs], options)
    if options.method == "reward_model":
        scorer = _recomputing(_scorer(options, tokenizer), options)
        reward = RewardModelStage(kind="reward_model", data="", centering_coefficient=0.0, **settings)
        return Work(lambda: train_reward_model(reward, scorer, pairs, run), scorer, rows, run, order)
    policy = _policy(options, tokenizer, chat)
    if options.method == "orpo":
        orpo = ORPOStage(kind="orpo", data="", **settings)
        return Work(lambda: train_orpo(orpo, policy, pairs, run), policy.model, rows, run, order)
    reference = UnadaptedPolicy(policy, policy.adapter) if policy.adapter else StartingPolicy(policy)
    dpo = DPOStage(kind="dpo", policy="start", reference="start", data="", **settings)
    return Work(lambda: train_dpo(dpo, policy, reference, pairs, run), policy.model, rows, run, order)


def _policy(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase, chat: ChatFormat) -> Policy:
    model = _language_model(options, tokenizer)
    lora = LoRASection(rank=options.lora) if options.lora else None
    adapter = add_adapter(model, lora, task="CAUSAL_LM", seed=0) if lora else None
    return Policy(_recomputing(model, options), tokenizer, chat, adapter)


def _recomputing(model: PreTrainedModel, options: argparse.Namespace) -> PreTrainedModel:
    make_lean(model.base_model)
    if options.activation_checkpointing:
        checkpoint_activations(model)
    return model


def _language_model(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> Any:
    made = options.model_dir is None
    model = (
        make_model(options.make_model, tokenizer, vocabulary=options.vocabulary)
        if made
        else load_causal_lm(options.model_dir)
    )
    return _placed(model, options)


def _scorer(options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase) -> Any:
    if options.model_dir:
        return _placed(start_reward_model(options.model_dir, seed=0), options)
    config = make_model(options.make_model, tokenizer, vocabulary=options.vocabulary).config
    config.num_labels = 1
    torch.manual_seed(1)
    return _placed(AutoModelForSequenceClassification.from_config(config), options)


def _placed(model: PreTrainedModel, options: argparse.Namespace) -> PreTrainedModel:
    if options.padded:
        unpacked(model.base_model)
    placed: PreTrainedModel = model.to(options.device)
    return placed


def order_of(lengths: list[int], options: argparse.Namespace) -> list[int]:
    """Examples of one epoch in the order of training."""
    batches = BatchOrder(lengths, options.batch_size, seed=0)
    return [row for step in range(batches.steps(1.0)) for row in batches.batch(step)]


def at_powers_of_two(resident: list[float]) -> dict[int, float]:
    """MB in use after steps 1, 2, 4, ... and after the last."""
    steps = {2**power for power in range(len(resident).bit_length())} | {len(resident)}
    return {step: round(resident[step - 1], 1) for step in sorted(steps)}


def by_quarters(resident: list[float], after: int = 64) -> list[float]:
    """Median MB in use in each quarter of the steps behind the first `after`; empty where these are fewer than four.
    What a single step leaves depends on its own shapes."""
    later = resident[after:]
    edges = [len(later) * quarter // 4 for quarter in range(5)]
    if len(later) < 4:
        return []
    return [round(statistics.median(later[start:end]), 1) for start, end in pairwise(edges)]


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's, or those given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=["sft", "reward_model", "dpo", "orpo"], required=True)
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model-dir", type=Path, help="a model folder")
    model.add_argument("--make-model", choices=list(SHAPES), help="a model with random weights")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer folder for --make-model; by default it is made anew")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines of prompt, chosen, rejected")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument(
        "--vocabulary", type=int, help="entries of a made model; by default as many as it has names for"
    )
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--micro-batch-tokens", type=int, default=768)
    parser.add_argument(
        "--lora", type=int, metavar="RANK", help="train adapters in place of all weights (not for rewards)"
    )
    parser.add_argument("--activation-checkpointing", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda: then times are of the clock, memory the GPU's")
    parser.add_argument("--padded", action="store_true", help="the plain way: rows padded, prompts computed twice")
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    return parser.parse_args(arguments)


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = prepare(options, Path(folder))
        before = resident_mb()
        wall, cpu = time.perf_counter(), time.process_time()
        with arithmetic(options.dtype, options.device):
            work.train()
        on_gpu = options.device != "cpu"
        if on_gpu:
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        losses = [value for _, value in read_metrics(Path(folder) / "metrics.jsonl").series("loss/total", "train")]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    flops = floor_flops(options.method, work.model, work.rows) * options.epochs
    speed = gemm_peak(getattr(torch, options.dtype), options.device)
    print(
        json.dumps(
            {
                "library": "boresight", "method": options.method, "model": options.make_model or str(options.model_dir),
                "examples": options.examples, "batch_size": options.batch_size, "threads": options.threads,
                "dtype": options.dtype, "examples_per_s": options.examples * options.epochs / wall,
                "tokens_per_s": work.tokens * options.epochs / wall,
                "wall_s": wall, "cpu_s": cpu, "peak_rss_mb": peak, "train_delta_mb": peak - before,
                "prompt_tokens": work.mean_prompt, "response_tokens": work.mean_response, "parameters": work.parameters,
                "first_loss": losses[0], "last_loss": losses[-1], "steps": len(losses), "losses": losses,
                "order": work.order,
                "resident_mb": at_powers_of_two(work.run.resident),
                "resident_by_quarters_mb": by_quarters(work.run.resident), "floor_gflop": flops / 1e9,
                "gemm_gflop_per_s": speed / 1e9, "utilisation": flops / (wall if on_gpu else cpu) / speed,
                "device_peak_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
