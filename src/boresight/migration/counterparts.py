"""Settings of other tools that need no counterpart here, and why, in groups that all of them share.

A name that ends in `*` stands for all keys that begin so.
"""

MACHINE = (
    "how a machine is used, which changes no result; several processes: boresight launch torchrun --processes N "
    "(docs/scale.md)"
)
KERNEL = "a kernel, which changes the speed and no result; rows are computed without padding here as they are"
HUB = "about uploading; `boresight export` writes the folder to upload"
LOGGING = "every step is logged here, into metrics.jsonl"
EVALUATION = (
    "no loss on held-out data while training, but for a reward model; compare the models in an `evaluate` stage"
)
SAVING = "the last checkpoint is kept until the stage is done, and the same command goes on from it"
READING = "data are read here as they are needed, without a cache or workers"
LOADING = "about loading a model; here transformers loads it from model.path"
REMOTE = "no code from a model's folder is run here"
GENERATION = "about chatting with the model; `boresight chat` asks for it"

NO_SWANLAB = "no such tracker; run.report_to takes others (docs/trackers.md)"
ONLY_ANSWERS = "only the assistant's tokens are trained here"
COARSE = "matrix products are in float32 or bfloat16 here; the run differs"
UNJOINED = "rows are never joined here, so that none sees another"
ONLY_TEXTS = "a run on pictures, videos or sound has no counterpart; only texts are read here"
ELSEWHERE = "belongs to another method than the file's, so nothing reads it, there as here"

HUGGING_FACE: dict[str, str] = {
    **dict.fromkeys(
        ("deepspeed", "fsdp*", "ddp*", "local_rank", "tf32", "torch_compile*", "torch_empty_cache_steps", "use_cpu",
         "parallelism_config", "accelerator_config", "auto_find_batch_size", "device_map", "low_cpu_mem_usage",
         "average_tokens_across_devices", "full_determinism", "skip_memory_metrics", "enable_jit_checkpoint",
         "gradient_checkpointing_kwargs", "activation_checkpointing_kwargs", "activation_offloading", "use_cache",
         "no_cuda", "debug"),
        MACHINE,
    ),
    **dict.fromkeys(
        ("attn_implementation", "use_liger_kernel", "liger_kernel_config", "padding_free", "pad_to_multiple_of",
         "group_by_length", "train_sampling_strategy", "length_column_name"),
        KERNEL,
    ),
    **dict.fromkeys(("push_to_hub*", "hub_*", "trackio_*"), HUB),
    **dict.fromkeys(
        ("logging_*", "log_*", "disable_tqdm", "include_num_input_tokens_seen", "include_tokens_per_second"), LOGGING
    ),
    **dict.fromkeys(
        ("eval_*", "evaluation_strategy", "do_eval", "do_predict", "per_device_eval_batch_size", "metric_for_*",
         "greater_is_better", "prediction_loss_only", "bf16_full_eval", "fp16_full_eval",
         "batch_eval_metrics", "include_for_metrics", "label_names", "predict_with_generate"),
        EVALUATION,
    ),
    **dict.fromkeys(
        ("save_*", "overwrite_output_dir", "resume_from_checkpoint", "ignore_data_skip", "restore_callback_*"), SAVING
    ),
    **dict.fromkeys(
        ("dataloader_*", "dataset_num_proc", "dataset_streaming", "remove_unused_columns", "preprocessing_*",
         "overwrite_cache", "streaming", "buffer_size", "data_seed"),
        READING,
    ),
    **dict.fromkeys(("model_init_kwargs", "cache_dir", "use_fast_tokenizer"), LOADING),
    "load_best_model_at_end": "the result is the last model, not that of the best evaluation; the run differs",
    "trust_remote_code": REMOTE,
    "do_train": "a pipeline trains",
    "neftune_noise_alpha": "no noise is added to embeddings here; the run differs",
    "label_smoothing_factor": "no smoothing of token targets here, but in preference losses; the run differs",
    "router_aux_loss_coef": "no auxiliary loss of experts here; the run differs",
    "env": "variables of the environment are set where the command is started",
    "optim_args": "AdamW takes adam_beta1, adam_beta2 and adam_epsilon here",
    "optim_target_modules": "AdamW updates all weights that are trained",
    "project": "trackers are told by run.report_to (docs/trackers.md)",
}  # fmt: skip

