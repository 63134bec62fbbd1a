"""What a reward model must beat: the longer (or shorter) response, and a bag of words.

Both learn from the training pairs alone. A reward model that is no better on held-out pairs has learnt length or
vocabulary, or the pairs carry nothing else.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from boresight.errors import DataError
from boresight.records import Messages, PreferencePair
from boresight.stats.calibration import sigmoid
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
        losses = [_loss(features[tuning], _fit_weights(features[~tuning], candidate)) for candidate in _PENALTIES]
        penalty = _PENALTIES[int(np.argmin(losses))]
    return BagOfWords(vocabulary, _fit_weights(features, penalty), penalty)


def bag_of_words_margins(model: BagOfWords, pairs: Sequence[PreferencePair]) -> Array:
    """Chosen minus rejected score in nats (pairs,); 0 where no known word differs."""
    return np.asarray(_features(pairs, model.vocabulary) @ model.weights)


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


def _features(pairs: Sequence[PreferencePair], vocabulary: dict[str, int]) -> csr_array:  # (pairs, words)
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
    return csr_array((values, (rows, columns)), shape=(len(pairs), len(vocabulary)), dtype=np.float64)


def _in_tuning_part(pair: PreferencePair) -> bool:
    prompt = "\n".join(f"{message.role}\t{message.content}" for message in pair.prompt)
    return int(hash_text(prompt)[:8], 16) < _TUNING_SHARE * 2**32


def _fit_weights(features: csr_array, penalty: float) -> Array:
    def objective(weights: Array) -> tuple[float, Array]:
        margin = features @ weights
        loss = np.logaddexp(0.0, -margin).mean() + penalty / 2 * float(weights @ weights)
        gradient = features.T @ (-sigmoid(-margin)) / len(margin) + penalty * weights
        return float(loss), gradient

    start = np.zeros(features.shape[1])
    if len(start) == 0:  # no word is frequent enough: every margin is 0
        return start
    return np.asarray(minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x)


def _loss(features: csr_array, weights: Array) -> float:
    return float(np.logaddexp(0.0, -(features @ weights)).mean())
