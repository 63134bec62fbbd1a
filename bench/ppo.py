"""One measured PPO run: one process, one pass over the prompts, one JSON line.

    python bench/work.py --model tiny --out work
    python bench/ppo.py --make-model tiny --tokenizer work/tokenizer --data work/pairs.jsonl --examples 32 \\
        --roles shared --response-length 64 --ppo-epochs 4 --threads 1 --dtype bfloat16 --json

Rollouts of `--batch-size` prompts; each is learnt from as one minibatch. All weights are random: `separate` trains all
of four models, `shared` adapters on one base, `one_trunk` adapters or, with `--lora 0`, all of a model
with two heads. The clock covers generation, scoring and updates, not imports nor building the models.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from train import WatchedRun, read_data
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from work import SHAPES, make_model, make_tokenizer, resident_mb

from boresight.config.sections import LoRASection, PPOStage
from boresight.data.chat_template import ChatFormat
from boresight.models.adapters import add_adapter
from boresight.models.backbone import (
    AdaptedRewardModel,
    TrunkValue,
    adapted_reference,
    value_model_on,
)
from boresight.models.heads import ScalarHeadModel
from boresight.models.lean_modules import make_lean
from boresight.models.loading import chat_format, load_tokenizer, scalar_head
from boresight.models.precision import arithmetic
from boresight.models.roles import FrozenPolicy, Policy, RewardModel, ValueModel
from boresight.records import Prompt
from boresight.runlog.reader import read_metrics
from boresight.training import ppo
from boresight.training.experience import RewardScale


class Phases:
    """Wall and processor seconds by phase; what runs within another phase counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        self._inner = (0.0, 0.0)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        outer, self._inner = self._inner, (0.0, 0.0)
        started = time.perf_counter(), time.process_time()
        yield
        whole = time.perf_counter() - started[0], time.process_time() - started[1]
        known = self.seconds.get(name, (0.0, 0.0))
        self.seconds[name] = (known[0] + whole[0] - self._inner[0], known[1] + whole[1] - self._inner[1])
        self._inner = (outer[0] + whole[0], outer[1] + whole[1])

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            with self.phase(name):
                return function(*arguments, **options)

        return run


def build_roles(
    options: argparse.Namespace, tokenizer: PreTrainedTokenizerBase, chat: ChatFormat, config: PPOStage
) -> ppo.PPORoles:
    policy = Policy(make_model(options.make_model, tokenizer), tokenizer, chat)
    make_lean(policy.model.base_model)  # as every model that is trained
    if config.lora is None:
        reference = FrozenPolicy(make_model(options.make_model, tokenizer), tokenizer, chat)
        scorer = make_scorer(policy.model, seed=1)
        reward = RewardModel(scorer, tokenizer, chat)
        if config.roles == "one_trunk":
            return ppo.PPORoles(policy, TrunkValue(policy), reference, reward)
        value = make_scorer(policy.model, seed=2)
        make_lean(value.base_model)
        head = ScalarHeadModel.from_reward_model(value, scalar_head(value), 0.0, 1.0)
        return ppo.PPORoles(policy, ValueModel(head), reference, reward)
    adapter = add_adapter(policy.model, config.lora, task="CAUSAL_LM", seed=0)
    policy = Policy(policy.model, tokenizer, chat, adapter)
    shared = adapted_reference(policy, adapter)
    adapter.add("reward", config.lora, seed=1)
    adapter.weights("reward").requires_grad_(False)
    head = torch.nn.Linear(policy.model.config.hidden_size, 1, bias=False)
    scores = AdaptedRewardModel(policy.model, head, tokenizer, chat, adapter, "reward")
    if config.roles == "one_trunk":
        return ppo.PPORoles(policy, TrunkValue(policy), shared, scores)
    return ppo.PPORoles(policy, value_model_on(scores, mean=0.0, deviation=1.0), shared, scores)


def make_scorer(like: PreTrainedModel, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    config = like.config.from_dict(like.config.to_dict() | {"num_labels": 1})
    scorer: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return scorer


def settings(options: argparse.Namespace) -> PPOStage:
    """Those that TRL's trainer has, so that both sides do the same work."""
    return PPOStage(
        kind="ppo", policy="start", reference="start", reward="random", prompts="none", roles=options.roles,
        lora=LoRASection(rank=options.lora) if options.lora else None, steps=options.examples // options.batch_size,
        prompts_per_step=options.batch_size, max_new_tokens=options.response_length, ppo_epochs=options.ppo_epochs,
        minibatches=1, reward_scale="none", learning_rate=options.learning_rate,
        micro_batch_tokens=options.micro_batch_tokens,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-model", choices=list(SHAPES), required=True, help="models with random weights")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer folder; by default it is made anew")
    parser.add_argument("--data", type=Path, required=True, help="JSON Lines with a prompt each")
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8, help="prompts of one rollout")
    parser.add_argument("--roles", choices=["separate", "shared", "one_trunk"], default="separate")
    parser.add_argument("--lora", type=int, metavar="RANK", help="by default 16, but 0 (all weights) for separate")
    parser.add_argument("--response-length", type=int, default=64)
    parser.add_argument("--ppo-epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--micro-batch-tokens", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--json", action="store_true", help="the JSON line alone")
    options = parser.parse_args()
    if options.lora is None:
        options.lora = 0 if options.roles == "separate" else 16
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(options.tokenizer) if options.tokenizer else make_tokenizer(options.make_model)
    config = settings(options)
    roles = build_roles(options, tokenizer, chat_format(tokenizer, "tokenizer"), config)
    prompts = [Prompt(id=pair.id, messages=pair.prompt) for pair in read_data(options.data, options.examples)]
    phases = Phases()
    roles.policy.generate = phases.timed("generation", roles.policy.generate)  # type: ignore[method-assign]
    ppo.update = phases.timed("update", ppo.update)
    before = resident_mb()
    with tempfile.TemporaryDirectory() as folder, arithmetic(options.dtype, "cpu"):
        run = WatchedRun(Path(folder), title="ppo")
        with phases.phase("scoring"):
            ppo.train_ppo(config, roles, RewardScale(0.0, 1.0), prompts, run)
        table = read_metrics(Path(folder) / "metrics.jsonl")
    report(options, phases, before, {name: [v for _, v in table.series(name)] for name in table.names})


def report(options: argparse.Namespace, phases: Phases, before: float, metrics: dict[str, list[float]]) -> None:
    wall, cpu = (sum(seconds[kind] for seconds in phases.seconds.values()) for kind in (0, 1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = {
        "library": "boresight", "method": "ppo", "roles": options.roles, "lora": options.lora,
        "model": options.make_model, "examples": options.examples, "batch_size": options.batch_size,
        "response_length": options.response_length, "ppo_epochs": options.ppo_epochs, "threads": options.threads,
        "dtype": options.dtype, "examples_per_s": options.examples / wall, "wall_s": wall, "cpu_s": cpu,
        "peak_rss_mb": peak, "train_delta_mb": peak - before,
        "response_tokens": sum(metrics["rollout/length_tokens"]) / len(metrics["rollout/length_tokens"]),
        "policy_losses": metrics["loss/policy"], "kl_to_reference": metrics["policy/kl_to_reference"],
    }  # fmt: skip
    for name, (_, seconds) in phases.seconds.items():
        line |= {f"{name}_cpu_s": seconds, f"{name}_share": seconds / cpu}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