TRL: dict[str, str] = HUGGING_FACE | {
    **dict.fromkeys(
        ("sync_ref_model", "ref_model_mixup_alpha", "ref_model_sync_steps"),
        "the reference of a run never moves here; that is a promise",
    ),
    **dict.fromkeys(
        ("precompute_ref_log_probs", "precompute_ref_batch_size"),
        "log-probabilities of the reference are computed once before the first update wherever that is possible",
    ),
    **dict.fromkeys(("packing*", "eval_packing"), UNJOINED),
    **dict.fromkeys(("accelerate_config", "num_processes", "num_machines"), MACHINE),
    **dict.fromkeys(("dataset_splits", "dataset_configs"), "belongs to dataset_mixer, which is not there"),
    **dict.fromkeys(
        ("beta", "loss_type", "loss_weights", "label_smoothing", "desirable_weight", "undesirable_weight",
         "center_rewards_coefficient"),
        ELSEWHERE,
    ),
    "disable_dropout": "preference and reward stages train without dropout; sft as the model's config says",
    "truncation_mode": "nothing is ever truncated; rows over max_length are left out and counted",
    "assistant_only_loss": f"{ONLY_ANSWERS}, in any case",
    "completion_only_loss": f"{ONLY_ANSWERS}, in any case",
    "dataset_text_field": "rows are conversations here; plain text is for a `pretrain` stage",
    "dataset_kwargs": "rows are read by their form (docs/data.md)",
    "chat_template": "give the tokenizer that template, or set model.chat_template to chatml or llama3",
    "chat_template_path": "give the tokenizer that template, or set model.chat_template to chatml or llama3",
    "eos_token": "the stop token is the one that the chat template writes",
    "pad_token": "padding is never computed here",
    "padding_value": "padding is never computed here",
    "use_weighting": "no weighting by probability (WPO) here; the run differs",
    "ld_alpha": "no length desensitising (LD-DPO) here; the run differs. Nearest: log_ratio: mean",
    "f_divergence_type": "the divergence is the reverse KL here",
    "f_alpha_divergence_coef": "the divergence is the reverse KL here",
    "discopop_tau": "no such loss here",
    "shuffle_dataset": "the order of the rows is drawn anew for each epoch, by the seed",
    **dict.fromkeys(
        ("gamma_beta_ratio", "simpo_gamma", "cpo_alpha"),
        "SimPO's, which is no command of TRL; write a `simpo` stage here: its gamma is gamma_beta_ratio x beta",
    ),
    "max_prompt_length": "the limit is on the whole conversation: max_length",
    "max_completion_length": "the limit is on the whole conversation: max_length",
    "generate_during_eval": GENERATION,
    "is_encoder_decoder": "causal language models only",
    "dataset_test_split": EVALUATION,
    "model_revision": "give the revision's folder in model.path",
    "ignore_bias_buffers": MACHINE,
    "lora_task_type": "the stage's kind decides it",
    "lora_modules_to_save": "beside adapters nothing is trained whole here, but a reward model's head; the run differs",
    "lora_target_parameters": "adapters are put into linear layers only; the run differs",
    "bnb_4bit_quant_storage": MACHINE,
    "use_bnb_nested_quant": "4-bit weights are kept with double quantisation here, in any case",
}  # fmt: skip

