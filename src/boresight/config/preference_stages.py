"""The stages that learn from preference pairs; `boresight.config.sections` offers them beside all others."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from boresight.config.section_bases import PairReading, TextStage


class PreferenceStage(PairReading, TextStage):
    """Stages that train on preference pairs."""

    data: str
    """`preferences` stage or preference file."""
    epochs: PositiveFloat = 1.0
    """Passes over the pairs."""
    pair_weights: bool = False
    """Multiply each pair's loss by its `meta.weight`, as `boresight data filter --balance-length reweight` writes it; a
    pair without one weighs 1, and the mean over a batch is still taken over its pairs."""
    gradient_noise_scale: bool = False
    """Log the batch size that gradients of this run suggest (McCandlish et al. 2018), from those of the micro-batches;
    takes the memory of one more gradient and a little time. Needs micro_batch_size, at most half of batch_size."""


class RewardModelStage(PreferenceStage):
    """Bradley-Terry reward model with a scalar head, and its certificate on held-out pairs."""

    REFERENCES: ClassVar = ("start", "data", "held_out")
    PATHS: ClassVar = ("data", "held_out")
    kind: Literal["reward_model"]
    start: str = "base_model"
    """Stage whose model gets the scalar head: the SFT model."""
    held_out: dict[str, str] = Field(default={})
    """Named held-out preference files for the certificate, beside the preferences stage's own held-out part."""
    epochs: PositiveFloat = 1.0
    """Passes over the pairs; one is the field's habit, reward models over-fit quickly."""
    learning_rate: PositiveFloat = 1e-5
    centering_coefficient: NonNegativeFloat = 0.01
    """Weight of (r_chosen + r_rejected)^2, which keeps scores around zero (Eisenstein et al. 2023)."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Assumed share of labels that are wrong."""
    margin_per_strength: NonNegativeFloat = 0.0
    """What the chosen response must win by for each unit of a pair's `strength` (Touvron et al. 2023b, eq. 2: 1/3 or 1
    for strengths 0 to 3); a pair without strength has no margin."""
    rankings: Literal["as_pairs", "pairwise", "listwise"] = "as_pairs"
    """What an example is where pairs come from one ranking (`ranking_id`). as_pairs: each pair. pairwise: the ranking,
    each response scored once and each of its pairs weighing 1 / pairs (Ouyang et al. 2022, section 3.5). listwise: the
    ranking too, by the Plackett-Luce likelihood of its order."""
    evaluate_every: PositiveInt | None = None
    """Optimizer steps between two looks at the held-out pairs (and one at the end); by default one after each quarter
    of the run."""
    early_stopping_patience: PositiveInt | None = None
    """Stop after so many looks in a row without a new lowest held-out loss (which tells of over-training where the
    accuracy hardly moves), and keep the weights of the lowest; by default the run goes to its end and keeps the
    last."""
    early_stopping_on: str = "held_out"
    """The held-out set that decides this: the preferences stage's own part (`held_out`), or a name under `held_out`.
    Its figures in the certificate are a little too good then, and marked so; other sets stay unbiased."""


class DPOStage(PreferenceStage):
    """Direct preference optimisation against a frozen reference."""

    REFERENCES: ClassVar = ("policy", "reference", "data")
    PATHS: ClassVar = ("data",)
    kind: Literal["dpo"]
    policy: str
    """Stage whose model is trained on: the SFT model."""
    reference: str
    """Stage whose model is the frozen anchor."""
    beta: PositiveFloat = 0.1
    """Strength of the tie to the reference (Rafailov et al. 2023)."""
    loss: Literal["sigmoid", "ipo", "robust"] = "sigmoid"
    """sigmoid: DPO, with label_smoothing cDPO; ipo: Azar et al. 2023; robust: Chowdhury et al. 2024."""
    log_ratio: Literal["sum", "mean"] = "sum"
    """sum: log-ratios of whole responses, as in the papers of the three losses. mean: divided by the response's tokens,
    so that length earns no reward: length-normalised DPO (Lambert et al. 2024, arXiv:2411.15124, section 5, with beta
    5) and the form of ipo that its authors advise. A good beta is tens of times larger then."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=0.5)] = 0.0
    """Assumed share of labels that are wrong."""
    sft_coefficient: NonNegativeFloat = 0.0
    """Weight of the mean negative log-probability of the chosen response: keeps it from falling."""
    learning_rate: PositiveFloat = 5e-7


class ORPOStage(PreferenceStage):
    """Odds-ratio preference optimisation (Hong et al. 2024): likelihood and preference in one loss, no reference."""

    REFERENCES: ClassVar = ("start", "data")
    PATHS: ClassVar = ("data",)
    kind: Literal["orpo"]
    start: str = "base_model"
    """Stage whose model is trained on."""
    odds_ratio_coefficient: NonNegativeFloat = 0.1
    """Lambda of the paper: weight of the odds-ratio term."""
    learning_rate: PositiveFloat = 8e-6


class SimPOStage(PreferenceStage):
    """Simple preference optimisation (Meng et al. 2024): mean log-probabilities as rewards, a margin, no reference."""

    REFERENCES: ClassVar = ("start", "data")
    PATHS: ClassVar = ("data",)
    kind: Literal["simpo"]
    start: str
    """Stage whose model is trained on: the SFT model, since nothing else keeps the responses likely."""
    beta: PositiveFloat = 2.0
    """Factor of a response's mean log-probability, its reward; the paper takes 2 to 10."""
    gamma: NonNegativeFloat = 1.0
    """What the chosen reward must win by, nats after beta; the paper takes about half of beta."""
    learning_rate: PositiveFloat = 5e-7
    """Peak learning rate of AdamW; the authors warn of 1e-5, with which answers fall apart."""


class KTOStage(PairReading, TextStage):
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024): from responses called good or bad one by one."""

    REFERENCES: ClassVar = ("policy", "reference", "data")
    PATHS: ClassVar = ("data",)
    kind: Literal["kto"]
    policy: str
    """Stage whose model is trained on: the SFT model."""
    reference: str
    """Stage whose model is the frozen anchor."""
    data: str
    """File of rows with `prompt`, `completion` and `label` (true: a good one), each taken by itself; or a stage or file
    of pairs, whose chosen responses are good ones and whose rejected are bad ones."""
    epochs: PositiveFloat = 1.0
    """Passes over the responses."""
    batch_size: PositiveInt = Field(default=32, ge=2)
    """Responses in one optimizer step; the baseline is an average over them. One that would be left for a step of its
    own at the end of an epoch goes into another."""
    beta: PositiveFloat = 0.1
    """Strength of the tie to the reference."""
    desirable_weight: PositiveFloat = 1.0
    """Weight of the good responses (lambda_D). The paper keeps desirable_weight x good responses at 1 to 4/3 times
    undesirable_weight x bad ones; the result tells the ratio."""
    undesirable_weight: PositiveFloat = 1.0
    """Weight of the bad responses (lambda_U)."""
    learning_rate: PositiveFloat = 5e-7
