import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from boresight.errors import DataError
from boresight.evaluation.baselines import (
    bag_of_words_margins,
    fit_bag_of_words,
    fit_baselines,
    fit_length_rule,
    length_margins,
)
from boresight.records import Message, PreferencePair
from boresight.stats.calibration import negative_log_likelihood


def _pair(number: int, chosen: str, rejected: str) -> PreferencePair:
    return PreferencePair(
        id=f"p{number}",
        prompt=(Message("user", f"question {number}"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
    )


def _planted(count: int, seed: int) -> list[PreferencePair]:
    """Good responses hold `please` more often, bad ones `whatever`; filler words and lengths tell nothing."""
    random = np.random.default_rng(seed)
    filler = ["pod", "node", "volume", "the", "runs", "stops", "label", "port"]

    def response(good: bool) -> str:
        words = list(random.choice(filler, size=random.integers(3, 12)))
        words += ["please"] * int(random.random() < (0.8 if good else 0.2))
        words += ["whatever"] * int(random.random() < (0.2 if good else 0.8))
        return " ".join(random.permutation(words))

    return [_pair(i, response(True), response(False)) for i in range(count)]


def _accuracy(margin: np.ndarray) -> float:
    return float(np.mean((np.sign(margin) + 1) / 2))


def test_length_rule_learns_its_direction_and_counts_characters() -> None:
    longer = fit_length_rule([_pair(0, "aaaa", "a"), _pair(1, "aaa", "a"), _pair(2, "a", "aaaaaaaaaaaa")])
    shorter = fit_length_rule([_pair(0, "a", "aaaa")])
    assert (longer.longer_wins, shorter.longer_wins) == (True, False)  # pairs vote, however far apart they are
    held_out = [_pair(0, "abcd", "ab"), _pair(1, "ab", "ab"), _pair(2, "a", "abcdef")]
    assert length_margins(longer, held_out).tolist() == [2, 0, -5]
    assert length_margins(shorter, held_out).tolist() == [-2, 0, 5]


def test_bag_of_words_finds_the_planted_words() -> None:
    model = fit_bag_of_words(_planted(600, seed=1))
    weight = {word: model.weights[i] for word, i in model.vocabulary.items()}
    assert max(weight, key=weight.__getitem__) == "please"
    assert min(weight, key=weight.__getitem__) == "whatever"
    # Two independent hints, each 0.8 against 0.2: a margin of -2..2 hints; P(right) + P(tie)/2 = 0.8960 by enumeration.
    assert _accuracy(bag_of_words_margins(model, _planted(2000, seed=2))) == pytest.approx(0.896, abs=0.025)


def test_bag_of_words_claims_nothing_on_labels_that_are_coins() -> None:
    random = np.random.default_rng(3)

    def coins(pairs: list[PreferencePair]) -> list[PreferencePair]:
        swap = random.random(len(pairs)) < 0.5
        texts = [(p.chosen[0].content, p.rejected[0].content) for p in pairs]
        return [_pair(i, *(text[::-1] if swap[i] else text)) for i, text in enumerate(texts)]

    model = fit_bag_of_words(coins(_planted(500, seed=4)))
    margin = bag_of_words_margins(model, coins(_planted(2000, seed=5)))
    assert negative_log_likelihood(margin) < math.log(2) + 0.02  # a claim that fails would cost more
    assert _accuracy(margin) == pytest.approx(0.5, abs=0.04)


def test_exchanging_the_responses_negates_the_margin() -> None:
    model = fit_bag_of_words(_planted(200, seed=6))
    held_out = _planted(50, seed=7)
    turned = [_pair(i, p.rejected[0].content, p.chosen[0].content) for i, p in enumerate(held_out)]
    assert np.allclose(bag_of_words_margins(model, turned), -bag_of_words_margins(model, held_out))


def test_weights_are_the_optimum_of_the_stated_objective() -> None:
    training = _planted(150, seed=8)
    model = fit_bag_of_words(training)
    counts = np.zeros((len(training), len(model.vocabulary)))
    for row, pair in enumerate(training):
        for sign, message in ((1, pair.chosen[0]), (-1, pair.rejected[0])):
            words = message.content.split()
            for word in set(words) & model.vocabulary.keys():
                counts[row, model.vocabulary[word]] += sign * np.log(1 + words.count(word))

    def objective(weights: np.ndarray) -> float:
        return float(np.mean(np.log(1 + np.exp(-counts @ weights))) + model.penalty / 2 * np.sum(weights**2))

    assert np.abs(approx_fprime(model.weights, objective, 1e-6)).max() < 1e-4


def test_rare_words_are_left_out_and_no_vocabulary_means_no_opinion() -> None:
    model = fit_bag_of_words([_pair(0, "one two", "three four")])
    assert model.vocabulary == {}
    assert bag_of_words_margins(model, [_pair(1, "one", "three")]).tolist() == [0.0]


def test_no_training_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="no training pairs"):
        fit_baselines([])


def _hh_pairs(path: Path) -> list[PreferencePair]:
    """HH-RLHF transcripts as pairs, without the few whose contexts differ or whose responses are equal."""
    pairs: list[PreferencePair] = []
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for number, line in enumerate(stream):
            row = json.loads(line)
            (context, chosen), (other, rejected) = (
                row[side].rsplit("\n\nAssistant:", 1) for side in ("chosen", "rejected")
            )
            if context == other and chosen != rejected:
                pair = _pair(number, chosen.strip(), rejected.strip())
                pairs.append(
                    PreferencePair(
                        id=pair.id, prompt=(Message("user", context),), chosen=pair.chosen, rejected=pair.rejected
                    )
                )
    return pairs


@pytest.mark.parametrize(
    ("name", "longer_wins", "length_accuracy", "words_accuracy"),
    # Length: from the published counts, (182 + 2/2) / 289 for helpful and (146 - 1) / 270 for harmless, where the one
    # pair whose contexts differ is left out. Words: the level of a bag of words on a thousand training pairs.
    [("helpful-base", True, 183 / 289, 0.65), ("harmless-base", False, 145 / 270, 0.60)],
)
def test_baselines_on_public_preferences(
    shared_data: Path, name: str, longer_wins: bool, length_accuracy: float, words_accuracy: float
) -> None:
    training, held_out = (_hh_pairs(shared_data / "hh_rlhf" / f"{name}.{part}.jsonl.gz") for part in ("train", "test"))
    baselines = fit_baselines(training)
    assert baselines.length.longer_wins == longer_wins
    assert _accuracy(length_margins(baselines.length, held_out)) == pytest.approx(length_accuracy, abs=1e-9)
    assert _accuracy(bag_of_words_margins(baselines.words, held_out)) == pytest.approx(words_accuracy, abs=0.03)
