"""The one table of metrics: every name a run may log, with meaning, unit, what it is averaged over and what is healthy.

The writer refuses other names; the table of the documentation and the checks of `boresight.diagnosis` are made from
this one. Signs: a loss is minimised; rewards, advantages and accuracies are better when higher. Implicit rewards
(`reward/chosen`, `reward/rejected`, `reward/margin` of DPO and SimPO) include the factor beta, and SimPO's no gamma;
ORPO has no reference and logs none. KL is that of the policy from the reference, with the estimator named (k1, k2, k3:
Schulman 2020).
"""

from collections.abc import Iterable
from typing import NamedTuple

TIMING_GROUPS = ("time", "throughput", "memory")
"""Groups that depend on the machine; they are kept apart, so that equal runs write equal metrics."""


class Range(NamedTuple):
    """Values that need no attention; None leaves an end open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.low is None:
            return "any" if self.high is None else f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"

    def holds(self, value: float) -> bool:
        """Whether a value lies within, bounds included."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


class Metric(NamedTuple):
    """One quantity; `averaged_over` is what is counted in the denominator of a step's value ("" for no average)."""

    name: str
    meaning: str
    unit: str
    averaged_over: str
    healthy: Range | str

    @property
    def group(self) -> str:
        return self.name.partition("/")[0]

    @property
    def timing(self) -> bool:
        """It differs between equal runs."""
        return self.group in TIMING_GROUPS


