"""PPO by the last TRL that had it, as one measured process with one JSON line; see bench/versus_trl_ppo.py.

    PEER/bin/python bench/peer_trl_ppo.py --trl-path FOLDER --make-model tiny --tokenizer work/tokenizer \\
        --data work/pairs.jsonl --examples 32

FOLDER is where `pip install --no-deps --target FOLDER trl==1.12.0` went. Set as a competent user would on a CPU:
bfloat16 autocast, no gradient checkpointing, no sample generations; a rollout is one minibatch. Its loop has no batches
of like length: prompts are shuffled whatever their order.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
os.environ.update(
    TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error",
    TRL_EXPERIMENTAL_SILENCE="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1",
)  # fmt: skip
if "--trl-path" in sys.argv:
    sys.path.insert(0, sys.argv[sys.argv.index("--trl-path") + 1])

import torch  # noqa: E402  after the environment and the path above, which these libraries read when imported
import trl  # noqa: E402
from datasets import Dataset, disable_progress_bars  # noqa: E402
from peer_trl import Stopwatch, read_data  # noqa: E402
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast  # noqa: E402
from trl.experimental.ppo import PPOConfig, PPOTrainer, ppo_trainer  # noqa: E402
from work import SHAPES, make_model, resident_mb  # noqa: E402


def build_trainer(options: argparse.Namespace, watches: dict[str, Stopwatch], folder: str) -> Any:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(options.tokenizer)
    tokenizer.padding_side = "left"
    texts = [
        tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
        for row in read_data(options.data, options.examples)
    ]
    prompts = [{"input_ids": tokenizer.encode(text, add_special_tokens=False)} for text in texts]
    policy, reference = (make_model(options.make_model, tokenizer) for _ in range(2))
    policy.config.num_labels = 1
    scorers = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        scorers.append(AutoModelForSequenceClassification.from_config(policy.config))
    ppo_trainer.batch_generation = watches["generation"].timed(ppo_trainer.batch_generation)
    ppo_trainer.get_reward = watches["value and reward"].timed(ppo_trainer.get_reward)
    return PPOTrainer(
        args=PPOConfig(
            output_dir=folder, per_device_train_batch_size=options.batch_size, gradient_accumulation_steps=1,
            num_mini_batches=1, num_ppo_epochs=options.ppo_epochs, response_length=options.response_length,
            total_episodes=options.examples, num_sample_generations=0, stop_token="eos", temperature=1.0,
            learning_rate=options.learning_rate, bf16=options.dtype == "bfloat16", gradient_checkpointing=False,
            use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, seed=0,
        ),
        processing_class=tokenizer, model=policy, ref_model=reference, reward_model=scorers[0], value_model=scorers[1],
        train_dataset=Dataset.from_list(prompts),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-path", type=Path, help="folder with a TRL that has PPO, where the environment's has not")
    parser.add_argument("--make-model", choices=list(SHAPES), required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--response-length", type=int, default=64)
    parser.add_argument("--ppo-epochs", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    options = parser.parse_args()
    disable_progress_bars()
    torch.set_num_threads(options.threads)
    watches = {name: Stopwatch() for name in ("whole", "generation", "value and reward")}
    with tempfile.TemporaryDirectory() as folder:
        trainer = build_trainer(options, watches, folder)
        before = resident_mb()
        watches["whole"].timed(trainer.train)()
    losses = [entry["loss/policy_avg"] for entry in trainer.state.log_history if "loss/policy_avg" in entry]
    if len(losses) != options.examples // options.batch_size:
        raise SystemExit(f"{len(losses)} rollouts, expected {options.examples // options.batch_size}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "library": f"trl {trl.__version__}", "method": "ppo", "model": options.make_model,
                "examples": options.examples, "batch_size": options.batch_size, "threads": options.threads,
                "dtype": options.dtype, "wall_s": watches["whole"].wall, "cpu_s": watches["whole"].cpu,
                "examples_per_s": options.examples / watches["whole"].wall, "peak_rss_mb": peak,
                "train_delta_mb": peak - before, "generation_cpu_s": watches["generation"].cpu,
                "value_and_reward_cpu_s": watches["value and reward"].cpu, "policy_losses": losses,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
