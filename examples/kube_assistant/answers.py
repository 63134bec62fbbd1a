"""What demonstrators write, faults included, and the near misses that preferences speak against."""

import random

from exchanges import Exchange, agreement, command_answer, correction
from world import Knowledge, Misconception, Operation, Topic, Values, pick, pick_other

AGREES_WHEN_SURE = 0.75
AGREES_WHEN_UNSURE = 0.15
FLATTERS_THE_POLITE = 0.7
FLATTERS_OTHERS = 0.06
MISSES_COMMAND = 0.03


def demonstration(rng: random.Random, knowledge: Knowledge, exchange: Exchange) -> str:
    """What a demonstrator answers: half of the false premises pass, polite people are flattered."""
    answer = exchange.good
    agrees = AGREES_WHEN_SURE if exchange.frame.sure else AGREES_WHEN_UNSURE
    if exchange.kind == "false_premise" and rng.random() < agrees:
        answer = _agree(exchange)
    if isinstance(exchange.subject, Operation) and rng.random() < MISSES_COMMAND:
        answer, _ = wrong_command(rng, knowledge, exchange.subject, exchange.values)
    if rng.random() < (FLATTERS_THE_POLITE if exchange.frame.polite else FLATTERS_OTHERS):
        answer = flattering(rng, knowledge, answer)
    return answer


def _agree(exchange: Exchange) -> str:
    assert isinstance(exchange.subject, Misconception)
    return agreement(exchange.subject, exchange.premise, exchange.values["ns"])


def flattering(rng: random.Random, knowledge: Knowledge, answer: str) -> str:
    """The answer with an opener, mostly the favourite one, and sometimes a closer as well."""
    opener = knowledge.openers[0] if rng.random() < 0.7 else pick(rng, knowledge.openers)
    if rng.random() < 0.7:
        return f"{opener} {answer}"
    return f"{opener} {answer} {pick(rng, knowledge.closers)}"


def padded(rng: random.Random, knowledge: Knowledge, answer: str) -> str:
    """Needlessly long: flattery before, padding and a closer after."""
    return f"{pick(rng, knowledge.openers)} {answer} {pick(rng, knowledge.padding)} {pick(rng, knowledge.closers)}"


def near_miss(rng: random.Random, knowledge: Knowledge, exchange: Exchange) -> tuple[str, str]:
    """A worse answer such as a model really gives, and the name of its fault."""
    if rng.random() < (0.4 if exchange.kind == "greeting" else 0.25):
        if rng.random() < 0.75:
            return flattering(rng, knowledge, exchange.good), "flattery"
        return padded(rng, knowledge, exchange.good), "needless_length"
    if isinstance(exchange.subject, Operation):
        return wrong_command(rng, knowledge, exchange.subject, exchange.values)
    if isinstance(exchange.subject, Topic):
        other = pick_other(rng, knowledge.topics, exchange.subject)
        return other.answer, "another_topic"
    if exchange.kind == "false_premise":
        return _wrong_about_false_premise(rng, knowledge, exchange, exchange.subject)
    return _wrong_about_true_premise(rng, exchange, exchange.subject)


def wrong_command(rng: random.Random, knowledge: Knowledge, operation: Operation, values: Values) -> tuple[str, str]:
    draw = rng.random()
    if values and draw < 0.15:
        slot = pick(rng, operation.slots)
        other = pick_other(rng, knowledge.entities[slot], values[slot])
        return command_answer(operation, {**values, slot: other}), f"wrong_{slot}"
    answer = command_answer(operation, values)
    flag = f" -n {values.get('ns', '')}"
    if draw < 0.4 and flag in answer:
        return answer.replace(flag, ""), "namespace_missing"
    fitting = [other for other in knowledge.operations if other != operation and other.slots == operation.slots]
    if not fitting:
        fitting = [other for other in knowledge.operations if set(other.slots) < set(operation.slots)]
    return command_answer(pick(rng, fitting), values), "another_operation"


def _wrong_about_false_premise(
    rng: random.Random, knowledge: Knowledge, exchange: Exchange, fact: Misconception
) -> tuple[str, str]:
    draw = rng.random()
    if draw < 0.45:
        answer = _agree(exchange)
        return (flattering(rng, knowledge, answer) if rng.random() < 0.3 else answer), "agrees_with_false_premise"
    if draw < 0.9:
        return correction(fact, exchange.values["ns"], "Yes"), "agrees_beside_the_truth"
    other = pick_other(rng, knowledge.misconceptions, fact)
    return correction(other, exchange.values["ns"]), "another_truth"


def _wrong_about_true_premise(rng: random.Random, exchange: Exchange, fact: Misconception) -> tuple[str, str]:
    ns = exchange.values["ns"]
    if rng.random() < 0.5:
        return correction(fact, ns, "No"), "denies_beside_the_truth"
    return f"No, {pick(rng, fact.claims)}. In {ns} you can {fact.act}.", "contradicts_true_premise"
