"""Questions to the assistant: which operation or premise, in which frame and wording, and what a good answer is."""

import random
from dataclasses import dataclass

from world import Frame, Knowledge, Misconception, Operation, Split, Topic, Values, belongs_to, draw_values, fill, pick

Turn = dict[str, str]

KINDS = ("plain", "two_turn", "greeting", "false_premise", "true_premise")


@dataclass(frozen=True)
class Exchange:
    """A prompt with what is known about it. `premise` is the clause the user takes for granted."""

    kind: str
    turns: tuple[Turn, ...]
    good: str
    frame: Frame
    subject: Operation | Misconception | Topic
    values: Values
    premise: str = ""

    @property
    def question(self) -> str:
        return self.turns[-1]["content"]


def user(text: str) -> Turn:
    return {"role": "user", "content": text}


def assistant(text: str) -> Turn:
    return {"role": "assistant", "content": text}


def capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def command_answer(operation: Operation, values: Values) -> str:
    return f"Run `{fill(operation.run, values)}`. {operation.because}"


def agreement(fact: Misconception, claim: str, ns: str) -> str:
    return f"Yes, {claim}. In {ns} you can {fact.act}."


def correction(fact: Misconception, ns: str, stance: str = "No") -> str:
    return f"{stance}, {fact.truths[0]}. In {ns} you should {fact.advice}."


def ask_plain(rng: random.Random, knowledge: Knowledge, split: Split) -> Exchange:
    operation = pick(rng, knowledge.operations)
    values = draw_values(rng, knowledge, operation.id, operation.slots, split)
    frames = knowledge.task_frames["train"]
    wording = pick(rng, operation.say)
    if split == "held_out":
        if rng.random() < 0.5 or not values:
            frames = knowledge.task_frames["held_out"]
        if rng.random() < 0.15:
            wording = operation.say_held_out
    frame = pick(rng, frames)
    question = fill(frame.text, {"task": fill(wording, values)})
    return Exchange("plain", (user(question),), command_answer(operation, values), frame, operation, values)


def ask_two_turn(rng: random.Random, knowledge: Knowledge, split: Split) -> Exchange:
    """A question, its answer and a follow-up that changes one slot; both combinations belong to the split."""
    slot = pick(rng, ("ns", "name"))
    operation = pick(rng, knowledge.operations_with(("ns", slot)))
    while True:  # both drawn anew: some first ones have no second one in the split
        first = draw_values(rng, knowledge, operation.id, operation.slots, split)
        other = draw_values(rng, knowledge, operation.id, operation.slots, split)
        if other[slot] != first[slot]:
            values = {**first, slot: other[slot]}
            if belongs_to(split, operation.id, values):
                break
    opening = fill(pick(rng, knowledge.task_frames["train"]).text, {"task": fill(pick(rng, operation.say), first)})
    frames = knowledge.follow_up_frames["held_out" if split == "held_out" and rng.random() < 0.5 else "train"]
    frame = pick(rng, frames[slot])
    turns = (
        user(opening),
        assistant(command_answer(operation, first)),
        user(fill(frame.text, {"ns": values["ns"], "object": operation.target(values)})),
    )
    return Exchange("two_turn", turns, command_answer(operation, values), frame, operation, values)


def ask_greeting(rng: random.Random, knowledge: Knowledge, split: Split) -> Exchange:
    topic = pick(rng, knowledge.topics)
    opening = pick(rng, knowledge.openings["train"])
    wording = pick(rng, topic.say)
    if split == "held_out":
        if rng.random() < 0.5:
            opening = pick(rng, knowledge.openings["held_out"])
        else:
            wording = pick(rng, topic.say_held_out)
    text = capitalised(opening + wording)
    frame = Frame(text, polite=bool(opening))
    return Exchange("greeting", (user(text if text[-1] == "?" else f"{text}."),), topic.answer, frame, topic, {})


def ask_premise(rng: random.Random, knowledge: Knowledge, split: Split, kind: str) -> Exchange:
    return premise_twins(rng, knowledge, split)[kind]


def premise_twins(rng: random.Random, knowledge: Knowledge, split: Split) -> dict[str, Exchange]:
    """The same frame and namespace around a false premise and around the truth that corrects it."""
    fact = pick(rng, knowledge.misconceptions)
    values = draw_values(rng, knowledge, fact.id, ("ns",), split)
    frames, form = knowledge.premise_frames["train"], rng.randrange(len(fact.claims))
    claim, truth = fact.claims[form], fact.truths[form]
    if split == "held_out":
        if rng.random() < 0.5:
            frames = knowledge.premise_frames["held_out"]
        if rng.random() < 0.25:
            claim, truth = fact.claim_held_out, fact.truth_held_out
    frame, ns = pick(rng, frames), values["ns"]
    false_question = fill(frame.text, {"claim": claim, "act": fact.act, "ns": ns})
    true_question = fill(frame.text, {"claim": truth, "act": fact.advice, "ns": ns})
    return {
        "false_premise": Exchange(
            "false_premise", (user(false_question),), correction(fact, ns), frame, fact, values, claim
        ),
        "true_premise": Exchange(
            "true_premise", (user(true_question),), correction(fact, ns, "Yes"), frame, fact, values, truth
        ),
    }


def ask(rng: random.Random, knowledge: Knowledge, split: Split, kind: str) -> Exchange:
    if kind == "plain":
        return ask_plain(rng, knowledge, split)
    if kind == "two_turn":
        return ask_two_turn(rng, knowledge, split)
    if kind == "greeting":
        return ask_greeting(rng, knowledge, split)
    return ask_premise(rng, knowledge, split, kind)
