"""One class for each section of a pipeline file; the text under a field is its meaning, unit and origin.

Frozen and closed: a value is never changed after loading, and an unknown key is an error. What one field alone can
tell is checked here; what takes two fields or two stages is checked in `boresight.config.rules`. The stages that learn
from preference pairs stand in `boresight.config.preference_stages`, and are offered here.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from boresight.config.preference_stages import DPOStage as DPOStage
from boresight.config.preference_stages import KTOStage as KTOStage
from boresight.config.preference_stages import ORPOStage as ORPOStage
from boresight.config.preference_stages import PreferenceStage as PreferenceStage
from boresight.config.preference_stages import RewardModelStage as RewardModelStage
from boresight.config.preference_stages import SimPOStage as SimPOStage
from boresight.config.section_bases import AdaptedStage as AdaptedStage
from boresight.config.section_bases import BatchedStage as BatchedStage
from boresight.config.section_bases import DataSection as DataSection
from boresight.config.section_bases import Fraction as Fraction
from boresight.config.section_bases import LoRASection as LoRASection
from boresight.config.section_bases import ModelSection as ModelSection
from boresight.config.section_bases import OptimizedStage as OptimizedStage
from boresight.config.section_bases import PairReading as PairReading
from boresight.config.section_bases import Paths as Paths
from boresight.config.section_bases import RunSection as RunSection
from boresight.config.section_bases import Section as Section
from boresight.config.section_bases import StageSection as StageSection
from boresight.config.section_bases import TextStage as TextStage


class PretrainStage(BatchedStage):
    """Train a byte-level BPE tokenizer and a small Llama-architecture model from text: a base where there is none."""

    PATHS: ClassVar = ("data",)
    kind: Literal["pretrain"]
    data: Paths
    """Text files (documents parted by blank lines) or any record file, whose conversations are then the documents."""
    vocabulary_size: PositiveInt = 1536
    """Tokens of the tokenizer, special ones included."""
    context_length: PositiveInt = 256
    """Longest sequence in tokens that the model may see (max_position_embeddings)."""
    hidden_size: PositiveInt = 128
    """Width of the residual stream."""
    intermediate_size: PositiveInt = 352
    """Width of the SwiGLU layer."""
    layers: PositiveInt = 4
    """Transformer blocks."""
    heads: PositiveInt = 4
    """Attention heads; hidden_size is divisible by it."""
    initializer_range: PositiveFloat = 0.06
    """Deviation of the initial weights. transformers' 0.02 suits wide models; a narrow one learns to copy much later
    with it (measured on the embedded example: the width's share, 0.7 / sqrt(hidden_size), is 0.06 at 128)."""
    chat_template: Literal["chatml", "llama3"] = "chatml"
    """Template whose special tokens the tokenizer gets."""
    sequence_length: PositiveInt = 64
    """Tokens of one training row; documents are joined with the end-of-text token."""
    steps: PositiveInt
    """Optimizer steps."""
    learning_rate: PositiveFloat = 4e-3
    batch_size: PositiveInt = 48
    weight_decay: NonNegativeFloat = 0.05


class SFTStage(TextStage):
    """Supervised fine-tuning: cross-entropy over the assistant's tokens only, the stop token included."""

    REFERENCES: ClassVar = ("start",)
    PATHS: ClassVar = ("data",)
    kind: Literal["sft"]
    start: str = "base_model"
    """Stage whose model is trained on, or `base_model` for `model.path`."""
    data: Paths
    """Demonstrations; of preference files the chosen responses."""
    epochs: PositiveFloat | None = None
    """Passes over the data; give this or `steps`."""
    steps: PositiveInt | None = None
    """Optimizer steps; give this or `epochs`."""
    learning_rate: PositiveFloat = 2e-5


class SampleStage(StageSection):
    """Several responses to each prompt."""

    REFERENCES: ClassVar = ("policy",)
    PATHS: ClassVar = ("prompts",)
    kind: Literal["sample"]
    policy: str | list[str]
    """Stage (or stages) whose model answers."""
    prompts: Paths
    """Prompt records; of demonstration and preference files the prompts."""
    limit: PositiveInt | None = None
    """Use this many prompts, drawn by the seed; by default all."""
    responses_per_prompt: PositiveInt = 4
    """Responses of each model to each prompt, spread evenly over the temperatures."""
    temperatures: list[NonNegativeFloat] = Field(default=[1.0], min_length=1)
    """Sampling temperatures; 0 is greedy."""
    max_new_tokens: PositiveInt = 128
    """Longest response in tokens."""
    on_too_long: Literal["error", "drop"] = "error"
    """A prompt that leaves no room for the response in a model's context: stop, or leave it out and count it."""
    batch_size: PositiveInt = 128
    """Responses decoded at once."""


class RulesJudge(Section):
    """Scores a response by its prompt's `expect` (see `boresight.feedback.rule_judge`)."""

    kind: Literal["rules"]
    noise: Fraction = 0.0
    """Share of verdicts turned round at random, to imitate people who disagree."""
    tie_margin: NonNegativeFloat = 0.0
    """Scores that differ by at most this are a tie."""


class RewardModelJudge(Section):
    """A reward model as judge: the higher score wins."""

    kind: Literal["reward_model"]
    model: str
    """Reward-model stage."""
    tie_margin: NonNegativeFloat = 0.0
    """Scores that differ by at most this are a tie."""


Judge = Annotated[RulesJudge | RewardModelJudge, Field(discriminator="kind")]


class AILabelsStage(StageSection):
    """Preference pairs from sampled responses, chosen by a judge that sees both orders."""

    REFERENCES: ClassVar = ("responses", "judge.model")
    kind: Literal["ai_labels"]
    responses: str
    """`sample` stage."""
    judge: Judge
    """Who prefers: `{kind: rules}` or `{kind: reward_model, model: STAGE}`, with its own settings."""
    pairs_per_prompt: PositiveInt = 1
    """Pairs taken from one prompt, widest difference first; ties are never taken."""


class PairFilters(Section):
    """They run in this order from `ties` on: a pair goes for the first reason that holds."""

    ties: Literal["keep", "drop"] = "keep"
    """Drop a pair of which neither response was preferred (`p_chosen` 0.5 or `strength` 0)."""
    duplicates: Literal["keep", "drop", "drop_near"] = "drop"
    """Drop a pair that stands in the data already, word for word; `drop_near` also where it differs in small changes
    (needs rensa, in the extra `data`)."""
    max_length_ratio: PositiveFloat | None = None
    """Drop a pair whose chosen response is more than this many times as long as the rejected one."""
    length_unit: Literal["words", "characters"] = "words"
    """What `max_length_ratio` counts."""
    max_per_prompt: PositiveInt | None = None
    """Drop the pairs of a prompt beyond its first so many."""
    balance_length: bool = False
    """Drop pairs until the chosen response is as often longer as shorter, in each kind."""


class PreferencesStage(PairReading, StageSection):
    """Join, check, filter and split preference data; nothing vanishes uncounted."""

    REFERENCES: ClassVar = ("sources",)
    PATHS: ClassVar = ("sources",)
    kind: Literal["preferences"]
    sources: list[str] = Field(min_length=1)
    """Stages that make pairs, and preference files."""
    columns: dict[Literal["prompt", "chosen", "rejected", "kind", "p_chosen"], str] = Field(default={})
    """Names of the columns of CSV sources, where they are not the usual ones."""
    filters: PairFilters = PairFilters()
    """What else is left out: `ties`, `duplicates`, `max_length_ratio` (in `length_unit`), `max_per_prompt`,
    `balance_length`; each is counted, and what went lies in `dropped.jsonl` with the reason."""
    held_out_fraction: Fraction = 0.1
    """Share of prompts whose pairs are kept from training, for the reward model's certificate."""
    held_out_groups: Literal["beginnings", "paraphrases"] = "beginnings"
    """What is held out together: conversations that begin with the same message of the user, or paraphrases of it too
    (the same words in another order, near duplicates; needs rensa, in the extra `data`). What is near to both sides is
    then left out, counted, and lies in `dropped.jsonl`."""


class PolicyStage(AdaptedStage, OptimizedStage):
    """Fields of the stages that sample from the policy while they train it."""

    REFERENCES: ClassVar = ("policy", "reference", "reward")
    PATHS: ClassVar = ("prompts",)
    policy: str
    """Stage whose model is trained on: the SFT model."""
    reference: str
    """Stage whose model is the frozen anchor of the KL penalty."""
    reward: str
    """`reward_model` stage."""
    prompts: Paths
    """Prompt records."""
    roles: Literal["separate", "shared"] | None = None
    """Where the weights of policy, reference and reward model lie. `separate`: a model each. `shared`: one frozen base
    in memory, and adapters in it for every role that was trained from it. By default `shared` with `lora`, otherwise
    `separate`."""
    offload: list[Literal["reference", "reward"]] = Field(default=[])
    """Frozen roles that wait in the memory of the CPU until they are asked; for models of their own, on a GPU."""
    steps: PositiveInt
    """Rollout batches."""
    prompts_per_step: PositiveInt = 64
    """Prompts of one rollout batch."""
    responses_per_prompt: PositiveInt = 1
    """Responses to each of them."""
    max_new_tokens: PositiveInt = 128
    """Longest response in tokens."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature; every log-probability is taken at it."""
    kl_coefficient: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the reward, reward units a nat (Huang et al. 2024: 0.05)."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Per-token estimator of the penalty (Schulman 2020)."""
    missing_stop_penalty: NonNegativeFloat | None = 1.0
    """A response without stop token gets minus this as its (normalised) score in place of the reward model's; null
    leaves it the score it has."""
    normalize_reward: bool = True
    """Shift and scale scores to mean 0, deviation 1 over responses of the reference, measured once at the start."""
    normalization_prompts: PositiveInt = 256
    """Prompts for that measurement."""
    minibatches: PositiveInt = 2
    """Optimizer steps over one rollout batch and epoch."""
    clip_range: PositiveFloat = 0.2
    """Ratios outside 1 +- this give no further gradient (Schulman et al. 2017)."""
    adam_epsilon: PositiveFloat = 1e-5
    checkpoint_every: PositiveInt = 5
    learning_rate: PositiveFloat = 1e-6
    schedule: Literal["cosine", "linear", "constant"] = "linear"
    warmup_fraction: Fraction = 0.0

    @property
    def layout(self) -> str:
        """`roles`, or what stands in for it."""
        return self.roles or ("separate" if self.lora is None else "shared")


class PPOStage(PolicyStage):
    """Proximal policy optimisation with a value model, a frozen reference and a frozen reward model."""

    kind: Literal["ppo"]
    roles: Literal["separate", "shared", "one_trunk"] | None = None  # type: ignore[assignment]
    """Where the weights of policy, value model, reference and reward model lie. `separate`: a model each. `shared`: one
    frozen base in memory, and adapters in it for every role that was trained from it. `one_trunk`: so, and the value
    model is a second head on the policy, which halves the work of an update and lets its loss move the policy's
    weights; without `lora` too. By default `shared` with `lora`, otherwise `separate`."""
    ppo_epochs: PositiveInt = 4
    """Passes over one rollout batch."""
    gamma: Fraction = 1.0
    """Discount."""
    gae_lambda: Fraction = 0.95
    """Lambda of generalised advantage estimation (Schulman et al. 2016)."""
    value_clip_range: PositiveFloat = 0.2
    """Values may move this far from the rollout's before the clipped loss takes over."""
    value_learning_rate: PositiveFloat | None = None
    """Peak rate of the value model; by default the policy's."""
    value_start: Literal["reward", "policy"] | None = None
    """Weights that the value model starts from; by default the reward model's (Ouyang et al. 2022). On one trunk always
    the policy's, with a head of zeros."""
    value_coefficient: PositiveFloat | None = None
    """Weight of the value loss beside the policy's on one trunk; by default 0.1 (Huang et al. 2024). Models apart have
    learning rates of their own instead."""
    value_warmup_steps: NonNegativeInt = 0
    """First rollout batches in which only the value model learns."""
    target_kl_per_sequence: PositiveFloat | None = None
    """Aim of the adaptive KL controller in nats a response (Ziegler et al. 2019); none: fixed coefficient."""
    kl_horizon: PositiveFloat = 10000.0
    """Responses over which the adaptive controller acts."""
    entropy_coefficient: NonNegativeFloat = 0.0
    """Weight of the policy's entropy in its objective."""

    @property
    def value_source(self) -> str:
        """`value_start`, or what stands in for it."""
        return "policy" if self.roles == "one_trunk" else self.value_start or "reward"

    @property
    def trunk_value_coefficient(self) -> float:
        """`value_coefficient`, or what stands in for it."""
        return 0.1 if self.value_coefficient is None else self.value_coefficient


class RLOOStage(PolicyStage):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024): PPO without the value model."""

    kind: Literal["rloo"]
    responses_per_prompt: PositiveInt = Field(default=4, ge=2)
    rloo_epochs: PositiveInt = 1
    """Passes over one rollout batch."""


class EvaluateStage(StageSection):
    """Blind pairwise comparison of candidates with a baseline on held-out prompts, in both orders."""

    REFERENCES: ClassVar = ("candidates", "baseline", "judge.model")
    PATHS: ClassVar = ("prompts",)
    kind: Literal["evaluate"]
    candidates: list[str] = Field(min_length=1)
    """Stages whose models are compared."""
    baseline: str
    """Stage whose model they are compared with."""
    prompts: Paths
    """Held-out prompt records."""
    limit: PositiveInt | None = None
    """Use this many prompts, drawn by the seed; by default all."""
    judge: Judge
    """Who compares: `{kind: rules}` or `{kind: reward_model, model: STAGE}`, with its own settings."""
    temperature: NonNegativeFloat = 0.0
    """Temperature of the compared responses, fixed beforehand; 0 is greedy."""
    max_new_tokens: PositiveInt = 128
    """Longest response in tokens."""
    on_too_long: Literal["error", "drop"] = "error"
    """A prompt that leaves no room for the response in a model's context: stop, or leave it out and count it."""
    batch_size: PositiveInt = 128
    """Responses decoded at once."""