_TABLE: tuple[Metric, ...] = (
    Metric("loss/total", "what the optimizer minimises", "as the method's loss", "global batch", "falls"),
    Metric("loss/nll", "negative log-probability of the tokens trained on", "nats a token", "tokens", "falls"),
    Metric("loss/preference", "Bradley-Terry, DPO or odds-ratio loss", "nats", "pairs", "log 2 at DPO's start; falls"),
    Metric("loss/policy", "clipped policy-gradient loss", "advantage", "tokens", "near 0; its size says little"),
    Metric("loss/value", "half the squared error of the value model, clipped", "reward squared", "tokens", "falls"),
    Metric("policy/kl_to_reference", "KL from the reference, k1, summed over the response", "nats a response",
           "responses", Range(-1.0, 30.0)),
    Metric("policy/kl_per_token", "KL from the reference, k1", "nats a token", "tokens", Range(-0.05, 0.5)),
    Metric("policy/entropy", "entropy of the policy's next-token distribution", "nats a token", "tokens",
           "falls slowly; a drop to nearly 0 is collapse"),
    Metric("policy/clip_fraction", "tokens whose ratio is outside the clip range", "fraction", "tokens",
           Range(0.0, 0.3)),
    Metric("policy/approximate_kl", "KL of the policy since the rollout, k2", "nats a token", "tokens",
           Range(0.0, 0.1)),
    Metric("policy/skipped_minibatches", "minibatches left out of the policy's training (stop_update_above_kl)",
           "minibatches", "", "0, or a few now and then"),
    Metric("policy/sampler_kl", "KL between the engine that samples and the one that trains, k3", "nats a token",
           "tokens", Range(0.0, 0.05)),
    Metric("policy/sampler_effective_share", "effective sample size of the ratios of trainer to sampler (Kish 1965)",
           "fraction", "tokens", Range(0.7, 1.0)),
    Metric("policy/importance_weight", "weight that makes up for the gap between sampler and trainer "
           "(importance_correction)", "ratio", "tokens; responses in RLOO", Range(0.8, 1.2)),
    Metric("policy/importance_truncated", "of these weights the share that importance_cap cuts off", "fraction",
           "tokens; responses in RLOO", Range(0.0, 0.1)),
    Metric("policy/ratio_mean", "probability ratio of the policy to the rollout's", "ratio", "tokens", Range(0.9, 1.1)),
    Metric("policy/chosen_logp_mean", "log-probability of chosen responses", "nats a token", "pairs",
           "rises, or falls slowly; a long fall is likelihood displacement"),
    Metric("policy/rejected_logp_mean", "log-probability of rejected responses", "nats a token", "pairs", "falls"),
    Metric("policy/chosen_logp_sum", "log-probability of chosen responses, summed over tokens", "nats a response",
           "pairs", "as policy/chosen_logp_mean, times the length"),
    Metric("policy/rejected_logp_sum", "log-probability of rejected responses, summed over tokens",
           "nats a response", "pairs", "falls"),
    Metric("policy/log_odds_ratio", "log odds of the chosen response minus that of the rejected one (ORPO)", "nats",
           "pairs", "rises"),
    Metric("policy/kl_baseline", "KTO's reference point: log-ratio to the reference of responses to other prompts",
           "nats a response", "responses", "at least 0; rises slowly"),
    Metric("policy/kl_coefficient", "weight of the KL penalty in the reward", "reward a nat", "",
           "constant, or steered towards the target KL"),
    Metric("reward/score", "score of the reward model, as it comes", "reward", "responses", "rises"),
    Metric("reward/score_normalized", "score, shifted and scaled by the reference's mean and deviation", "deviations",
           "responses", "starts near 0; rises"),
    Metric("reward/score_deviation", "standard deviation of the score, where a canary is scored beside it", "reward",
           "responses", "above 0"),
    Metric("reward/canary_score", "score that a second reward gives to the same responses; it is not trained on",
           "reward of the canary", "responses", "rises with reward/score"),
    Metric("reward/canary_deviation", "standard deviation of the canary's score", "reward of the canary", "responses",
           "above 0"),
    Metric("reward/canary_correlation", "rank correlation of score and canary's score (Spearman)", "correlation",
           "responses", "well above 0; a fall says that they part"),
    Metric("reward/shaped", "normalised score minus the KL penalty, summed over the response", "deviations",
           "responses", "rises"),
    Metric("reward/chosen", "reward of chosen responses; implicit rewards include beta", "reward, or nats times beta",
           "pairs", "above reward/rejected"),
    Metric("reward/rejected", "reward of rejected responses; implicit rewards include beta",
           "reward, or nats times beta", "pairs", "below reward/chosen"),
    Metric("reward/margin", "reward/chosen minus reward/rejected; implicit rewards include beta",
           "reward, or nats times beta", "pairs", "starts at 0 for DPO; rises"),
    Metric("reward/accuracy", "pairs with a preference in which the preferred response has the higher reward, equal "
           "rewards as halves", "fraction", "pairs", Range(0.5, 0.99)),
    Metric("value/explained_variance", "1 - variance of the value model's error / variance of the returns", "fraction",
           "tokens", Range(0.0, 1.0)),
    Metric("value/clip_fraction", "tokens at which the clipped value loss is the larger one", "fraction", "tokens",
           Range(0.0, 0.3)),
    Metric("advantage/mean", "advantage before whitening", "reward", "tokens", "near 0"),
    Metric("advantage/deviation", "standard deviation of the advantage before whitening", "reward", "tokens",
           "above 0; 0 leaves nothing to learn from"),
    Metric("rollout/staleness", "steps trained since the weights that wrote the responses (staleness)", "steps",
           "responses", "what the stage's staleness says, from that step on"),
    Metric("rollout/staleness_max", "the same, of the oldest response", "steps", "", "as rollout/staleness"),
    Metric("rollout/length_tokens", "length of responses, stop token included", "tokens", "responses",
           "level; a steady rise is often length gaming"),
    Metric("rollout/stop_rate", "responses that end with the stop token", "fraction", "responses", Range(0.9, 1.0)),
    Metric("rollout/repetition", "4-grams of words of a response that stand in it before", "fraction", "responses",
           Range(0.0, 0.3)),
    Metric("rollout/distinct_responses", "different responses among all of the step", "fraction", "responses",
           "well above 0; a fall is collapse"),
    Metric("rollout/uncovered_prompts", "prompts unlike all those of the reward model's pairs (see the finding "
           "uncovered_prompts of the lint)", "fraction", "responses", Range(0.0, 0.1)),
    Metric("optim/grad_norm", "global norm of the gradient before clipping", "loss a weight", "",
           "no steady rise"),
    Metric("optim/gradient_noise_scale", "batch size that gradients suggest: their variance by their squared mean",
           "examples", "", "about batch_size; far above it, a step is mostly noise"),
    Metric("optim/value_grad_norm", "the same of the value model", "loss a weight", "", "no steady rise"),
    Metric("optim/learning_rate", "learning rate of the update", "1", "", "follows the schedule"),
    Metric("data/epoch", "passes over the data so far", "passes", "", "rises to the configured number"),
    Metric("eval/accuracy", "held-out pairs with a preference that the reward model orders rightly, equal scores as "
           "halves", "fraction", "pairs", Range(0.6, 0.99)),
    Metric("eval/nll", "Bradley-Terry loss on held-out pairs", "nats", "pairs", Range(0.0, 0.693)),
    Metric("eval/ece", "expected calibration error on held-out pairs", "fraction", "pairs", Range(0.0, 0.1)),
    Metric("eval/win_rate", "judged comparisons won against the baseline, ties as halves", "fraction", "prompts",
           Range(0.5, 1.0)),
    Metric("time/stage_seconds", "wall time of a stage since it was begun or resumed", "seconds", "", "level"),
    Metric("time/predicted_seconds", "what the planner expected of the stage before it was trained", "seconds", "",
           "near time/stage_seconds, where no other process runs"),
    Metric("time/step_seconds", "wall time of a step", "seconds", "", "level"),
    Metric("time/generate_seconds", "of it: sampling responses", "seconds", "", "level"),
    Metric("time/score_seconds", "of it: reward, reference and value", "seconds", "", "level"),
    Metric("time/update_seconds", "of it: forward, backward and optimizer", "seconds", "", "level"),
    Metric("throughput/tokens_per_second", "tokens generated, by wall time of the step", "tokens/s", "", "level"),
    Metric("throughput/generated_tokens_per_second", "tokens generated, by wall time of sampling", "tokens/s", "",
           "level"),
    Metric("memory/peak_gib", "highest of the three below", "GiB", "", "level, below the device's"),
    Metric("memory/stage_peak_gib", "highest memory of a stage: GPU: of tensors; CPU: of the process", "GiB", "",
           "level, below the device's"),
    Metric("memory/before_gib", "what the process held when the stage began", "GiB", "", "level"),
    Metric("memory/predicted_peak_gib", "what the planner expected of memory/stage_peak_gib", "GiB", "",
           "near it, where little was held before"),
    Metric("memory/generate_gib", "GPU: highest memory while sampling; CPU: what the process holds after it", "GiB", "",
           "level, below the device's"),
    Metric("memory/score_gib", "the same for reward, reference and value", "GiB", "", "level, below the device's"),
    Metric("memory/update_gib", "the same for the update", "GiB", "", "level, below the device's"),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _TABLE}


def markdown_table(metrics: Iterable[Metric] = _TABLE) -> str:
    """The table as the documentation shows it."""
    rows = ["| Name | Meaning | Unit | Averaged over | Healthy |", "|---|---|---|---|---|"]
    for metric in metrics:
        average = metric.averaged_over or "not averaged"
        rows.append(f"| `{metric.name}` | {metric.meaning} | {metric.unit} | {average} | {metric.healthy} |")
    return "\n".join(rows) + "\n"