LLAMA_FACTORY: dict[str, str] = HUGGING_FACE | {
    **dict.fromkeys(
        ("flash_attn", "use_unsloth*", "enable_liger_kernel", "use_v1_kernels", "shift_attn", "use_kv_cache",
         "block_diag_attn"),
        KERNEL,
    ),
    **dict.fromkeys(("packing", "neat_packing"), UNJOINED),
    **dict.fromkeys(
        ("ray_*", "master_*", "use_reentrant_gc", "upcast_*", "offload_folder", "quantization_device_map", "use_mca",
         "use_megatron_bridge", "megatron_*", "use_hyper_parallel", "hyper_parallel_*",
         "enable_torch_profiler", "profiler_*", "profile_modules", "use_kt", "kt_*", "data_shared_file_system",
         "print_param_status"),
        MACHINE,
    ),
    **dict.fromkeys(("export_*",), "about exporting; `boresight export` does it"),
    **dict.fromkeys(("infer_*", "vllm_*", "sglang_*", "do_sample", "num_beams", "skip_special_tokens"), GENERATION),
    **dict.fromkeys(("swanlab_*", "use_swanlab"), NO_SWANLAB),
    **dict.fromkeys(
        ("galore_*", "use_galore", "apollo_*", "use_apollo", "badam_*", "use_badam", "use_adam_mini", "use_muon"),
        "AdamW is the only optimizer here; the run differs",
    ),
    **dict.fromkeys(
        ("use_dft_loss", "use_asft_loss", "asft_alpha", "use_eaft_loss", "eaft_alpha", "pref_bco_weight", "ld_alpha"),
        "no such loss here; the run differs",
    ),
    **dict.fromkeys(
        ("pissa_*", "loraplus_*", "use_dora", "additional_target", "create_new_adapter", "adapter_name_or_path",
         "adapter_folder"),
        "adapters are plain LoRA on the base model here; the run differs. Merge an adapter first: `boresight export`",
    ),
    **dict.fromkeys(
        ("freeze_trainable_*", "freeze_extra_modules", "use_llama_pro", "oft_*", "module_dropout", "mixture_of_depths"),
        "all weights or LoRA adapters are trained here; the run differs",
    ),
    **dict.fromkeys(
        ("ref_model_adapters", "ref_model_quantization_bit", "reward_model_adapters", "reward_model_quantization_bit"),
        "other roles are whole models here; merge an adapter first: `boresight export`",
    ),
    **dict.fromkeys(
        ("image_*", "video_*", "use_audio_in_video", "audio_*", "media_dir", "freeze_vision_tower",
         "freeze_multi_modal_projector", "freeze_language_model", "crop_to_patches"),
        ONLY_TEXTS,
    ),
    **dict.fromkeys(
        ("resize_vocab", "add_tokens", "add_special_tokens", "new_special_tokens_config", "init_special_tokens",
         "split_special_tokens"),
        "the tokenizer is taken as it is, but for the tokens of model.chat_template",
    ),
    **dict.fromkeys(("mix_strategy", "interleave_probs"), "files are read one after the other and shuffled"),
    **dict.fromkeys(
        ("top_p", "top_k", "repetition_penalty", "length_penalty"),
        "responses are sampled from the whole distribution here, as their log-probabilities are taken",
    ),
    **dict.fromkeys(
        ("pref_*", "simpo_gamma", "kto_*", "dpo_label_smoothing", "ppo_*", "reward_model*", "ref_model",
         "max_new_tokens", "temperature"),
        ELSEWHERE,
    ),
    "fp8*": COARSE,
    "max_length": GENERATION,
    "train_on_prompt": f"{ONLY_ANSWERS}; the run differs",
    "mask_history": "all of the assistant's turns are trained here, not the last one alone; the run differs",
    "ignore_pad_token_for_loss": "padding is never trained",
    "tool_format": "tool calls have no form of their own here",
    "default_system": "put a system message into the data",
    "enable_thinking": "the tokenizer's chat template decides",
    "preserve_thinking": "the tokenizer's chat template decides",
    "tokenized_path": READING,
    "disable_shuffling": "the order of the rows is drawn anew for each epoch, by the seed",
    "plot_loss": "the report has curves: `boresight report RUN`",
    "compute_accuracy": "reward/accuracy and the certificate tell it",
    "include_effective_tokens_per_second": LOGGING,
    "model_revision": "give the revision's folder in model.path",
    "rope_scaling": "set it in the model's config.json",
    "model_max_length": "the limit is max_length of the stage",
    "moe_aux_loss_coef": "no auxiliary loss of experts here; the run differs",
    "quantization_method": "4-bit weights are those of bitsandbytes here",
    "double_quantization": "4-bit weights are kept with double quantisation here, in any case",
    "train_from_scratch": "a `pretrain` stage trains from nothing",
    **dict.fromkeys(("hf_hub_token", "ms_hub_token", "om_hub_token"), "no secret belongs into a pipeline file"),
}  # fmt: skip

