"""`evaluate`: win rates, agreement of raters, a reward model's certificate: figures with their error bars.

The functions are those of `boresight eval`; none loads torch but `reward` where it is given a model's folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from boresight.api.faults import public
from boresight.api.result import Result
from boresight.api.reward_inputs import more_blocks, read_inputs
from boresight.errors import DataError
from boresight.evaluation import agreement_text, certificate_text, standings_text
from boresight.evaluation.agreement import both_orders_agreement, rater_agreement
from boresight.evaluation.published_weights import read_published_weights
from boresight.evaluation.question_files import read_questions
from boresight.evaluation.rater_files import BothOrders, read_raters, read_verdicts
from boresight.evaluation.reward_certificate import certify_fully
from boresight.evaluation.standings import standings
from boresight.tables import Block


@dataclass(frozen=True, repr=False)
class WinRates(Result):
    """A block for each candidate; rates are in percent, ties count as halves."""

    figures: dict[str, Any]
    margin: float

    def to_dict(self) -> dict[str, Any]:
        return self.figures

    @property
    def candidates(self) -> Sequence[dict[str, Any]]:
        """The block of each candidate, in the order of the files."""
        found: Sequence[dict[str, Any]] = self.figures["files"]
        return found

    @property
    def warnings(self) -> Sequence[str]:
        """What makes a rate hard to believe, such as a judge that lets a constant answer win."""
        return [f"{block['file']}: {found['message']}." for block in self.candidates for found in block["warnings"]]

    def blocks(self) -> Sequence[Block]:
        return standings_text.blocks_of(self.figures, self.margin)

    def pictures(self) -> Sequence[Markup]:
        """Each candidate's rate with its 95 % interval, beside 50 %."""
        from boresight.api.rate_charts import rate_chart

        rows = [(block["candidate"], block["win_rate"] / 100, block["ci95"], 100.0) for block in self.candidates]
        return [rate_chart("Win rates", rows, against=0.5, named="even")]


@dataclass(frozen=True, repr=False)
class Agreement(Result):
    """Agreement statistics with 95 % intervals, labels of each rater, and judges held against people."""

    figures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.figures

    def blocks(self) -> Sequence[Block]:
        return agreement_text.blocks_of(Path(self.figures["file"]), self.figures)


@dataclass(frozen=True, repr=False)
class Certificate(Result):
    """Accuracy and calibration of a reward model on held-out pairs, by parts, and a verdict with its reasons."""

    figures: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        return self.figures

    @property
    def verdict(self) -> str:
        """sound, doubtful or unfit."""
        return str(self.figures["verdict"]["level"])

    @property
    def accuracy(self) -> float:
        """Share of pairs that are ordered as preferred, ties as halves."""
        return float(self.figures["accuracy"])

    def blocks(self) -> Sequence[Block]:
        return certificate_text.blocks_of(self.figures)

    def pictures(self) -> Sequence[Markup]:
        """Accuracy with its interval, beside what length and words alone would get."""
        from boresight.api.rate_charts import rate_chart

        named = {"length_only": "length alone", "bag_of_words": "bag of words alone"}
        blocks = [("reward model", self.figures), *((named[k], self.figures[k]) for k in named if k in self.figures)]
        rows = [(name, block["accuracy"], block["ci95"], 1.0) for name, block in blocks]
        return [rate_chart("Accuracy", rows, against=0.5, named="a coin")]


@public
def winrate(
    *files: str | Path,
    baseline: str | None = None,
    weights: str | Path | None = None,
    difficulty: str | Path | None = None,
    margin: float = 10.0,
    questions: str | Path | None = None,
    training: Sequence[str | Path] = (),
    seed: int = 0,
    report: str | Path | None = None,
) -> WinRates:
    """Win rates with intervals over prompts, length control, tests and canaries, from files of verdicts.

    Read are comparisons.jsonl of an evaluate stage, annotations of AlpacaEval, judgments of MT-bench and Arena-Hard,
    arena battles. `baseline`: whom the models of battles are held against. `weights` and `difficulty`: published
    coefficients of length control. `margin`: percentage points above 50 that should be told from 50. `questions`: texts
    and categories. `training`: files in which the prompts are looked for. `report`: where a page is written.

    Rates are in percent; methods and sources: docs/evaluation.md. Raises DataError for files that cannot be used.
    """
    if (weights is None) != (difficulty is None):
        raise DataError("--weights: published coefficients take both --weights and --difficulty. Give the other too.")
    published = read_published_weights(Path(weights), Path(difficulty)) if weights and difficulty else None
    known = read_questions(Path(questions)) if questions else None
    figures = standings(
        [Path(file) for file in files], seed=seed, baseline=baseline, margin=margin, weights=published, questions=known,
        training=[Path(file) for file in training],
    )  # fmt: skip
    if report is not None:
        from boresight.pipeline.standings_page import write_standings_page

        write_standings_page(Path(report), figures)
    return WinRates(figures, margin)


@public
def agreement(
    file: str | Path, *, raters: Sequence[str] = (), verdicts: str | Path | None = None, seed: int = 0
) -> Agreement:
    """How far raters agree beyond chance, and a judge with them.

    `raters`: their columns, at least two, where they are not named annotator1, rater_a and the like. `verdicts`: a
    judge's verdicts on the same items. A file of a judge in both orders gives its accuracy in each.

    Shares are between 0 and 1; intervals are bootstrapped over items. Cohen 1960, Fleiss 1971, Krippendorff 2004, see
    docs/evaluation.md. Raises DataError for a file that cannot be used.
    """
    file = Path(file)
    read = read_raters(file, tuple(raters))
    if not isinstance(read, BothOrders):
        given = read_verdicts(Path(verdicts), read.ids) if verdicts else None
        return Agreement({"file": str(file), **rater_agreement(read, verdicts=given, seed=seed)})
    if verdicts:
        raise DataError(f"{file}: holds a judge's verdicts in both orders itself; leave --verdicts out.")
    return Agreement({"file": str(file), **both_orders_agreement(read, seed=seed)})


@public
def reward(
    model: str | Path,
    pairs: str | Path | None = None,
    *,
    training: str | Path | None = None,
    others: Sequence[str | Path] = (),
    before: str | Path | None = None,
    sampled: str | Path | None = None,
    contrast: str | Path | None = None,
) -> Certificate:
    """A reward model's certificate on held-out pairs.

    `model`: its folder, or a file with chosen_score and rejected_score of each pair. `pairs`: held-out pairs; a file of
    scores may hold them itself. `training`: the pairs it learnt from, for what length and words alone would get.
    `others`: further members of an ensemble. `before`: the same model earlier. `sampled`: responses with their true
    worth. `contrast`: scores of the shipped contrast pairs.

    Accuracies are between 0 and 1, nll in nats, intervals over prompts; sources: docs/evaluation.md. Raises DataError
    for pairs and scores that cannot be used, ModelError for a folder without a reward model.
    """
    place = Path(model)
    held_out = None if pairs is None else Path(pairs)
    if held_out is None and place.is_dir():
        raise DataError(
            f"{place}: a reward model's folder, and no pairs. Give a file of held-out preference pairs too."
        )
    read = read_inputs(place, held_out, None if training is None else Path(training))
    further = (None if one is None else Path(one) for one in (before, sampled, contrast))
    more = more_blocks(place, read, [Path(one) for one in others], *further)
    figures = certify_fully(read.pairs, *read.scores, training=read.learnt, padding_invariant=read.invariant, more=more)
    return Certificate({"file": str(held_out or place), "dropped": read.dropped, **figures})
