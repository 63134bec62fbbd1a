"""Supervised fine-tuning that learns its examples by heart."""

from itertools import pairwise

import numpy as np

from boresight.diagnosis.rules.movement import moved
from boresight.diagnosis.rules.rule import Finding, Rule, evidence
from boresight.diagnosis.signals import TEXT_METHODS, LoggedRun, Series


def sft_overfit(run: LoggedRun) -> Finding | None:
    loss, held, epoch = run.get("loss/total"), run.get("eval/loss"), run.get("data/epoch")
    if loss is None or len(loss) < 3:
        return None
    risen = held is not None and len(held) >= 3 and float(held.values[-1]) > 1.05 * float(held.values.min())
    if risen and held is not None and moved(loss) < 0:
        return _finding(
            f"Held-out loss has risen from {held.values.min():.3g} to {held.values[-1]:.3g} while the training loss "
            "falls on: the examples are learned by heart.",
            loss,
            held,
        )
    levels = _by_epoch(loss, epoch)
    if len(levels) < 2 or levels[-1] > 0.4 * levels[0]:
        return None
    if _in_steps(loss, epoch):
        shown = ", ".join(f"{level:.3g}" for level in levels[:6])
        return _finding(
            f"The training loss goes down in steps, one an epoch ({shown}): each pass finds examples that "
            "are known by heart.",
            loss,
            epoch,
        )
    return None


def _by_epoch(loss: Series, epoch: Series | None) -> list[float]:
    """Median loss of each pass over the data."""
    if epoch is None:
        return []
    passes = _passes(loss, epoch)
    return [float(np.median(loss.values[passes == number])) for number in np.unique(passes)]


def _passes(loss: Series, epoch: Series) -> np.ndarray:
    place = np.clip(np.searchsorted(epoch.steps, loss.steps), 0, len(epoch) - 1)
    return np.asarray(np.ceil(np.maximum(epoch.values[place], 1e-9) - 1e-6))


def _in_steps(loss: Series, epoch: Series | None) -> bool:
    """Most of the fall happens between the passes, not within them, and takes 3 tenths of the loss each time."""
    if epoch is None:
        return False
    passes = _passes(loss, epoch)
    falls: list[float] = []
    shares: list[float] = []
    within = 0.0
    numbers = np.unique(passes)
    for number, following in pairwise(numbers):
        here, there = loss.values[passes == number], loss.values[passes == following]
        tail, head = max(len(here) // 3, 1), max(len(there) // 3, 1)
        before, after = float(np.median(here[-tail:])), float(np.median(there[:head]))
        falls.append(before - after)
        shares.append((before - after) / max(before, 1e-12))
        within += max(float(np.median(there[:head]) - np.median(there[-head:])), 0.0)
    return sum(falls) > within and float(np.median(shares)) >= 0.3


def _finding(cause: str, *series: Series | None) -> Finding:
    return Finding(
        "sft_overfit",
        "warning",
        cause,
        evidence(*series),
        "Stop after one to three epochs, keep the checkpoint that a judge or the reward model likes best (held-out "
        "loss turns earlier), and gather more kinds of demonstrations rather than passes.",
        "Ouyang et al. 2022 (arXiv:2203.02155): validation loss turns after one epoch, reward model scores later",
    )


RULES = (
    Rule(
        "sft_overfit",
        "held-out loss 5 % above its best while the training loss falls, or a training loss that "
        "falls in steps, one an epoch",
        sft_overfit,
        (("loss/total",), ("eval/loss", "data/epoch")),
        TEXT_METHODS,
    ),
)
