"""What all sections of a pipeline file are built on: closed and frozen classes, and the fields of stages that train.

Stage kinds and the file as a whole stand in `boresight.config.sections`, which also offers these names.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Below1 = Annotated[float, Field(ge=0.0, lt=1.0)]
Names = str | Annotated[list[str], Field(min_length=1)]
Paths = Names
TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]
TRACKERS: tuple[TrackerName, ...] = get_args(TrackerName)
StopStrings = list[Annotated[str, Field(min_length=1)]]


class Section(BaseModel):
    """A mapping of a pipeline file: frozen, without unknown keys, each field with its meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class RunSection(Section):
    """The run: its name, seed and threads, and what it promises."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Folder name of the run under `runs/`."""
    seed: NonNegativeInt = 0
    """Root of every random choice; each stage derives its own from it and its name."""
    threads: NonNegativeInt = 0
    """CPU threads of PyTorch; 0 leaves the library's choice. Equal results need an equal number."""
    regulated: bool = False
    """Nothing may be decided by AI labels alone: `check` refuses, and gates do not hold, where every label that a
    candidate learned from is a judge's, or an AI judges the comparison (docs/ai_feedback.md)."""
    cost_per_hour: PositiveFloat | None = None
    """What an hour of this machine costs, in whatever currency; the report then tells what each stage took of it."""
    report_to: list[TrackerName] = Field(default=[])
    """Trackers that follow the log of every stage that trains, each of an extra of its own (docs/trackers.md). One that
    fails never ends a run, and metrics.jsonl stays the truth."""


class ModelSection(Section):
    """The model that the pipeline starts from."""

    path: str | None = None
    """Local folder or hub name of the base model, for stages whose `start` or `policy` is `base_model`."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of matrix products; weights, losses and optimizer stay float32, and models are saved so."""
    chat_template: Literal["tokenizer", "chatml", "llama3"] = "tokenizer"
    """The tokenizer's own template, or a built-in one for a base model that has none."""


class DataSection(Section):
    """Where the data of all stages lie."""

    root: str | None = None
    """Folder that relative data paths start from; by default the folder of the pipeline file. Relative, it starts there
    too, or with `--set` from the current folder."""


class StageSection(Section):
    """What every stage has. `REFERENCES` names the fields that hold stage names (or lists of them), `LATE_PATHS` those
    with files that may come while the run waits for them."""

    REFERENCES: ClassVar[tuple[str, ...]] = ()
    PATHS: ClassVar[tuple[str, ...]] = ()
    FITTING: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Kinds of stage that a field of `REFERENCES` may name, where they are not those of `config.references`."""
    LATE_PATHS: ClassVar[tuple[str, ...]] = ()
    kind: str


class OptimizedStage(StageSection):
    """Fields of every stage that trains; AdamW with warm-up, then a schedule down to a fraction of the peak."""

    learning_rate: PositiveFloat
    """Peak learning rate of AdamW."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """Course of the learning rate after the warm-up."""
    warmup_fraction: Fraction = 0.05
    """Share of all steps over which the rate rises linearly from zero."""
    final_rate_fraction: Fraction = 0.0
    """Where the schedule leads, as a fraction of the peak; the last update is one step before that."""
    weight_decay: NonNegativeFloat = 0.0
    """Decoupled decay of weight matrices (not of norms, biases and embeddings)."""
    adam_beta1: Below1 = 0.9
    """Decay of Adam's first moment (Kingma & Ba 2015)."""
    adam_beta2: Below1 = 0.95
    """Decay of Adam's second moment; 0.95 as in LLaMA (Touvron et al. 2023)."""
    adam_epsilon: PositiveFloat = 1e-8
    """Adam's denominator constant; 1e-5 is what PPO implementations use."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this global norm."""
    micro_batch_tokens: PositiveInt | None = 2048
    """Tokens in one forward and backward pass, at least one example (for preferences: pair); gradients are accumulated
    to the same sum as one large batch. null: no limit. Less takes less memory and is often faster on a CPU; on a GPU
    take as many as fit."""
    activation_checkpointing: bool = False
    """Keep only the input of each block for the backward pass and compute the rest again: memory for time, the same
    numbers to the bit (docs/scale.md)."""
    checkpoint_every: PositiveInt = 50
    """Optimizer steps between two checkpoints."""


class BatchedStage(OptimizedStage):
    """Fields of the stages that train on batches of data; those that sample count their batches in prompts."""

    batch_size: PositiveInt = 32
    """Examples (for preferences: pairs) in one optimizer step."""
    micro_batch_size: PositiveInt | None = None
    """Examples in one forward pass, at most; by default as many as `micro_batch_tokens` allows."""


class LoRASection(Section):
    """Low-rank adapters (Hu et al. 2021) in place of training all weights."""

    rank: PositiveInt = 16
    """Rank of the update of each layer; memory and disk grow with it."""
    alpha: PositiveInt = 32
    """The update is scaled by alpha / rank (Hu et al. 2021)."""
    dropout: Below1 = 0.0
    """Share of an adapter's inputs dropped while training; for the kinds that train with dropout: sft, orpo."""
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get an adapter; `all-linear`: every linear layer but the output head."""


class AdaptedStage(Section):
    """Training that leaves the model's own weights as they are."""

    lora: LoRASection | None = None
    """Train low-rank adapters in place of all weights; `lora: {}` takes the defaults, told below. Saved are the merged
    model, in `model/`, and the adapters, in `adapter/`. A learning rate about ten times that of full training suits
    them."""
    quantization: Literal["4bit"] | None = None
    """Keep the frozen weights under the adapters in 4 bits (QLoRA, Dettmers et al. 2023): bitsandbytes, and CUDA."""


class TextStage(AdaptedStage, BatchedStage):
    """Fields of the stages that train on conversations or pairs read from data."""

    max_length: PositiveInt | None = None
    """Longest conversation in tokens; by default the model's context."""
    on_too_long: Literal["error", "drop"] = "error"
    """What to do with a conversation longer than that; dropped ones are counted in the result. Never truncated."""


class PairReading(Section):
    """What stages that read preference files do with rows that make no pair. Whatever is left out is counted, and lies
    in `left_out.jsonl` of the stage's folder with file, line and reason."""

    on_identical: Literal["error", "drop"] = "error"
    """A pair of two equal responses: stop, or leave it out and count it."""
    on_empty: Literal["error", "drop"] = "error"
    """A pair with an empty response: stop, or leave it out and count it."""
    on_context_differs: Literal["error", "drop"] = "error"
    """A transcript pair whose two conversations differ before the last answer: stop, or leave it out and count it."""
    on_unreadable: Literal["error", "drop"] = "error"
    """A row that is damaged or lacks a part: stop, or leave it out and count it."""
