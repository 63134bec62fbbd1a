"""What a reward model must beat: the longer (or shorter) response, and a bag of words.

Both learn from the training pairs alone. A reward model that is no better on held-out pairs has learnt length or
vocabulary, or the pairs carry nothing else.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from boresight.errors import DataError
from boresight.records import Messages, PreferencePair
from boresight.stats.calibration import sigmoid
from boresight.storage import hash_text

Array = NDArray[np.float64]

_WORD = re.compile(r"\w+|[^\w\s]")
_MINIMUM_RESPONSES = 3  # a word in fewer training responses is left out of the vocabulary
_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3)  # L2 strengths a pair that are tried
_NEWTON_STEPS = 50
_GRADIENT_BOUND = 1e-9
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
    """Damped counts of chosen minus rejected: a sparse (pairs, words) matrix X as its entries."""

    pairs: NDArray[np.int64]  # (entries,) row of each
    words: NDArray[np.int64]  # (entries,) column of each
    values: Array  # (entries,)
    shape: tuple[int, int]

    def times(self, weights: Array) -> Array:
        """X w, (pairs,)."""
        return _sums(self.pairs, self.values * weights[self.words], self.shape[0])

    def transposed_times(self, amounts: Array) -> Array:
        """X' a, (words,)."""
        return _sums(self.words, self.values * amounts[self.pairs], self.shape[1])

    def select(self, wanted: NDArray[np.bool_]) -> "WordDifferences":
        """The rows of some pairs."""
        entries, place = wanted[self.pairs], np.cumsum(wanted) - 1
        shape = int(wanted.sum()), self.shape[1]
        return WordDifferences(place[self.pairs[entries]], self.words[entries], self.values[entries], shape)


def _sums(places: NDArray[np.int64], amounts: Array, size: int) -> Array:
    """(size,) sums of the amounts that fall into each place."""
    return np.asarray(np.bincount(places, amounts, minlength=size), np.float64)


class Baselines(NamedTuple):
    """What length alone and a bag of words would get on the pairs."""

    length: LengthRule
    words: BagOfWords


def fit_baselines(training: Sequence[PreferencePair]) -> Baselines:
    """Both baselines from the training pairs. Raises DataError where there are none."""
    if not training:
        raise DataError(
            "baselines: no training pairs; expected the pairs that the reward model is trained on."
            " Give a file with pairs."
        )
    return Baselines(fit_length_rule(training), fit_bag_of_words(training))


def fit_length_rule(training: Sequence[PreferencePair]) -> LengthRule:
    return LengthRule(longer_wins=bool(np.sign(length_differences(training)).sum() >= 0))


def length_margins(rule: LengthRule, pairs: Sequence[PreferencePair]) -> Array:
    """Chosen minus rejected length in characters, with the rule's sign (pairs,)."""
    return length_differences(pairs) * (1 if rule.longer_wins else -1)


def length_differences(pairs: Sequence[PreferencePair]) -> Array:
    """Characters of the chosen response minus those of the rejected one, (pairs,)."""
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
        losses = [_loss(judged, _fit_weights(tried, candidate)) for candidate in _PENALTIES]
        penalty = _PENALTIES[int(np.argmin(losses))]
    return BagOfWords(vocabulary, _fit_weights(features, penalty), penalty)


def bag_of_words_margins(model: BagOfWords, pairs: Sequence[PreferencePair]) -> Array:
    """Chosen minus rejected score in nats (pairs,); 0 where no known word differs."""
    return _features(pairs, model.vocabulary).times(model.weights)


def response_text(messages: Messages) -> str:
    """The contents of the messages in one text."""
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
    shape = len(pairs), len(vocabulary)
    return WordDifferences(np.array(rows, np.int64), np.array(columns, np.int64), np.array(values), shape)


def _in_tuning_part(pair: PreferencePair) -> bool:
    prompt = "\n".join(f"{message.role}\t{message.content}" for message in pair.prompt)
    return int(hash_text(prompt)[:8], 16) < _TUNING_SHARE * 2**32


def _fit_weights(features: WordDifferences, penalty: float) -> Array:
    """Newton's method, each step by conjugate gradients (Lin, Weng & Keerthi 2008, section 3, without their trust
    region: the penalty keeps the problem strongly convex, and a step that does not descend is halved)."""
    pairs, words = features.shape
    weights = np.zeros(words)
    for _ in range(_NEWTON_STEPS if words else 0):
        losing = sigmoid(-features.times(weights))
        gradient = penalty * weights - features.transposed_times(losing) / pairs
        if np.abs(gradient).max() < _GRADIENT_BOUND:
            break
        curvature = losing * (1.0 - losing) / pairs

        def hessian_times(v: Array, curvature: Array = curvature) -> Array:
            return features.transposed_times(curvature * features.times(v)) + penalty * v

        step, before = _solve(hessian_times, gradient), _penalised_loss(features, weights, penalty)
        while _penalised_loss(features, weights - step, penalty) > before and np.abs(step).max() > _GRADIENT_BOUND:
            step /= 2
        weights -= step
    return weights


def _solve(matrix_times: Callable[[Array], Array], target: Array) -> Array:
    """Conjugate gradients (Hestenes & Stiefel 1952) for a symmetric positive matrix."""
    found, residual = np.zeros_like(target), target.copy()
    direction, size = residual.copy(), float(residual @ residual)
    bound = 1e-16 * size
    for _ in range(len(target)):
        if size <= bound:
            break
        image = matrix_times(direction)
        length = size / float(direction @ image)
        found += length * direction
        residual -= length * image
        size, before = float(residual @ residual), size
        direction = residual + size / before * direction
    return found


def _penalised_loss(features: WordDifferences, weights: Array, penalty: float) -> float:
    return _loss(features, weights) + penalty / 2 * float(weights @ weights)


def _loss(features: WordDifferences, weights: Array) -> float:
    return float(np.logaddexp(0.0, -features.times(weights)).mean())
