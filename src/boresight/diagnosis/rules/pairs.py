"""DPO and reward models: margins that run away or sink below 0, rewards that both fall, accuracy that turns."""

import math

import numpy as np

from boresight.diagnosis.rules.movement import LIKELY, SURE, fell, moved
from boresight.diagnosis.rules.rule import Finding, Rule, Severity, evidence
from boresight.diagnosis.signals import PAIR_METHODS, LoggedRun, Series
from boresight.stats.trends import blocks, trend

_DPO = "Rafailov et al. 2023 (arXiv:2305.18290)"


def dpo_margin_overfit(run: LoggedRun) -> Finding | None:
    margin, loss, norm = run.get("reward/margin"), run.get("loss/total"), run.get("optim/grad_norm")
    if margin is None or len(margin) < 3:
        return None
    end, last_loss = margin.evidence().end, loss.evidence().end if loss is not None else None
    gone = last_loss is not None and last_loss < 0.02
    if end < 8 or not (gone or end > 15):
        return None
    vanished = norm is not None and norm.evidence().end < 1e-3 * max(norm.evidence().start, 1e-12)
    severity: Severity = "error" if vanished or end > 30 or (gone and end > 15) else "warning"
    return Finding(
        "dpo_margin_overfit",
        severity,
        f"The margin reaches {end:.3g}, at which the loss is nothing: the pairs are told apart by something trivial, "
        "and what still moves is how improbable the rejected response gets.",
        evidence(margin, loss, norm, run.get("policy/rejected_logp"), run.get("policy/chosen_logp")),
        "Fewer epochs and a smaller learning rate; take rejected responses that are near misses rather than of another "
        "kind, smooth labels (0.1) or use IPO, and choose the checkpoint by a judge.",
        "Azar et al. 2023 (arXiv:2310.12036): with certain preferences DPO's margin has no bound",
    )


def dpo_margin_negative(run: LoggedRun) -> Finding | None:
    return _negative_in_training(run) or _negative_held_out(run)


def _negative_in_training(run: LoggedRun) -> Finding | None:
    """Chosen ends below rejected, although each step raises the margin of its pairs."""
    margin, accuracy, loss = run.get("reward/margin"), run.get("reward/accuracy"), run.get("loss/total")
    if margin is None or len(margin) < 8 or not _sank_below_zero(margin, accuracy):
        return None
    log_two = math.log(2)
    apart = loss is not None and abs(float(loss.values[0]) - log_two) < 0.05 and loss.late < log_two - 0.01
    return Finding(
        "dpo_margin_negative",
        "error" if len(margin) >= 20 else "warning",
        f"Chosen responses end below rejected ones: the margin sinks to {margin.evidence().end:.3g}, though a step of "
        "DPO on a pair raises that pair's margin. "
        + (
            f"The loss is {loss.late:.3g}, below log 2 = 0.69, which no mean margin below 0 can give: the loss and the "
            "log take the two sides the other way round."
            if loss is not None and apart
            else "The update goes the wrong way."
        ),
        evidence(margin, loss, accuracy, run.get("reward/chosen"), run.get("reward/rejected")),
        "See that chosen and rejected reach the loss in this order (columns, collator, even and odd rows), that the "
        "loss is minimised, beta above 0 and label smoothing below 0.5: a small step on one batch must raise its "
        "margin. Where it does, lower the learning rate by 3 to 10 times and warm up.",
        f"{_DPO}, eq. 7 and its gradient: chosen is made likelier and rejected less, most where their order is wrong",
    )


def _negative_held_out(run: LoggedRun) -> Finding | None:
    held, accuracy = run.get("eval/margin"), run.get("eval/accuracy")
    if held is None or len(held) < 3 or not _sank_below_zero(held, accuracy):
        return None
    return Finding(
        "dpo_margin_negative",
        "warning",
        f"On held-out pairs chosen responses end below rejected ones: their margin sinks to {held.evidence().end:.3g}. "
        "What the training pairs teach is the opposite of what these prefer.",
        evidence(held, accuracy, run.get("reward/margin"), run.get("loss/total")),
        "Read ten pairs of both files side by side: in one the columns may be swapped, or its labels follow another "
        "rule, such as length. `boresight data lint` on both shows what their chosen responses have in common.",
        f"{_DPO}: the margin orders pairs as a reward model does, so it can be held against pairs not trained on",
    )


