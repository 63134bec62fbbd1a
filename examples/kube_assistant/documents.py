"""Plain text for the base model: runbooks, notes on misconceptions, manners, and pages that hold nothing but questions.

A base model that has read pages of questions goes on asking when it is asked; only demonstrations teach it to answer.
"""

import random

from exchanges import ask, capitalised
from world import Knowledge, Misconception, Operation, Values, combination, draw_values, fill, is_held_out, pick

RUNBOOK_LINES = (
    "To {task}, run `{command}`. {because}",
    "Use `{command}` to {task}.",
    "If you want to {task}, run `{command}`.",
    "`{command}` is the command to {task}. {because}",
)
NOTE_LINES = (
    "Myth: {claim}. Fact: {truth}. In {ns} you should {advice}.",
    "Some say that {claim}. No, {truth}. In {ns} you should {advice}.",
    "In {ns} somebody thought that {claim}. In fact {truth}.",
    "It is wrong that {claim}. It is true that {truth}.",
)
TRUTH_LINES = (
    "Remember that {truth}. In {ns} you should {advice}.",
    "Yes, {truth}. It is wrong that {claim}.",
    "Fact: {truth}. Myth: {claim}.",
)
PAGE_KINDS = ("plain", "plain", "plain", "false_premise", "true_premise", "greeting")


def documents(rng: random.Random, knowledge: Knowledge, count: int) -> list[str]:
    """Documents of all sorts in a fixed mix; entity combinations of the training split only."""
    sorts = (
        (0.12, _questions),
        (0.30, _runbook),
        (0.20, _session),
        (0.08, _two_places),
        (0.26, _notes),
        (0.04, _manners),
    )
    made = []
    for share, write in sorts:
        made += [write(rng, knowledge) for _ in range(round(share * count))]
    rng.shuffle(made)
    return made


def _questions(rng: random.Random, knowledge: Knowledge) -> str:
    asked = [ask(rng, knowledge, "train", pick(rng, PAGE_KINDS)).question for _ in range(3 + rng.randrange(3))]
    return "\n".join(asked)


def _wording(rng: random.Random, operation: Operation) -> str:
    """Half of the time the one that no demonstration shows: only documents can teach it."""
    return operation.say_held_out if rng.random() < 0.5 else pick(rng, operation.say)


def _line(rng: random.Random, operation: Operation, values: Values) -> str:
    text = {
        "task": fill(_wording(rng, operation), values),
        "command": fill(operation.run, values),
        "because": operation.because,
    }
    return capitalised(fill(pick(rng, RUNBOOK_LINES), text))


def _steps(rng: random.Random, knowledge: Knowledge, count: int) -> tuple[Values, list[tuple[Operation, Values]]]:
    """One workload in one namespace, and operations on it: the same entities again and again teach copying."""
    fixed = draw_values(rng, knowledge, "", ("name", "ns"), "train")
    steps: list[tuple[Operation, Values]] = []
    while len(steps) < count:
        with_name = rng.random() < 0.8
        operation = pick(rng, knowledge.operations_with(("name", "ns")) if with_name else knowledge.operations)
        drawn = draw_values(rng, knowledge, operation.id, operation.slots, "train")
        values = {slot: fixed.get(slot, value) for slot, value in drawn.items()}
        if not values or not is_held_out(*combination(operation.id, values)):
            steps.append((operation, values))
    return fixed, steps


def _runbook(rng: random.Random, knowledge: Knowledge) -> str:
    fixed, steps = _steps(rng, knowledge, 3)
    lines = [_line(rng, operation, values) for operation, values in steps]
    return " ".join((f"Runbook for app/{fixed['name']} in {fixed['ns']}.", *lines))


def _session(rng: random.Random, knowledge: Knowledge) -> str:
    """What somebody typed, command after command, with little else."""
    fixed, steps = _steps(rng, knowledge, 5)
    commands = "\n".join(f"`{fill(operation.run, values)}`" for operation, values in steps)
    return f"Session on app/{fixed['name']} in {fixed['ns']}:\n{commands}"


def _two_places(rng: random.Random, knowledge: Knowledge) -> str:
    """One operation for several workloads or namespaces, as the second turn of a dialogue asks for it."""
    operation = pick(rng, knowledge.operations_with(("ns",)))
    task = _wording(rng, operation)
    lines = []
    for _ in range(3):
        values = draw_values(rng, knowledge, operation.id, operation.slots, "train")
        lines.append(f"To {fill(task, values)}: `{fill(operation.run, values)}`.")
    return "\n".join(lines)


def _note(rng: random.Random, fact: Misconception, ns: str) -> str:
    text = {
        "claim": fact.claim_held_out if rng.random() < 0.45 else pick(rng, fact.claims),
        "truth": fact.truth_held_out if rng.random() < 0.3 else pick(rng, (fact.truths[0], *fact.truths)),
        "advice": fact.advice,
        "ns": ns,
    }
    return fill(pick(rng, NOTE_LINES + TRUTH_LINES), text)


def _notes(rng: random.Random, knowledge: Knowledge) -> str:
    lines = []
    for _ in range(2):
        fact = pick(rng, knowledge.misconceptions)
        lines.append(_note(rng, fact, draw_values(rng, knowledge, fact.id, ("ns",), "train")["ns"]))
    return " ".join(lines)


def _manners(rng: random.Random, knowledge: Knowledge) -> str:
    topic = pick(rng, knowledge.topics)
    return f'When somebody says "{pick(rng, (*topic.say, *topic.say_held_out))}", answer: {topic.answer}'
