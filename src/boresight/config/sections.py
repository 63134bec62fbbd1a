"""One class for each section of a pipeline file; the text under a field is its meaning, unit and origin.

Frozen and closed: a value is never changed after loading, and an unknown key is an error. What one field alone can
tell is checked here; what takes two fields or two stages is checked in `boresight.config.rules`. The stages that learn
from preference pairs stand in `boresight.config.preference_stages`, those that sample from the policy in
`boresight.config.policy_stages`; both are offered here.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from boresight.config.judge_sections import JUDGE_PATHS, Judge
from boresight.config.judge_sections import LocalModelJudge as LocalModelJudge
from boresight.config.judge_sections import OpenAIJudge as OpenAIJudge
from boresight.config.judge_sections import ReviseSection as ReviseSection
from boresight.config.judge_sections import RewardModelJudge as RewardModelJudge
from boresight.config.judge_sections import RulesJudge as RulesJudge
from boresight.config.policy_stages import PolicyStage as PolicyStage
from boresight.config.policy_stages import PPOStage as PPOStage
from boresight.config.policy_stages import RLOOStage as RLOOStage
from boresight.config.preference_stages import DPOStage as DPOStage
from boresight.config.preference_stages import KTOStage as KTOStage
from boresight.config.preference_stages import ORPOStage as ORPOStage
from boresight.config.preference_stages import PreferenceStage as PreferenceStage
from boresight.config.preference_stages import RewardModelStage as RewardModelStage
from boresight.config.preference_stages import SimPOStage as SimPOStage
from boresight.config.reward_sections import AnswerReward as AnswerReward
from boresight.config.reward_sections import EnsembleReward as EnsembleReward
from boresight.config.reward_sections import JudgeReward as JudgeReward
from boresight.config.reward_sections import LengthReward as LengthReward
from boresight.config.reward_sections import MatchReward as MatchReward
from boresight.config.reward_sections import ModelReward as ModelReward
from boresight.config.reward_sections import RewardSection as RewardSection
from boresight.config.reward_sections import RulesReward as RulesReward
from boresight.config.reward_sections import ServiceReward as ServiceReward
from boresight.config.section_bases import AdaptedStage as AdaptedStage
from boresight.config.section_bases import BatchedStage as BatchedStage
from boresight.config.section_bases import Below1 as Below1
from boresight.config.section_bases import DataSection as DataSection
from boresight.config.section_bases import Fraction as Fraction
from boresight.config.section_bases import LoRASection as LoRASection
from boresight.config.section_bases import ModelSection as ModelSection
from boresight.config.section_bases import Names as Names
from boresight.config.section_bases import OptimizedStage as OptimizedStage
from boresight.config.section_bases import PairReading as PairReading
from boresight.config.section_bases import Paths as Paths
from boresight.config.section_bases import RunSection as RunSection
from boresight.config.section_bases import Section as Section
from boresight.config.section_bases import StageSection as StageSection
from boresight.config.section_bases import StopStrings as StopStrings
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

    REFERENCES: ClassVar = ("start", "data")
    PATHS: ClassVar = ("data",)
    FITTING: ClassVar = {"data": ("sample",)}
    kind: Literal["sft"]
    start: str = "base_model"
    """Stage whose model is trained on, or `base_model` for `model.path`."""
    data: Paths
    """Demonstrations; of preference files the chosen responses; of a `sample` stage the responses that stopped, such as
    the best of several or revised ones."""
    epochs: PositiveFloat | None = None
    """Passes over the data; give this or `steps`."""
    steps: PositiveInt | None = None
    """Optimizer steps; give this or `epochs`."""
    learning_rate: PositiveFloat = 2e-5


class SampleStage(StageSection):
    """Several responses to each prompt."""

    REFERENCES: ClassVar = ("policy", "reward")
    PATHS: ClassVar = ("prompts", "revise.constitution_file", "revise.by.path")
    kind: Literal["sample"]
    policy: Names
    """Stage (or stages) whose model answers."""
    prompts: Paths
    """Prompt records; of demonstration and preference files the prompts."""
    limit: PositiveInt | None = None
    """Use this many prompts, drawn by the seed; by default all."""
    responses_per_prompt: PositiveInt = 4
    """Responses of each model to each prompt, spread evenly over the temperatures."""
    best_of: Annotated[int, Field(ge=2)] | None = None
    """Draw this many for each of them and keep the one that `reward` scores highest, with the scores of all: best-of-n,
    a policy at most log n - (n - 1) / n nats from the sampled one (Stiennon et al. 2020; Beirami et al. 2024)."""
    reward: str | None = None
    """`reward_model` stage that chooses, where `best_of` is given."""
    revise: ReviseSection | None = None
    """Criticise and rewrite each response (after `best_of`) by a principle: supervised data for an `sft` stage. A
    response keeps its original, the critique and the principle under `revision`; one that could not be rewritten is
    left out and counted."""
    temperatures: list[NonNegativeFloat] = Field(default=[1.0], min_length=1)
    """Sampling temperatures; 0 is greedy."""
    max_new_tokens: PositiveInt = 128
    """Longest response in tokens."""
    stop: StopStrings = Field(default=[])
    """Texts that end a response, as the stop token does; its text ends before them."""
    on_too_long: Literal["error", "drop"] = "error"
    """A prompt that leaves no room for the response in a model's context: stop, or leave it out and count it."""
    batch_size: PositiveInt = 128
    """Responses decoded at once."""