def _sank_below_zero(margin: Series, accuracy: Series | None) -> bool:
    """It began near 0, ends below beyond chance, and was at no time as far above as a third of that; most pairs with
    it, where accuracies tell."""
    half = margin.values[len(margin) // 2 :]
    error = float(half.std() / math.sqrt(len(half)))
    below = bool(half.max() < 0) if len(margin) < 10 else float(half.mean()) + SURE * error < 0
    end = margin.evidence().end
    sank = abs(float(margin.values[0])) < -end / 2 or fell(margin, LIKELY)
    most = accuracy is None or accuracy.evidence().end < 0.5
    return below and sank and most and float(blocks(margin.values, 12).max()) < -end / 3


def dpo_both_falling_ok(run: LoggedRun) -> Finding | None:
    """Chosen falls too, but less: usual, and by itself harmless."""
    chosen, rejected = run.first_of("reward/chosen", "eval/chosen"), run.first_of("reward/rejected", "eval/rejected")
    if chosen is None or rejected is None or len(chosen) < 2 or len(rejected) < 2:
        return None
    down, further = moved(chosen), moved(rejected)
    few = len(chosen) < 10
    if not (down < -0.05 and further < down) or not (few or (fell(chosen) and fell(rejected))):
        return None
    return Finding(
        "dpo_both_falling_ok",
        "note",
        f"Both implicit rewards fall ({down:.3g} and {further:.3g}), the rejected one further, so the margin widens by "
        f"{down - further:.3g}. After fine-tuning on the chosen responses they stand at a maximum; only the margin is "
        "trained, and it does what it should.",
        evidence(chosen, rejected, run.first_of("reward/margin", "eval/margin")),
        "Nothing by itself. Judge samples: where answers get worse or longer, add a likelihood term on the chosen "
        "response or take pairs that differ more.",
        f"{_DPO}; Pal et al. 2024 (arXiv:2402.13228) on when it harms",
    )


def in_quarters(run: LoggedRun) -> bool:
    """All accuracies are multiples of a quarter: each row is a batch of four pairs at most."""
    accuracy = run.get("reward/accuracy")
    if accuracy is None or len(accuracy) < 12 or len(np.unique(accuracy.values)) < 3:
        return False
    return bool(np.allclose(accuracy.values * 4, np.round(accuracy.values * 4), atol=1e-3))


def drowned(run: LoggedRun) -> bool:
    """Rows of four pairs at most, and nothing seen of a gain over all of them."""
    loss = run.get("loss/total")
    still = loss is not None and len(loss) >= 40 and trend(loss.values).z > -LIKELY
    return in_quarters(run) and still and loss is not None and abs(loss.median - math.log(2)) < 0.05


def batch_too_small(run: LoggedRun) -> Finding | None:
    accuracy = run.get("reward/accuracy")
    if not in_quarters(run):
        return None
    lost = drowned(run)
    return Finding(
        "batch_too_small",
        "warning" if lost else "note",
        "Accuracies come in quarters: a row rests on four pairs at most, so single rows say nothing, and if that is "
        "the whole batch, gradients are mostly noise."
        + (" Over the whole run the loss does not leave log 2 beyond that noise." if lost else ""),
        evidence(accuracy, run.get("loss/total"), run.get("optim/gradient_noise_scale")),
        "Accumulate to 32 to 128 pairs an update, and log the mean over the whole batch.",
        "DPO's published runs use 64 pairs (github.com/eric-mitchell/direct-preference-optimization)",
    )


def rm_at_chance(run: LoggedRun) -> Finding | None:
    held = run.get("eval/accuracy")
    accuracy = held if held is not None else run.get("reward/accuracy")
    loss = run.get("loss/total")
    if accuracy is None or (held is None and len(accuracy) < 5):
        return None
    end = accuracy.evidence().end if len(accuracy) < 10 else accuracy.late
    epoch = run.get("data/epoch")
    later = epoch is not None and float(epoch.values[-1]) > 0 and accuracy.steps[-1] >= epoch.steps[-1]
    trained = len(accuracy) >= 2 or later or (loss is not None and len(loss) >= 2)
    if not trained or end >= 0.55 or (held is None and loss is not None and loss.late < 0.6):
        return None
    if end <= 0.4 and loss is not None and loss.late > 2:
        return None  # no loss of pairs, so an accuracy of tokens
    known = run.get("reward/accuracy")
    if held is not None and known is not None and known.late >= 0.8 and rm_overfit(run) is not None:
        return None  # it has learned its own pairs, so nothing is broken: too few of them, too often
    return Finding(
        "rm_at_chance",
        "error" if held is not None or len(accuracy) >= 20 else "warning",
        f"The reward model orders {end:.1%} of the pairs rightly, "
        + ("as a coin does." if end > 0.4 else "fewer than a coin does: labels, or both sides, may be swapped."),
        evidence(accuracy, loss),
        "See that the score is read at the last token that is not padding, that both sides are not cut to the same "
        "text, and that labels are not swapped in part; start from the fine-tuned model, and take at least some 2,000 "
        "pairs.",
        "Gao et al. 2022 (arXiv:2210.10760): below about 2,000 pairs a reward model hardly beats chance",
    )


def rm_overfit(run: LoggedRun) -> Finding | None:
    """The training loss falls on while held-out accuracy turns down or held-out loss rises."""
    accuracy, held_loss, loss = run.get("eval/accuracy"), run.first_of("eval/nll", "eval/loss"), run.get("loss/total")
    if loss is None or len(loss) < 2 or moved(loss) >= 0:
        return None
    down = _past_best(accuracy, -1)
    up = _past_best(held_loss, 1)
    turned = down > 0.01 and accuracy is not None
    worse = up > 0.03 and held_loss is not None
    train = run.get("reward/accuracy")
    gap = train.late - accuracy.late if train is not None and accuracy is not None else 0.0
    if not turned and not worse and gap < 0.15:
        return None
    severe = worse and held_loss is not None and held_loss.evidence().end > 0.8
    return Finding(
        "rm_overfit",
        "error" if severe else "warning",
        f"The training loss falls on to {loss.evidence().end:.3g}, but held-out "
        + (f"accuracy has come down by {down:.1%} from its best" if turned else "")
        + (" and " if turned and worse else "")
        + (f"loss has risen by {up:.3g}" if worse else "")
        + (f"accuracy is {gap:.1%} below that in training" if not turned and not worse else "")
        + ".",
        evidence(loss, accuracy, held_loss),
        "Keep the checkpoint with the best held-out loss: one epoch is usual. Calibration goes first, so fit a "
        "temperature on held-out pairs; add pairs rather than epochs.",
        "Ouyang et al. 2022 (arXiv:2203.02155): one epoch; Guo et al. 2017 (arXiv:1706.04599) on calibration",
    )


def _past_best(series: Series | None, sign: int) -> float:
    """How much worse the end is than the best before it (sign 1: lower is better)."""
    if series is None or len(series) < 3:
        return 0.0
    x = sign * series.values
    return float(x[-1] - x[:-1].min()) if len(x) < 10 else float(sign * series.late - np.quantile(x, 0.05))


RULES = (
    Rule(
        "dpo_margin_overfit",
        "a margin above 8 with a loss below 0.02, or above 15",
        dpo_margin_overfit,
        (("reward/margin",),),
        ("dpo",),
    ),
    Rule(
        "dpo_margin_negative",
        "a margin that sinks from 0 and ends below it beyond chance, with fewer than half of the pairs in order: in "
        "training (error from 20 rows on), or on held-out pairs",
        dpo_margin_negative,
        (("reward/margin", "eval/margin"),),
        ("dpo",),
    ),
)
RULES_SCORER = (
    Rule(
        "rm_at_chance",
        "held-out accuracy below 0.55 after training",
        rm_at_chance,
        (("eval/accuracy", "reward/accuracy"),),
        ("rm",),
    ),
    Rule(
        "rm_overfit",
        "held-out accuracy 1 point below its best, or held-out loss up by 0.03, while the training loss falls",
        rm_overfit,
        (("eval/accuracy", "eval/nll", "eval/loss"), ("loss/total",)),
        ("rm",),
    ),
)
RULES_FINE = (
    Rule(
        "dpo_both_falling_ok",
        "both DPO rewards fall and the margin widens: harmless by itself",
        dpo_both_falling_ok,
        (("reward/chosen", "eval/chosen"), ("reward/rejected", "eval/rejected")),
        ("dpo",),
    ),
    Rule(
        "batch_too_small",
        "all accuracies are multiples of a quarter; a warning where the loss does not leave log 2",
        batch_too_small,
        (("reward/accuracy",),),
        PAIR_METHODS,
    ),
)