AXOLOTL: dict[str, str] = HUGGING_FACE | {
    **dict.fromkeys(
        ("flash_attn*", "flash_attention", "flash_optimum", "sdp_attention", "xformers_attention", "eager_attention",
         "flex_att*", "sage_attention", "lora_mlp_kernel", "lora_qkv_kernel",
         "lora_o_kernel", "lora_embedding_kernel", "use_kernels", "pad_to_sequence_len", "batch_flattening",
         "use_scattermoe", "use_sonicmoe", "multipack_real_batches", "chunked_cross_entropy*", "tiled_mlp*",
         "fused_attn_kernel", "sdpa_varlen", "eval_sample_packing", "dpo_padding_free", "dpo_use_liger_kernel",
         "liger_*", "cut_cross_*"),
        KERNEL,
    ),
    **dict.fromkeys(("sample_packing*", "max_packed_sequence_len"), UNJOINED),
    **dict.fromkeys(("swanlab_*", "use_swanlab"), NO_SWANLAB),
    **dict.fromkeys(
        ("lisa_*", "use_eaft", "eaft_*", "diffusion", "qat"), "no such training here; the run differs"
    ),
    "fp8*": COARSE,
    "plugins": "parts of Axolotl: liger and cut_cross_entropy change the speed alone, others have no counterpart",
    **dict.fromkeys(
        ("deepcompile", "dp_*", "sequence_parallel_degree", "context_parallel_size", "tensor_parallel_size",
         "heads_k_stride", "ring_attn_func", "layer_offloading", "selective_checkpointing", "gc_*", "max_memory",
         "gpu_memory_limit", "ddp", "device", "world_size", "profiler_*", "lora_on_cpu", "qlora_sharded_*", "float32",
         "is_falcon_derived_model",
         "is_llama_derived_model", "is_mistral_derived_model", "is_qwen_derived_model"),
        MACHINE,
    ),
    **dict.fromkeys(
        ("wandb_*", "mlflow_*", "comet_*", "use_wandb", "use_mlflow", "use_comet", "use_trackio", "trackio_*",
         "use_tensorboard"),
        "trackers are told by run.report_to (docs/trackers.md), their projects by their own environment variables",
    ),
    **dict.fromkeys(("evals_per_epoch", "test_datasets", "do_causal_lm_eval", "do_bench_eval", "bench_*"), EVALUATION),
    **dict.fromkeys(("saves_per_epoch", "auto_resume_from_checkpoints", "dynamic_checkpoint"), SAVING),
    **dict.fromkeys(
        ("dataset_prepared_path", "dataset_processes", "dataset_keep_in_memory", "dataset_shard_*", "push_dataset_*",
         "num_dataset_shards_to_save", "skip_prepare_dataset", "shuffle_*", "streaming_*", "pretrain_multipack_*",
         "hf_use_auth_token"),
        READING,
    ),
    **dict.fromkeys(
        ("peft_*", "peft", "loraplus_*", "relora*", "lora_modules_to_save", "lora_model_dir", "lora_rank_pattern",
         "lora_alpha_pattern", "lora_fan_in_fan_out", "lora_target_parameters", "unfrozen_parameters"),
        "adapters are plain LoRA on the base model here; the run differs. Merge an adapter first: `boresight export`",
    ),
    **dict.fromkeys(
        ("special_tokens", "tokens", "added_tokens_overrides", "resize_token_embeddings_*", "fix_untrained_tokens",
         "eot_tokens", "shrink_embeddings", "mean_resizing_embeddings"),
        "the tokenizer is taken as it is, but for the tokens of model.chat_template",
    ),
    **dict.fromkeys(
        ("model_type", "tokenizer_*", "base_model_config", "processor_*", "revision_of_model", "is_preprocess",
         "embeddings_skip_upcast", "cls_model_config", "bnb_config_kwargs", "gptq"),
        LOADING,
    ),
    **dict.fromkeys(
        ("embedding_lr*", "lr_groups", "lr_quadratic_warmup", "lr_div_factor", "cosine_constant_lr_ratio",
         "jagged_restart_*", "adam_beta3", "adam_epsilon2", "dion_*", "qgalore_*", "torchdistx_path"),
        "one rate, AdamW and the schedules cosine, linear and constant are what there is; the run differs",
    ),
    **dict.fromkeys(("generate_samples", "generation_*", "num_generation_samples"), GENERATION),
    **dict.fromkeys(("trl", "vllm", "ebft", "quantization"), "belongs to methods that are not here"),
    **dict.fromkeys(("orpo_alpha", "simpo_gamma", "kto_*", "dpo_*", "center_rewards_coefficient"), ELSEWHERE),
    "strict": "unknown settings are always refused here",
    "train_on_inputs": f"{ONLY_ANSWERS}; the run differs",
    "dpo_use_weighting": "no weighting by probability (WPO) here; the run differs",
    "precompute_ref_log_probs": TRL["precompute_ref_log_probs"],
    "cpo_alpha": ELSEWHERE,
    "chat_template_jinja": "give the tokenizer that template, or set model.chat_template to chatml or llama3",
    "chat_template_kwargs": "the tokenizer's chat template decides",
    "default_system_message": "put a system message into the data",
    "dataset_exact_deduplication": "`filters: {duplicates: drop}` of a `preferences` stage, or `boresight data filter`",
    "early_stopping_patience": "early_stopping_patience of a `reward_model` stage; no other stage stops early",
    "loss_watchdog_*": "a loss that is not finite stops the run; the doctor watches the rest",
    "num_labels": "a reward model has one label",
    "min_sample_len": "`boresight data filter` leaves out short rows",
    "max_prompt_len": "the limit is on the whole conversation: max_length",
    "eval_sequence_len": EVALUATION,
    "hf_mirror": LOADING,
}  # fmt: skip