class AILabelsStage(StageSection):
    """Preference pairs from sampled responses, chosen by a judge that sees both orders."""

    REFERENCES: ClassVar = ("responses", "judge.model")
    PATHS: ClassVar = (*JUDGE_PATHS, "calibration")
    LATE_PATHS: ClassVar = ("human_labels",)
    kind: Literal["ai_labels"]
    responses: str
    """`sample` stage."""
    judge: Judge
    """Who prefers: `{kind: rules}`, `{kind: reward_model, model: STAGE}`, `{kind: openai, base_url: URL, model: NAME}`
    or `{kind: local_model, path: FOLDER}`, with its own settings."""
    pairs_per_prompt: PositiveInt = 1
    """Pairs taken from one prompt, widest difference first; ties are never taken. Judges of the kinds `openai` and
    `local_model` are shown no more couples than that, drawn by the seed."""
    ranking: bool = False
    """Compare every couple of a prompt's responses, in place of `pairs_per_prompt`; the pairs of a prompt then travel
    together as a ranking, and circles among them are counted."""
    dry_run: bool = False
    """Say what a judge of the kinds `openai` and `local_model` would be asked and would cost, ask nothing, and stop
    there."""
    calibration: str | None = None
    """What `boresight judge calibrate --out` wrote for this judge and rubric: `p_chosen` is then how likely people
    prefer the response. It also carries what shows drift, which is looked for before the judge labels."""
    human_share: Fraction = 0.0
    """Share of the couples that people label, chosen by `boresight judge route`'s rules; the stage writes them to
    `ask_people/STAGE.jsonl` of the run, waits until `human_labels` answers them, and merges: votes of people always
    win."""
    human_labels: str | list[str] = Field(default=[])
    """Files of what people said, any form of preference pairs; they need not be there when the run begins."""
    audit_share: Fraction = 0.3
    """Part of the share that is drawn by chance, so that the judge's errors are estimated honestly."""


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
    held_out_fraction: Below1 = 0.1
    """Share of prompts whose pairs are kept from training, for the reward model's certificate."""
    held_out_groups: Literal["beginnings", "paraphrases"] = "beginnings"
    """What is held out together: conversations that begin with the same message of the user, or paraphrases of it too
    (the same words in another order, near duplicates; needs rensa, in the extra `data`). What is near to both sides is
    then left out, counted, and lies in `dropped.jsonl`."""


class EvaluateStage(StageSection):
    """Blind pairwise comparison of candidates with a baseline on held-out prompts, in both orders."""

    REFERENCES: ClassVar = ("candidates", "baseline", "judge.model")
    PATHS: ClassVar = ("prompts", "probe_sets", *JUDGE_PATHS)
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
    """Who compares: `{kind: rules}`, `{kind: reward_model, model: STAGE}`, `{kind: openai, base_url: URL, model: NAME}`
    or `{kind: local_model, path: FOLDER}`, with its own settings. Verdicts of the last two count by the side they take;
    comparisons without a verdict in both orders are left out and counted."""
    temperature: NonNegativeFloat = 0.0
    """Temperature of the compared responses, fixed beforehand; 0 is greedy."""
    max_new_tokens: PositiveInt = 128
    """Longest response in tokens."""
    stop: StopStrings = Field(default=[])
    """Texts that end a response, as the stop token does; its text ends before them."""
    on_too_long: Literal["error", "drop"] = "error"
    """A prompt that leaves no room for the response in a model's context: stop, or leave it out and count it."""
    batch_size: PositiveInt = 128
    """Responses decoded at once."""
    own_probes: bool = False
    """Ask candidates and baseline the shipped behaviour probes too (sycophancy, refusals, format, capability) and
    compare them probe by probe, as `boresight eval probes` does."""
    probe_sets: str | list[str] = Field(default=[])
    """Files of further probes: sycophancy pairs, model-written evaluations, XSTest, IFEval, GSM8K, TruthfulQA, ours."""


class Bounds(Section):
    """The least and the most that a measure may be."""

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
    """Bounds on any measure of the evaluation, by name (for example `agrees_with_false_premise: {max: 0.15}`); measures
    of its probes too (`refuses_safe: {max: 0.1}`)."""
    no_worse_probes: bool = False
    """No probe measure of a candidate may be shown to be worse than the baseline's (p at most 0.05 after Holm's
    correction). Needs an `evaluate` stage with probes."""


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