class Bounds(Section):
    min: float | None = None
    """The measure holds where it is at least this."""
    max: float | None = None
    """The measure holds where it is at most this."""


class GateStage(StageSection):
    """Pass or fail, with reasons; `boresight run` exits 1 where it does not hold."""

    REFERENCES: ClassVar = ("of", "candidates")
    kind: Literal["gate"]
    of: str
    """`evaluate` stage."""
    candidates: list[str] | None = None
    """Candidates that must hold; by default all of that stage."""
    min_win_rate: Fraction = 0.60
    """Win rate against the baseline, ties as halves."""
    min_lower_bound: Fraction = 0.50
    """Lower end of its 95 % interval."""
    measures: dict[str, Bounds] = Field(default={})
    """Bounds on any measure of the evaluation, by name (for example `agrees_with_false_premise: {max: 0.15}`)."""


Stage = Annotated[
    PretrainStage | SFTStage | SampleStage | AILabelsStage | PreferencesStage | RewardModelStage | PPOStage
    | RLOOStage | DPOStage | ORPOStage | SimPOStage | KTOStage
    | EvaluateStage | GateStage,
    Field(discriminator="kind"),
]  # fmt: skip

STAGE_CLASSES: dict[str, type[StageSection]] = {
    "pretrain": PretrainStage, "sft": SFTStage, "sample": SampleStage, "ai_labels": AILabelsStage,
    "preferences": PreferencesStage, "reward_model": RewardModelStage, "ppo": PPOStage, "rloo": RLOOStage,
    "dpo": DPOStage, "orpo": ORPOStage, "simpo": SimPOStage, "kto": KTOStage,
    "evaluate": EvaluateStage, "gate": GateStage,
}  # fmt: skip


class PipelineSections(Section):
    """The whole file. `quick` holds dotted overrides that shrink the run to a smoke test (`--quick`)."""

    run: RunSection
    """Name and seed, as in `run: {name: first, seed: 7}`."""
    model: ModelSection = ModelSection()
    """The base model, where no `pretrain` stage makes one."""
    data: DataSection = DataSection()
    """Where data paths start from."""
    stages: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Stage] = Field(min_length=1)
    """What is done, by name; each stage has a `kind`."""
    quick: dict[str, Any] = Field(default={})
    """Dotted overrides applied by `--quick`, for example `stages.base.steps: 40`."""
