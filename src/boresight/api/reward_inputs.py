"""What a reward model's certificate is made from: pairs, scores, and the blocks that were asked for.

A folder is scored with torch, which is loaded for that alone; a file of scores takes none.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boresight.data.readers import PairFile, read_pairs
from boresight.evaluation.best_of_n import Sampled, best_of_n, read_sampled
from boresight.evaluation.reward_certificate import contrast_pairs, contrasts
from boresight.evaluation.reward_members import Scores, ensemble, score_drift
from boresight.evaluation.score_files import read_scored_pairs, read_scores
from boresight.records import PreferencePair


class Inputs(NamedTuple):
    """Held-out pairs with their scores; `learnt` are the training pairs. Padding and contrast pairs are looked at in a
    model's folder alone."""

    pairs: list[PreferencePair]
    scores: Scores
    dropped: dict[str, int]
    learnt: list[PreferencePair] | None
    invariant: bool | None = None
    contrast: dict[str, Any] | None = None


def read_inputs(model: Path, pairs: Path | None, training: Path | None) -> Inputs:
    """Pairs that are identical or have an empty response or differing contexts are left out and counted."""
    learnt = _read(training).pairs if training else None
    if pairs is None:
        held, chosen, rejected = read_scored_pairs(model)
        return Inputs(held, Scores.of(chosen, rejected), {}, learnt)
    held_out = _read(pairs)
    if not model.is_dir():
        return Inputs(held_out.pairs, _scores_of(model, held_out.pairs), held_out.dropped, learnt)
    from boresight.evaluation.reward_scoring import fitting, open_scorer, score_pairs_with

    scorer = open_scorer(model)
    chosen, rejected, invariant = score_pairs_with(scorer, held_out.pairs)
    asked = fitting(scorer, contrast_pairs())
    found = contrasts(asked, *score_pairs_with(scorer, asked)[:2]) if asked else None
    return Inputs(held_out.pairs, Scores.of(chosen, rejected), held_out.dropped, learnt, invariant, found)


def more_blocks(
    model: Path,
    read: Inputs,
    others: Sequence[Path],
    before: Path | None,
    sampled: Path | None,
    contrast: Path | None,
) -> dict[str, Any]:
    """The blocks that were asked for; None for the others."""
    more: dict[str, Any] = {"contrast": read.contrast, "best_of_n": None, "ensemble": None, "drift": None}
    if contrast is not None:
        more["contrast"] = contrasts(contrast_pairs(), *read_scores(contrast, contrast_pairs()))
    if others:
        named = {str(model): read.scores} | {str(other): _scores_of(other, read.pairs) for other in others}
        more["ensemble"] = ensemble(read.pairs, named)
    if before is not None:
        more["drift"] = score_drift(read.pairs, _scores_of(before, read.pairs), read.scores)
    if sampled is not None:
        more["best_of_n"] = best_of_n(_sampled(model, sampled))
    return more


def _read(path: Path) -> PairFile:
    return read_pairs(path, on_identical="drop", on_empty="drop", on_context_differs="drop")


def _scores_of(place: Path, pairs: Sequence[PreferencePair]) -> Scores:
    if not place.is_dir():
        return Scores.of(*read_scores(place, pairs))
    from boresight.evaluation.reward_scoring import open_scorer, score_pairs_with

    return Scores.of(*score_pairs_with(open_scorer(place), pairs)[:2])


def _sampled(model: Path, file: Path) -> list[Sampled]:
    """Responses with scores: those of the file, or the model's where one is given as a folder."""
    sampled = read_sampled(file)
    if not model.is_dir():
        return sampled
    from boresight.evaluation.reward_scoring import open_scorer, score_sampled

    return score_sampled(open_scorer(model), sampled)
