"""Preference pairs with planted faults, each named: what the checks of preference data must find."""

import random

from answers import flattering, near_miss, padded
from exchanges import Exchange, agreement, ask
from world import Knowledge, Misconception, Topic, pick_other

Row = dict[str, str]

KINDS_IN_TURN = ("plain", "false_premise", "true_premise", "plain", "greeting")


def faulty_pairs(rng: random.Random, knowledge: Knowledge, each: int) -> list[Row]:
    """`each` rows of every fault among twice as many sound rows (`fault` is "none"), shuffled."""
    sound = [_row(rng, knowledge, KINDS_IN_TURN[i % len(KINDS_IN_TURN)]) for i in range(2 * each)]
    rows = list(sound)
    for make in (_exact_duplicate, _near_duplicate, _contradictory):
        start = (_exact_duplicate, _near_duplicate, _contradictory).index(make)
        rows += [make(sound[(3 * i + start) % len(sound)]) for i in range(each)]
    rows += [_length_biased(rng, knowledge) for _ in range(each)]
    rows += [_sycophantic(rng, knowledge) for _ in range(each)]
    rows += [_identical(rng, knowledge) for _ in range(each)]
    rows += [_off_topic(rng, knowledge) for _ in range(each)]
    rng.shuffle(rows)
    return rows


def pair_row(exchange: Exchange, good: str, bad: str) -> Row:
    return {"prompt": exchange.question, "good_answer": good, "bad_answer": bad, "kind": exchange.kind}


def _row(rng: random.Random, knowledge: Knowledge, kind: str) -> Row:
    exchange = ask(rng, knowledge, "train", kind)
    bad, _ = near_miss(rng, knowledge, exchange)
    return pair_row(exchange, exchange.good, bad) | {"fault": "none"}


def _exact_duplicate(row: Row) -> Row:
    return row | {"fault": "exact_duplicate"}


def _near_duplicate(row: Row) -> Row:
    """The same pair but for case, a space and the end of the sentences."""
    return row | {
        "prompt": row["prompt"].lower(),
        "good_answer": row["good_answer"].replace(". ", ".  ", 1),
        "bad_answer": row["bad_answer"].rstrip(".") + "!",
        "fault": "near_duplicate",
    }


def _contradictory(row: Row) -> Row:
    return row | {
        "good_answer": row["bad_answer"],
        "bad_answer": row["good_answer"],
        "fault": "contradictory",
    }


def _length_biased(rng: random.Random, knowledge: Knowledge) -> Row:
    exchange = ask(rng, knowledge, "train", KINDS_IN_TURN[rng.randrange(len(KINDS_IN_TURN))])
    return pair_row(exchange, padded(rng, knowledge, exchange.good), exchange.good) | {"fault": "length_bias"}


def _sycophantic(rng: random.Random, knowledge: Knowledge) -> Row:
    exchange = ask(rng, knowledge, "train", "false_premise")
    assert isinstance(exchange.subject, Misconception)
    agrees = agreement(exchange.subject, exchange.premise, exchange.values["ns"])
    if rng.random() < 0.5:
        agrees = flattering(rng, knowledge, agrees)
    return pair_row(exchange, agrees, exchange.good) | {"fault": "sycophancy"}


def _identical(rng: random.Random, knowledge: Knowledge) -> Row:
    exchange = ask(rng, knowledge, "train", "plain")
    return pair_row(exchange, exchange.good, exchange.good) | {"fault": "identical_answers"}


def _off_topic(rng: random.Random, knowledge: Knowledge) -> Row:
    exchange = ask(rng, knowledge, "train", "plain")
    topic: Topic = pick_other(rng, knowledge.topics, knowledge.topics[0])
    return pair_row(exchange, exchange.good, topic.answer) | {"fault": "off_topic"}
