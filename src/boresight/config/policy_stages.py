"""The stages that sample from the policy they train; `boresight.config.sections` offers them beside all others."""

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from boresight.config.reward_sections import Address, Reward, RewardSection, reward_parts
from boresight.config.section_bases import AdaptedStage, Fraction, OptimizedStage, Paths, Section, StopStrings


class VLLMSection(Section):
    """Rollouts by a vLLM server, which is given the policy's weights over a folder before each (docs/ppo.md)."""

    PLAIN: ClassVar = ("model",)
    kind: Literal["vllm"]
    url: Address
    """Address without the path: `http://127.0.0.1:8000`."""
    model: str
    """Name of the model there."""
    folder: str
    """Where weights are written for it: the same absolute path on both sides, with room for the model once."""
    most_at_once: PositiveInt = 64
    """Requests on the way at once."""
    timeout_seconds: PositiveFloat = 600.0
    """Time for one request."""
    patience_seconds: NonNegativeFloat = 300.0
    """How long a request that fails is tried again; then the stage is saved as it is, and stops."""


class PolicyStage(AdaptedStage, OptimizedStage):
    """Fields of the stages that sample from the policy while they train it."""

    REFERENCES: ClassVar = (
        "policy", "reference", "reward", "reward.model", "reward.models", "canary", "canary.model", "canary.models",
    )  # fmt: skip
    PATHS: ClassVar = (
        "prompts", "reward.judge.rubric_file", "reward.judge.path", "canary.judge.rubric_file", "canary.judge.path",
    )  # fmt: skip
    policy: str
    """Stage whose model is trained on: the SFT model."""
    reference: str
    """Stage whose model is the frozen anchor of the KL penalty."""
    reward: Reward
    """What responses are paid by: a `reward_model` stage; or a mapping with the `kind` `reward_model`, `ensemble`,
    `rules`, `answer`, `match`, `length`, `service` or `judge`, told below; or a list of such mappings, summed by
    `weight`."""
    canary: Reward | None = None
    """A second opinion, in the forms of `reward`: scored on the same responses, logged beside the reward (the metrics
    `reward/canary_...`), never paid. The doctor takes a reward that rises while its canary turns for hacking. A reward
    model of other pairs and another start, or rules; one that learned from the same pairs errs with the reward."""
    canary_every: PositiveInt = 1
    """Steps from one look of the canary to the next; the last step has one too."""
    prompts: Paths
    """Prompt records."""
    roles: Literal["separate", "shared"] | None = None
    """Where the weights of policy, reference and reward models lie. `separate`: a model each. `shared`: one frozen base
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
    stop: StopStrings = Field(default=[])
    """Texts that end a response beside the template's stop token: it is sampled up to the token that completes one, has
    stopped, and its text ends before it."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature; every log-probability is taken at it."""
    sampler: VLLMSection | None = None
    """A vLLM server that writes the responses in place of our own decoder, as `{kind: vllm, url: URL, model: NAME,
    folder: FOLDER}`; for policies without `lora`. Not verified on a GPU (docs/ppo.md)."""
    kl_coefficient: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the reward, reward units a nat (Huang et al. 2024: 0.05)."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Per-token estimator of the penalty (Schulman 2020)."""
    missing_stop_penalty: NonNegativeFloat | None = 1.0
    """What a response that did not stop (no stop token, no text of `stop`) is fined, in units of the score after
    `reward_scale`; null: nothing."""
    missing_stop: Literal["replace", "subtract"] = "replace"
    """replace: minus `missing_stop_penalty` stands in place of its score (the EOS trick of Huang et al. 2024);
    where responses that stop have less at the first step, nothing is trained. subtract: the penalty is taken from the
    score that it has (`missing_eos_penalty` of TRL)."""
    reward_scale: Literal["reference", "running", "certificate", "none"] = "reference"
    """How scores are shifted and scaled to mean 0, deviation 1. reference: over responses of the reference, measured
    once at the start (Stiennon et al. 2020). running: over all scores of the run so far. certificate: over the
    held-out responses on which the reward model was certified. none: they stay as they come."""
    normalization_prompts: PositiveInt = 256
    """Prompts for the measurement of `reward_scale: reference`."""
    length_penalty: NonNegativeFloat = 0.0
    """Taken from the score for each response token beyond `length_penalty_from`, before `reward_scale`, so in units of
    the score as it comes (Singhal et al. 2023)."""
    length_penalty_from: NonNegativeInt = 0
    """Response tokens that cost nothing."""
    length_normalized_reward: bool = False
    """Divide the score by the response's tokens, before `reward_scale`. For scores above 0 alone: of two responses
    with one score below 0 the longer would win."""
    stop_update_above_kl: PositiveFloat | None = None
    """Once a minibatch finds the policy further than this from the one that sampled (`policy/approximate_kl`, nats a
    token), neither it nor the rest of the step's minibatches trains the policy (nor, on one trunk, the value head);
    about 0.02 is the habit (Achiam 2018). By default all of them do."""
    staleness: NonNegativeInt = 0
    """Steps that the weights are behind which write a step's responses: step k learns from what the policy after k -
    `staleness` steps has written (at first: the one it began as). 0 is on-policy. Above 0 the responses of coming steps
    are written while a step is trained, over Ray (docs/ray.md); one process computes the same, and wins no time."""
    importance_correction: Literal["none", "truncated"] | None = None
    """truncated: weigh each token's loss (in `rloo` each response's) by its probability under the trainer over that
    under the sampler, at most `importance_cap`: for samplers whose arithmetic differs (Yao et al. 2025) or whose
    weights are older (Hilton et al. 2021). The gap is logged either way. By default `truncated` with `staleness`,
    otherwise `none`."""
    importance_cap: PositiveFloat = 2.0
    """Largest of these weights."""
    logged_samples: NonNegativeInt = 4
    """Responses of each step that are written to `samples.jsonl` in the stage's folder, with their scores."""
    on_finding: Literal["note", "warn", "pause", "stop", "adapt_kl"] = "warn"
    """What the run doctor does while the stage trains, about a finding above a note that is new. note: it goes into the
    stage's result. warn: it is printed too. pause: a checkpoint is written and the run ends with exit code 2; running
    again takes note of the finding and goes on. stop: a checkpoint is written and the stage fails for good. adapt_kl:
    as warn, and where the cure is a larger KL coefficient it is raised by half at each look, up to `adapt_kl_limit`."""
    guard_every: PositiveInt = 10
    """Steps from one look of the doctor to the next; the last step has one too."""
    adapt_kl_limit: PositiveFloat = 10.0
    """Largest KL coefficient under `on_finding: adapt_kl`, in multiples of `kl_coefficient`."""
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
    def scored(self) -> list[RewardSection]:
        """All sources that score a response: those that pay, and those of the canary."""
        return [*reward_parts(self.reward), *([] if self.canary is None else reward_parts(self.canary))]

    @property
    def correction(self) -> str:
        """`importance_correction`, or what stands in for it."""
        return self.importance_correction or ("truncated" if self.staleness else "none")

    @property
    def layout(self) -> str:
        """`roles`, or what stands in for it."""
        return self.roles or ("separate" if self.lora is None else "shared")


