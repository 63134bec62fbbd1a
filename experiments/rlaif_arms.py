"""One set of couples labelled in four ways: by people, by a judge beside people, by a judge in both orders, and
naively.

Who stands for people is the example's rule judge with `human_noise`: exact rules, of whose verdicts a share is turned
round. The judge is planted (experiments/rlaif_judge.py). What labels, calibrates, routes and merges is boresight.
"""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from experiments.rlaif_judge import Faults, PlantedJudge

from boresight.feedback.ai_labels import Compared, Couple, choose_couples, comparisons_of, label_responses
from boresight.feedback.calibration import calibrate
from boresight.feedback.human_votes import HumanVotes, matched
from boresight.feedback.judged_couples import JudgedCouple, JudgedFile, couple_of
from boresight.feedback.jury import Verdicts, seat_jury
from boresight.feedback.merge import merge_labels
from boresight.feedback.routing import plan_route
from boresight.feedback.rule_judge import RuleJudge, score
from boresight.records import Message, PreferencePair, Response

CLIP = 0.05
TIE_MARGIN = 0.05
HUMAN_NOISE = 0.03
"""As the example's own pipeline imitates people who err."""
COUPLES_PER_PROMPT = 4
CALIBRATION_PART = 0.4
"""Of the votes of the hybrid: drawn evenly beforehand, to calibrate the judge; the others are routed."""


class Arm(NamedTuple):
    """What trains a reward model, and what it took."""

    pairs: Sequence[PreferencePair]
    votes: int
    calls: int
    report: dict[str, Any]


def arms(responses: Sequence[Response], prompts: int, faults: Faults, human_share: float, seed: int) -> dict[str, Arm]:
    """All four, on the same couples of so many prompts; `human_share` of them are labelled by people in the hybrid."""
    draw = random.Random(seed)
    chosen = set(draw.sample(sorted({r.prompt.id for r in responses}), prompts))
    own = [response for response in responses if response.prompt.id in chosen]
    couples = choose_couples(own, COUPLES_PER_PROMPT, seed=seed)
    people = votes_of_people(couples, seed)
    judge = PlantedJudge(faults, seed)
    labels = label_responses(
        own, judge, pairs_per_prompt=COUPLES_PER_PROMPT, couples=couples, clip=CLIP, meta={"judge": "planted"}
    )
    compared = labels.compared
    calls = len(comparisons_of(couples))
    right = [pair for pair in people if pair.p_chosen != 0.5]
    return {
        "all human": Arm(right, len(couples), 0, {}),
        "hybrid": _hybrid(compared, people, calls, int(human_share * len(couples)), seed),
        "AI, both orders": Arm(labels.pairs, 0, calls, {"flips": labels.verdict_flips}),
        "AI, one order, hard": Arm([_one_order(one) for one in compared], 0, len(couples), {}),
    }


def votes_of_people(couples: Sequence[Couple], seed: int) -> list[PreferencePair]:
    """One vote on each couple; a tie is a pair of 0.5."""
    rules = RuleJudge(tie_margin=TIE_MARGIN, noise=HUMAN_NOISE, seed=seed)
    verdicts = rules.compare(comparisons_of(couples)[::2])
    return [_pair(a, b, verdict.value, "human") for (a, b), verdict in zip(couples, verdicts, strict=True)]


def gold_pairs(responses: Sequence[Response], seed: int) -> list[PreferencePair]:
    """Couples of held-out prompts by the exact rules, without those that the rules do not part."""
    couples = choose_couples(responses, COUPLES_PER_PROMPT, seed=seed)
    verdicts = RuleJudge(tie_margin=TIE_MARGIN).compare(comparisons_of(couples)[::2])
    pairs = [_pair(a, b, verdict.value, "imported") for (a, b), verdict in zip(couples, verdicts, strict=True)]
    return [pair for pair in pairs if pair.p_chosen != 0.5]


def gold(response: Response) -> float:
    return score(response.prompt, response.text, response.stopped)


def _hybrid(compared: Sequence[Compared], people: Sequence[PreferencePair], calls: int, votes: int, seed: int) -> Arm:
    """A random part of the votes calibrates the judge, the others go where routing sends them, and all are merged."""
    couples = [couple_of(one) for one in compared]
    everybody = HumanVotes(people)
    first = random.Random(seed).sample(couples, round(CALIBRATION_PART * votes))
    known = _asked(first, people)
    file = JudgedFile("planted", {"judge": "planted"}, couples, "")  # type: ignore[arg-type]  # named in no message
    labelled = matched(first, known, {"people": "people", "judged": "planted"})
    calibration, _, _ = calibrate(labelled, file.judge, {}, seed=seed)
    verdicts = Verdicts(seat_jury([file]), calibration)
    plan = plan_route(verdicts, budget=votes - len(first), people=known, seed=seed)
    routed = {one.id for one in plan.routed}
    answers = _asked([couple for couple in couples if couple.id in routed or couple in first], people)
    merged = merge_labels(verdicts, answers, plan)
    true_errors = [everybody.of(one) for one in couples if verdicts.label(one)]
    labels = [verdicts.label(one) for one in couples if verdicts.label(one)]
    wrong = [
        (1 - human.p_a if label == 1 else human.p_a)
        for human, label in zip(true_errors, labels, strict=True)
        if human is not None
    ]
    report = {
        "human_share": merged.report["human_share"],
        "map": calibration.map.name,
        "routed": plan.counts(),
        "judge_error": merged.report["judge_error"],
        "judge_error_of_all": sum(wrong) / len(wrong),
        "left_out": merged.report["left_out"],
    }
    return Arm(merged.pairs, votes, calls, report)


def _asked(couples: Sequence[JudgedCouple], people: Sequence[PreferencePair]) -> HumanVotes:
    ids = {couple.id for couple in couples}
    return HumanVotes([pair for pair in people if pair.id in ids])


def _one_order(one: Compared) -> PreferencePair:
    return _pair(one.a, one.b, float(one.given.value > 0.5), "ai")


def _pair(a: Response, b: Response, value: float, source: str) -> PreferencePair:
    chosen, rejected = (a, b) if value >= 0.5 else (b, a)
    return PreferencePair(
        id=f"{a.id}|{b.id}",
        prompt=a.prompt.messages,
        chosen=(Message("assistant", chosen.text),),
        rejected=(Message("assistant", rejected.text),),
        p_chosen=max(value, 1 - value),
        kind=a.prompt.kind,
        source=source,
    )
