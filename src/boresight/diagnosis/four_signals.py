"""KL, reward, entropy and clip fraction in one paragraph of plain words, and which of them stays unexplained."""

from boresight.diagnosis.rules.drift import kl_of
from boresight.diagnosis.rules.movement import LIKELY, fell, moved, rose, stands_still
from boresight.diagnosis.rules.rule import Finding
from boresight.diagnosis.signals import RL_METHODS, LoggedRun, Series

_EXPLAINED_BY = {
    "KL": {"kl_runaway", "kl_negative", "logprob_mismatch", "reward_hacking", "nan_inf", "no_learning", "lr_too_high"},
    "reward": {"no_learning", "reward_hacking", "zero_variance_groups", "missing_eos", "nan_inf", "length_explosion"},
    "entropy": {"entropy_collapse", "reward_hacking", "identical_outputs", "nan_inf"},
    "clip fraction": {"clipfrac_saturated", "clip_fraction_zero_ok", "lr_too_high", "nan_inf"},
}
"""Findings that say why a signal is as it is."""


def explain(run: LoggedRun, findings: tuple[Finding, ...]) -> str:
    """The paragraph of a run that samples from its policy; empty for other methods."""
    if run.method not in RL_METHODS:
        return ""
    found = {finding.id for finding in findings}
    parts = [_kl(run), _reward(run), _entropy(run), _clip(run)]
    words = [text for _, text, _ in parts]
    odd = [name for name, _, usual in parts if not usual and not _EXPLAINED_BY[name] & found]
    absent = [name for name, text, _ in parts if text.endswith("not logged")]
    told = "; ".join(words)
    text = f"{told[:1].upper()}{told[1:]}."
    if odd:
        text += f" Unexplained: {', '.join(odd)}; no finding accounts for it."
    elif absent:
        text += f" Nothing that is logged is unexplained; without {', '.join(absent)} the picture is not whole."
    else:
        text += " Together they are explained" + (
            " by the findings." if found - {"healthy", "unclear"} else ": as they should be."
        )
    return text


def _move(series: Series) -> str:
    here = series.evidence()
    return f"from {here.start:.3g} to {here.end:.3g}"


def _kl(run: LoggedRun) -> tuple[str, str, bool]:
    kl = kl_of(run)
    if kl is None:
        return "KL", "KL from the reference is not logged", True
    x = kl.series
    if moved(x) > 0 and rose(x, LIKELY):
        part = x.part(0.6, 1)
        settles = len(part) < 5 or not rose(part)
        return (
            "KL",
            f"the policy moves away from the reference ({_move(x)} {kl.unit}) and "
            + ("settles there" if settles else "has not settled"),
            settles or x.late < 0.1 * kl.per_token,
        )
    if abs(x.late) < 1e-4:
        return "KL", "the policy stays at the reference (KL about 0)", not rose(run.get("reward/score"))
    return "KL", f"the distance to the reference goes {_move(x)} {kl.unit}, without a trend", x.late > -0.05


def _reward(run: LoggedRun) -> tuple[str, str, bool]:
    reward = run.get("reward/score")
    if reward is None:
        return "reward", "the reward is not logged", True
    if rose(reward, LIKELY):
        return "reward", f"the reward rises {_move(reward)}", True
    if fell(reward, LIKELY):
        return "reward", f"the reward falls {_move(reward)}", False
    still = stands_still(reward)
    return (
        "reward",
        f"the reward goes {_move(reward)}" + (" and does not move" if still else ", too noisy to tell"),
        not still,
    )


def _entropy(run: LoggedRun) -> tuple[str, str, bool]:
    entropy = run.get("policy/entropy")
    if entropy is None:
        return "entropy", "entropy is not logged", True
    left = entropy.late / entropy.early if entropy.early > 0 else 1.0
    if fell(entropy, LIKELY):
        word = "falls slowly, as a policy does that gets surer" if left > 0.5 else "falls fast"
        return "entropy", f"entropy {word} ({_move(entropy)})", left > 0.3 or entropy.early < 0.15
    if rose(entropy, LIKELY):
        return "entropy", f"entropy rises ({_move(entropy)}), as with an entropy bonus or longer answers", left < 3
    return "entropy", f"entropy keeps its level ({_move(entropy)})", True


def _clip(run: LoggedRun) -> tuple[str, str, bool]:
    clipped = run.get("policy/clip_fraction")
    if clipped is None:
        return "clip fraction", "the clip fraction is not logged", True
    if not clipped.values.any():
        return "clip fraction", "no token is clipped, which one update a batch gives", True
    return "clip fraction", f"{clipped.median:.1%} of the tokens are clipped in the median", clipped.median < 0.3
