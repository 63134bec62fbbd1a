"""What a reward model must beat: the longer (or shorter) response, and a bag of words.

Both learn from the training pairs alone. A reward model that is no better on held-out pairs has learnt length or
vocabulary, or the pairs carry nothing else.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from boresight.errors import DataError
from boresight.records import Messages, PreferencePair
from boresight.storage import hash_text

Array = NDArray[np.float64]

_WORD = re.compile(r"\w+|[^\w\s]")
_MINIMUM_RESPONSES = 3  # a word in fewer training responses is left out of the vocabulary
_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3)  # L2 strengths a pair that are tried
_TUNING_SHARE = 0.2  # of the training prompts, held back to choose among them


class LengthRule(NamedTuple):
    """Prefer the longer response (`longer_wins`) or the shorter one; lengths in characters."""

    longer_wins: bool


class BagOfWords(NamedTuple):
    """A linear score over damped word counts: log(1 + count) times a weight, summed over the response's words."""

    vocabulary: dict[str, int]
    weights: Array  # (words,)
    penalty: float


class WordDifferences(NamedTuple):
    """Damped counts of chosen minus rejected: a sparse (pairs, words) matrix as its entries."""

    pairs: Tensor  # (entries,) int64, row of each
    words: Tensor  # (entries,) int64, column of each
    values: Tensor  # (entries,) float64
    total: int  # pairs

    def margins(self, weights: Tensor) -> Tensor:
        """Matrix times (words,) weights, (pairs,)."""
        return weights.new_zeros(self.total).index_add(0, self.pairs, self.values * weights[self.words])

    def select(self, wanted: NDArray[np.bool_]) -> "WordDifferences":
        """The rows of some pairs."""
        chosen = torch.from_numpy(wanted)
        entries, place = chosen[self.pairs], chosen.cumsum(0) - 1
        return WordDifferences(place[self.pairs[entries]], self.words[entries], self.values[entries], int(chosen.sum()))


class Baselines(NamedTuple):
    length: LengthRule
    words: BagOfWords


def fit_baselines(training: Sequence[PreferencePair]) -> Baselines:
    """Both baselines from the training pairs. Raises DataError where there are none."""
    if not training:
        raise DataError("baselines: no training pairs; expected the pairs that the reward model is trained on.")
    return Baselines(fit_length_rule(training), fit_bag_of_words(training))


def fit_length_rule(training: Sequence[PreferencePair]) -> LengthRule:
    return LengthRule(longer_wins=bool(np.sign(length_differences(training)).sum() >= 0))


def length_margins(rule: LengthRule, pairs: Sequence[PreferencePair]) -> Array:
    """Chosen minus rejected length in characters, with the rule's sign (pairs,)."""
    return length_differences(pairs) * (1 if rule.longer_wins else -1)


def length_differences(pairs: Sequence[PreferencePair]) -> Array:
    return np.array([len(response_text(p.chosen)) - len(response_text(p.rejected)) for p in pairs], dtype=np.float64)


def fit_bag_of_words(training: Sequence[PreferencePair]) -> BagOfWords:
    """Logistic regression on the difference of damped word counts, chosen minus rejected, without intercept.

        minimise  mean_i log(1 + exp(-w . x_i)) + penalty/2 |w|^2
        x_i = log(1 + count in chosen_i) - log(1 + count in rejected_i), one component a word

    The penalty is the one with the least log loss on a fifth of the training prompts (parted by a hash of the prompt,
    so that all pairs of a prompt stand on one side); then all training pairs are fitted with it.
    """
    vocabulary = _vocabulary(training)
    features = _features(training, vocabulary)
    tuning = np.array([_in_tuning_part(pair) for pair in training])
    penalty = _PENALTIES[-1]
    if tuning.any() and not tuning.all():
        tried, judged = features.select(~tuning), features.select(tuning)
        losses = [_loss(judged, _fit_weights(tried, len(vocabulary), candidate)) for candidate in _PENALTIES]
        penalty = _PENALTIES[int(np.argmin(losses))]
    return BagOfWords(vocabulary, _fit_weights(features, len(vocabulary), penalty).numpy(), penalty)


def bag_of_words_margins(model: BagOfWords, pairs: Sequence[PreferencePair]) -> Array:
    """Chosen minus rejected score in nats (pairs,); 0 where no known word differs."""
    margins: Array = _features(pairs, model.vocabulary).margins(torch.from_numpy(model.weights)).numpy()
    return margins


def response_text(messages: Messages) -> str:
    return "\n".join(message.content for message in messages)


def _words(messages: Messages) -> Counter[str]:
    return Counter(_WORD.findall(response_text(messages).lower()))


def _vocabulary(training: Sequence[PreferencePair]) -> dict[str, int]:
    responses: Counter[str] = Counter()
    for pair in training:
        responses.update(_words(pair.chosen).keys())
        responses.update(_words(pair.rejected).keys())
    kept = sorted(word for word, count in responses.items() if count >= _MINIMUM_RESPONSES)
    return {word: i for i, word in enumerate(kept)}


def _features(pairs: Sequence[PreferencePair], vocabulary: dict[str, int]) -> WordDifferences:
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, pair in enumerate(pairs):
        chosen, rejected = _words(pair.chosen), _words(pair.rejected)
        for word in sorted(chosen.keys() | rejected.keys()):
            column, difference = vocabulary.get(word), np.log1p(chosen[word]) - np.log1p(rejected[word])
            if column is not None and difference != 0:
                rows.append(row)
                columns.append(column)
                values.append(float(difference))
    return WordDifferences(
        torch.tensor(rows, dtype=torch.long),
        torch.tensor(columns, dtype=torch.long),
        torch.tensor(values, dtype=torch.float64),
        len(pairs),
    )


def _in_tuning_part(pair: PreferencePair) -> bool:
    prompt = "\n".join(f"{message.role}\t{message.content}" for message in pair.prompt)
    return int(hash_text(prompt)[:8], 16) < _TUNING_SHARE * 2**32


def _fit_weights(features: WordDifferences, words: int, penalty: float) -> Tensor:
    weights = torch.zeros(words, dtype=torch.float64, requires_grad=True)
    if words == 0:  # no word is frequent enough: every margin is 0
        return weights.detach()
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=500, tolerance_grad=1e-7, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        optimizer.zero_grad()
        margins = features.margins(weights)
        loss = torch.nn.functional.softplus(-margins).mean() + penalty / 2 * weights.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def _loss(features: WordDifferences, weights: Tensor) -> float:
    return float(torch.nn.functional.softplus(-features.margins(weights)).mean())
