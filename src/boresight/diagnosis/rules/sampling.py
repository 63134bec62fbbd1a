"""What the policy writes: answers that never end, that grow to the limit, or that are all the same."""

from boresight.diagnosis.rules.movement import fell, rose
from boresight.diagnosis.rules.rule import Finding, Rule, evidence
from boresight.diagnosis.signals import RL_METHODS, LoggedRun, Series


def missing_eos(run: LoggedRun) -> Finding | None:
    """Nearly no answer ends with the stop token, from the beginning on."""
    stops = run.get("rollout/stop_rate")
    if stops is None:
        return None
    start = stops.evidence().start
    never = stops.median < 0.1 and start < 0.25 and (len(stops) >= 3 or float(stops.values.max()) == 0)
    never = never and not (start >= 0.1 and fell(stops))
    often = stops.median < 0.5 and start < 0.6 and not rose(stops)
    if not never and not often:
        return None
    length = run.get("rollout/length_tokens")
    share = f"Only {stops.median:.0%} of the answers end" if stops.median >= 0.005 else "Hardly any answer ends"
    cut = "None of the answers end" if stops.values.max() <= 0 else share
    return Finding(
        "missing_eos",
        "error" if never and len(stops) >= 2 else "warning",
        f"{cut} with the stop token ({stops.source}); the others are cut at the limit, so their reward is that of a "
        "text without an end.",
        evidence(stops, length),
        "See that demonstrations keep the stop token in the loss (a padding token equal to it is masked away), that "
        "generation knows the token of the chat template, and that the limit leaves room for an answer; take reward "
        "from answers that do not end.",
        "Huang et al. 2024 (arXiv:2403.17031), detail on the EOS trick",
    )


def length_explosion(run: LoggedRun) -> Finding | None:
    """Answers that used to end grow until the limit cuts them."""
    length, stops = run.get("rollout/length_tokens"), run.get("rollout/stop_rate")
    limit = run.get("rollout/length_maximum")
    if length is None or len(length) < 8:
        return None
    early, late = length.early, length.late
    cut_more = stops is not None and stops.early >= 0.1 and stops.late < min(0.3, 0.5 * stops.early) and fell(stops)
    at_limit = (
        limit is not None
        and late >= 0.97 * float(limit.values.max())
        and early < 0.9 * late
        and limit.early >= 0.97 * limit.late
    )
    if cut_more or (at_limit and rose(length)):
        return Finding(
            "length_explosion",
            "error",
            f"Answers grow from {early:.0f} to {late:.0f} tokens, up to the limit, and are cut there: length pays more "
            "than ending does.",
            evidence(length, stops, limit),
            _LENGTH_ACTION,
            _LENGTH_SOURCE,
        )
    reward = run.get("reward/score")
    if late > 2 * early and rose(length) and (stops is None or stops.late < 0.8):
        gains = rose(reward)
        return Finding(
            "length_explosion",
            "note" if gains else "warning",
            f"Answers grow from {early:.0f} to {late:.0f} tokens"
            + (
                " while the reward rises: reasoning gets longer, or length is what is rewarded."
                if gains
                else " and the reward does not follow."
            ),
            evidence(length, reward),
            _LENGTH_ACTION,
            _LENGTH_SOURCE,
        )
    return None


_LENGTH_ACTION = (
    "Compare reward within answers of equal length; balance the preference pairs by length or take a length penalty, "
    "raise the KL coefficient, and average the loss over tokens rather than over answers."
)
_LENGTH_SOURCE = "Singhal et al. 2023 (arXiv:2310.03716): most of PPO's reward gain can be length"


def identical_outputs(run: LoggedRun) -> Finding | None:
    """Samples of one prompt or of the whole step become the same text."""
    distinct, repetition = run.get("rollout/distinct_responses"), run.get("rollout/repetition")
    low, high = run.get("rollout/length_minimum"), run.get("rollout/length_maximum")
    spread, stops = run.get("reward/deviation"), run.get("rollout/stop_rate")
    seen: tuple[Series, ...]
    if distinct is not None and len(distinct) >= 5 and distinct.late < 0.2 and distinct.late < 0.5 * distinct.early:
        seen, why = (
            (distinct,),
            f"Only {distinct.late:.0%} of a step's answers differ, at first {distinct.early:.0%} did.",
        )
    elif repetition is not None and len(repetition) >= 5 and repetition.late > 0.5 and rose(repetition):
        seen, why = (
            (repetition,),
            f"Answers repeat themselves: {repetition.late:.0%} of their 4-grams stand in them before.",
        )
    elif (
        low is not None
        and high is not None
        and spread is not None
        and len(low) == len(high)
        and len(low) >= 10
        and float((low.values == high.values).mean()) >= 0.8
        and spread.median <= 1e-6
        and (stops is None or stops.median > 0.5)
    ):
        seen, why = (low, high, spread), "All answers of a step have one length and one reward: they are one text."
    else:
        return None
    return Finding(
        "identical_outputs",
        "error",
        f"{why} The policy has collapsed onto it, and there is nothing to compare.",
        evidence(*seen, run.get("policy/entropy"), run.get("reward/score")),
        "Go back to a checkpoint from before; raise the KL coefficient or add an entropy bonus, sample at temperature "
        "1, and read what the answer is: the reward model likes it.",
        "Cui et al. 2025 (arXiv:2505.22617) on entropy; Zheng et al. 2023 (arXiv:2307.04964) on pattern collapse",
    )


RULES = (
    Rule(
        "missing_eos",
        "fewer than 1 answer of 10 (warning: 5 of 10) ends with the stop token, from the start on",
        missing_eos,
        (("rollout/stop_rate",),),
        RL_METHODS,
    ),
    Rule(
        "length_explosion",
        "answers grow to the limit and are cut there; or double without the reward rising",
        length_explosion,
        (("rollout/length_tokens",),),
        RL_METHODS,
    ),
    Rule(
        "identical_outputs",
        "fewer than a fifth of the answers differ, answers repeat themselves, or one length and one reward for all",
        identical_outputs,
        (("rollout/distinct_responses", "rollout/repetition", "rollout/length_minimum"),),
        RL_METHODS,
    ),
)