class PPOStage(PolicyStage):
    """Proximal policy optimisation with a value model, a frozen reference and a frozen reward model."""

    kind: Literal["ppo"]
    roles: Literal["separate", "shared", "one_trunk"] | None = None  # type: ignore[assignment]
    """Where the weights of policy, value model, reference and reward models lie. `separate`: a model each. `shared`:
    one frozen base in memory, and adapters in it for every role that was trained from it. `one_trunk`: so, and the
    value model is a second head on the policy, which halves the work of an update and lets its loss move the policy's
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
    """Weights that the value model starts from; by default the first reward model's (Ouyang et al. 2022). On one trunk
    always the policy's, with a head of zeros."""
    value_coefficient: PositiveFloat | None = None
    """Weight of the value loss beside the policy's on one trunk; by default 0.1 (Huang et al. 2024). Models apart have
    learning rates of their own instead."""
    value_warmup_steps: NonNegativeInt = 0
    """First rollout batches in which only the value model learns."""
    target_kl_per_sequence: PositiveFloat | None = None
    """Aim of the adaptive KL controller in nats a response (Ziegler et al. 2019); none: fixed coefficient."""
    kl_horizon: PositiveFloat = 10000.0
    """Responses over which the adaptive controller acts."""
    whiten_rewards: bool = False
    """Scale the rewards of a batch's tokens to variance 1 (biased, over all of its tokens) without moving their mean,
    before advantages are estimated (Huang et al. 2024; off in their runs). Advantages are always whitened."""
    loss_aggregation: Literal["token_mean", "sequence_mean"] = "token_mean"
    """token_mean: each token of a minibatch weighs the same. sequence_mean: each response does, so that a token of a
    long one weighs less. Of the policy's loss and entropy; the value loss is a mean over tokens."""
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
