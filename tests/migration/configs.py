"""Configs as people keep them for the three tools, with the settings that each must become.

The expected values are worked out by hand from the tools' documented meanings and defaults, which are named beside them
where they are not in the file.
"""

from typing import Any, NamedTuple


class Case(NamedTuple):
    tool: str
    text: str
    stages: dict[str, Any]
    """Expected fields by dotted name, under `stages`."""
    run: dict[str, Any]
    """Expected fields of `run` and `model`."""
    named: set[str]
    """Settings that have no counterpart."""


TRL_SFT = Case(
    "trl",
    """\
# trl sft --config sft.yaml
model_name_or_path: Qwen/Qwen2.5-0.5B
dataset_name: trl-lib/Capybara
learning_rate: 2e-4
lr_scheduler_type: cosine_with_min_lr
lr_scheduler_kwargs: {min_lr_rate: 0.1}
warmup_steps: 100
max_steps: 1000
packing: true
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
max_length: 2048
use_peft: true
lora_target_modules: [all-linear]
logging_steps: 25
eval_strategy: steps
eval_steps: 100
output_dir: ./Qwen2.5-0.5B-SFT
push_to_hub: true
report_to: [wandb, tensorboard]
""",
    {
        "sft.kind": "sft", "sft.start": "base_model", "sft.data": "data/Capybara.jsonl", "sft.steps": 1000,
        "sft.learning_rate": 2e-4, "sft.schedule": "cosine", "sft.final_rate_fraction": 0.1,
        "sft.warmup_fraction": 0.1, "sft.batch_size": 8, "sft.micro_batch_size": 4, "sft.micro_batch_tokens": None,
        "sft.max_length": 2048, "sft.on_too_long": "drop", "sft.activation_checkpointing": True,  # TRL: on
        "sft.adam_beta2": 0.999,  # transformers: 0.999
        # TRL: r 16, alpha 32, dropout 0.05
        "sft.lora": {"rank": 16, "alpha": 32, "dropout": 0.05, "target_modules": "all-linear"},
    },
    {"run.name": "Qwen2.5-0.5B-SFT", "run.report_to": ["wandb", "tensorboard"], "run.seed": 42,
     "model.path": "Qwen/Qwen2.5-0.5B", "model.dtype": "bfloat16"},  # TRL: bf16 unless fp16
    {"packing", "logging_steps", "eval_strategy", "eval_steps", "push_to_hub"},
)  # fmt: skip
TRL_REWARD = Case(
    "trl",
    """\
model_name_or_path: models/sft
dataset_name: data/pairs.jsonl
center_rewards_coefficient: 0.01
num_train_epochs: 1
bf16: false
disable_dropout: true
run_name: my scorer
""",
    {
        "pairs.sources": ["data/pairs.jsonl"], "pairs.filters": {"duplicates": "keep"},
        "pairs.held_out_fraction": 0.0, "scorer.kind": "reward_model", "scorer.data": "pairs",
        "scorer.learning_rate": 1e-4, "scorer.schedule": "linear", "scorer.warmup_fraction": 0.0,  # TRL, transformers
        "scorer.centering_coefficient": 0.01, "scorer.batch_size": 8, "scorer.epochs": 1.0,
        "scorer.max_length": 1024,
    },
    {"run.name": "my-scorer", "model.dtype": "float32"},
    {"disable_dropout"},
)  # fmt: skip
TRL_DPO = Case(
    "trl",
    """\
{
  "model_name_or_path": "Qwen/Qwen2.5-0.5B-Instruct",
  "dataset_name": "trl-lib/ultrafeedback_binarized",
  "loss_type": ["ipo", "sft"], "loss_weights": [1.0, 0.25], "label_smoothing": 0.0, "beta": 0.2,
  "use_peft": true, "lora_r": 32, "lora_alpha": 16, "use_rslora": false, "load_in_4bit": true,
  "optim": "paged_adamw_8bit", "precompute_ref_log_probs": true, "sync_ref_model": false,
  "warmup_ratio": 0.1, "seed": 7
}
""",
    {
        "dpo.policy": "base_model", "dpo.reference": "base_model", "dpo.beta": 0.2, "dpo.loss": "ipo",
        "dpo.log_ratio": "mean", "dpo.sft_coefficient": 0.25, "dpo.epochs": 3.0, "dpo.learning_rate": 1e-6,
        "dpo.warmup_fraction": 0.1, "dpo.quantization": "4bit",
        # TRL's dropout of 0.05 has no counterpart; PEFT names q_proj and v_proj.
        "dpo.lora": {"rank": 32, "alpha": 16, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]},
    },
    {"run.name": "dpo-from-trl", "run.seed": 7},
    {"optim", "precompute_ref_log_probs", "sync_ref_model"},
)  # fmt: skip
TRL_KTO = Case(
    "trl",
    """\
model_name_or_path: Qwen/Qwen2.5-0.5B-Instruct
dataset_name: trl-lib/kto-mix-14k
desirable_weight: 1.0
undesirable_weight: 1.33
lr_scheduler_type: constant
loss_type: apo_zero_unpaired
weight_decay: 0.1
""",
    {
        "kto.kind": "kto", "kto.data": "data/kto-mix-14k.jsonl", "kto.undesirable_weight": 1.33, "kto.beta": 0.1,
        "kto.schedule": "constant", "kto.weight_decay": 0.1, "kto.learning_rate": 1e-6,
    },
    {},
    {"loss_type"},
)  # fmt: skip
LF_SFT = Case(
    "llamafactory",
    """\
### model
model_name_or_path: meta-llama/Meta-Llama-3-8B
trust_remote_code: true
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: q_proj,v_proj
quantization_bit: 4
### dataset
dataset: identity,alpaca_en_demo
template: llama3
cutoff_len: 1024
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
plot_loss: true
report_to: none
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
resume_from_checkpoint: null
""",
    {
        "sft.data": ["data/identity.jsonl", "data/alpaca_en_demo.jsonl"], "sft.epochs": 3.0, "sft.batch_size": 8,
        "sft.micro_batch_size": 1, "sft.quantization": "4bit", "sft.max_length": 1024,
        "sft.activation_checkpointing": False,
        # LLaMA-Factory: alpha is twice the rank, no dropout
        "sft.lora": {"rank": 8, "alpha": 16, "dropout": 0.0, "target_modules": ["q_proj", "v_proj"]},
    },
    {"run.name": "sft", "model.chat_template": "llama3", "model.dtype": "bfloat16"},
    {"trust_remote_code", "do_train", "max_samples", "overwrite_cache", "preprocessing_num_workers", "logging_steps",
     "plot_loss", "resume_from_checkpoint"},
)  # fmt: skip
LF_DPO = Case(
    "llamafactory",
    """\
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
stage: dpo
pref_loss: simpo
pref_beta: 2.5
simpo_gamma: 1.2
finetuning_type: full
dataset: dpo_en_demo
template: qwen3_nothink
val_size: 0.1
disable_gradient_checkpointing: true
lr_scheduler_type: polynomial
use_galore: true
report_to: swanlab
deepspeed: examples/deepspeed/ds_z3_config.json
""",
    {
        "pairs.held_out_fraction": 0.1, "simpo.kind": "simpo", "simpo.start": "base_model", "simpo.beta": 2.5,
        "simpo.gamma": 1.2, "simpo.learning_rate": 5e-5, "simpo.max_length": 2048, "simpo.schedule": "cosine",
    },
    {"model.chat_template": "tokenizer", "model.dtype": "float32"},
    {"template", "report_to", "lr_scheduler_type", "use_galore", "deepspeed"},
)  # fmt: skip
LF_RM = Case(
    "llamafactory",
    """\
model_name_or_path: Qwen/Qwen3-4B-Instruct-2507
stage: rm
dataset: dpo_en_demo
lora_rank: 16
lora_alpha: 8
lora_dropout: 0.1
lora_target: all
save_steps: 500
fp16: true
""",
    {
        "scorer.kind": "reward_model", "scorer.centering_coefficient": 0.0, "scorer.checkpoint_every": 500,
        "scorer.lora": {"rank": 16, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear"},
    },
    {"model.dtype": "bfloat16"},
    {"lora_dropout", "fp16"},
)  # fmt: skip
LF_PPO = Case(
    "llamafactory",
    """\
model_name_or_path: models/sft
reward_model: saves/reward
reward_model_type: full
stage: ppo
dataset: prompts
per_device_train_batch_size: 4
gradient_accumulation_steps: 2
ppo_buffer_size: 4
ppo_epochs: 2
ppo_score_norm: true
ppo_target: 4.0
learning_rate: 1.0e-5
max_steps: 60
max_new_tokens: 256
temperature: 1.0
top_k: 0
top_p: 0.9
cutoff_len: 1024
""",
    {
        "ppo.kind": "ppo", "ppo.policy": "base_model", "ppo.reward.kind": "service", "ppo.steps": 60,
        "ppo.prompts_per_step": 32, "ppo.minibatches": 4, "ppo.ppo_epochs": 2, "ppo.reward_scale": "running",
        "ppo.target_kl_per_sequence": 4.0, "ppo.kl_coefficient": 0.2, "ppo.max_new_tokens": 256,
        "ppo.temperature": 1.0, "ppo.roles": "one_trunk", "ppo.prompts": ["data/prompts.jsonl"],
    },
    {"run.seed": 42},
    {"top_k", "top_p", "cutoff_len"},
)  # fmt: skip
AXOLOTL_SFT = Case(
    "axolotl",
    """\
base_model: NousResearch/Llama-3.2-1B
load_in_8bit: false
load_in_4bit: true
adapter: qlora
datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
val_set_size: 0.1
output_dir: ./outputs/out
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
wandb_project:
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 0.0002
bf16: true
gradient_checkpointing: true
warmup_ratio: 0.1
evals_per_epoch: 4
special_tokens:
  pad_token: "<|end_of_text|>"
""",
    {
        "sft.data": "data/GPT4-LLM-Cleaned.jsonl", "sft.epochs": 1.0, "sft.batch_size": 8, "sft.max_length": 2048,
        "sft.on_too_long": "drop", "sft.quantization": "4bit", "sft.warmup_fraction": 0.1,
        "sft.activation_checkpointing": True, "sft.adam_beta2": 0.999,
        "sft.lora": {"rank": 32, "alpha": 16, "dropout": 0.05, "target_modules": "all-linear"},
    },
    {"run.name": "out", "run.seed": 42, "model.dtype": "bfloat16", "model.chat_template": "tokenizer"},
    {"datasets[0].type", "val_set_size", "sample_packing", "wandb_project", "optimizer", "evals_per_epoch",
     "special_tokens.pad_token"},
)  # fmt: skip
AXOLOTL_DPO = Case(
    "axolotl",
    """\
base_model: models/sft
chat_template: chatml
rl: dpo
rl_beta: 0.3
dpo_label_smoothing: 0.1
datasets:
  - path: Intel/orca_dpo_pairs
    split: train[:500]
    type: chatml.intel
sequence_len: 4096
excess_length_strategy: raise
micro_batch_size: 2
gradient_accumulation_steps: 8
num_epochs: 2
learning_rate: 5e-6
cosine_min_lr_ratio: 0.1
max_grad_norm: 0.5
bf16: auto
""",
    {
        "pairs.sources": ["data/orca_dpo_pairs.jsonl"], "dpo.beta": 0.3, "dpo.loss": "sigmoid",
        "dpo.label_smoothing": 0.1, "dpo.on_too_long": "error", "dpo.schedule": "cosine",
        "dpo.final_rate_fraction": 0.1, "dpo.warmup_fraction": 0.03, "dpo.max_grad_norm": 0.5, "dpo.batch_size": 16,
    },  # Axolotl: cosine, a warm-up of 3 %
    {"model.chat_template": "chatml", "model.dtype": "bfloat16"},  # auto: on where there is a GPU for it
    {"datasets[0].type"},
)  # fmt: skip
AXOLOTL_KTO = Case(
    "axolotl",
    """\
base_model: meta-llama/Llama-3.2-1B
rl: kto
rl_beta: 0.5
kto_desirable_weight: 0.2
datasets:
  - {path: argilla/kto-mix, type: llama3.ultra}
adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_modules: [q_proj, o_proj]
micro_batch_size: 4
num_epochs: 1
learning_rate: 0.00002
tf32: true
bf16: false
""",
    {
        "kto.beta": 0.5, "kto.desirable_weight": 0.2, "kto.undesirable_weight": 1.0, "kto.batch_size": 4,
        "kto.lora.target_modules": ["q_proj", "o_proj"],
    },
    {"model.dtype": "float32"},
    {"datasets[0].type", "tf32"},
)  # fmt: skip
AXOLOTL_ORPO = Case(
    "axolotl",
    """\
base_model: mistralai/Mistral-7B-v0.1
rl: orpo
orpo_alpha: 0.2
datasets:
  - {path: argilla/orpo-mix, type: chat_template.argilla}
learning_rate: 8e-6
micro_batch_size: 1
batch_size: 16
""",
    {"orpo.odds_ratio_coefficient": 0.2, "orpo.start": "base_model", "orpo.max_length": 512, "orpo.batch_size": 16},
    {"model.dtype": "bfloat16"},  # Axolotl: auto
    {"datasets[0].type"},
)
CASES = {
    "trl_sft": TRL_SFT, "trl_reward": TRL_REWARD, "trl_dpo": TRL_DPO, "trl_kto": TRL_KTO, "llamafactory_sft": LF_SFT,
    "llamafactory_dpo": LF_DPO, "llamafactory_rm": LF_RM, "llamafactory_ppo": LF_PPO, "axolotl_sft": AXOLOTL_SFT,
    "axolotl_dpo": AXOLOTL_DPO, "axolotl_kto": AXOLOTL_KTO, "axolotl_orpo": AXOLOTL_ORPO,
}  # fmt: skip
