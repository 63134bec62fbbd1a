"""One preference set from people's votes and a judge's labels: where people voted, their votes are the label.

A pair carries `source` (human or ai), `p_chosen` (the share of the votes, or the judge's probability), the number of
votes, and in `meta` who judged; `meta.weight`, which training takes with `pair_weights: true`, where the two are to
weigh differently. Couples without either are left out and counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from boresight.errors import DataError
from boresight.feedback.human_votes import HumanLabel, HumanVotes
from boresight.feedback.judged_couples import JudgedCouple
from boresight.feedback.jury import Verdicts
from boresight.feedback.routing import Plan
from boresight.feedback.routing_audit import Estimate, estimate_errors
from boresight.records import Message, PreferencePair


@dataclass(frozen=True, slots=True)
class MergeSettings:
    """`clip`: no judge's label is surer than 1 - clip; `human_error`: assumed share of votes that are wrong, so that
    one vote is not taken for certain; weights of the two sources in training."""

    clip: float = 0.05
    human_error: float = 0.0
    human_weight: float = 1.0
    ai_weight: float = 1.0


@dataclass(frozen=True)
class Merged:
    """Pairs from a judge and from people, and how many came from whom."""

    pairs: Sequence[PreferencePair]
    report: Mapping[str, Any]


def merge_labels(
    verdicts: Verdicts, people: HumanVotes, plan: Plan | None = None, settings: MergeSettings = MergeSettings()
) -> Merged:
    """The merged set, and of it: counts, the share of human labels, and the estimated error of the judge's labels.

    Raises DataError where the plan is of other couples.
    """
    if plan is not None:
        _require_same_couples(verdicts, plan)
    pairs: list[PreferencePair] = []
    left_out: Counter[str] = Counter()
    for couple in verdicts.couples:
        human = people.of(couple)
        pair = _from_people(couple, human, settings) if human else _from_judge(couple, verdicts, settings)
        if isinstance(pair, str):
            left_out[pair] += 1
        else:
            pairs.append(pair)
    return Merged(pairs, _report(verdicts, people, plan, pairs, left_out))


def _from_people(couple: JudgedCouple, human: HumanLabel, settings: MergeSettings) -> PreferencePair | str:
    if human.p_a == 0.5:
        return "tie_by_people"
    share = human.p_a * (1 - settings.human_error) + (1 - human.p_a) * settings.human_error
    return _pair(couple, share, "human", {}, settings.human_weight, settings, votes=human.votes)


def _from_judge(couple: JudgedCouple, verdicts: Verdicts, settings: MergeSettings) -> PreferencePair | str:
    p, label = verdicts.p(couple), verdicts.label(couple)
    if p is None:
        return "no_verdict"
    if not label:
        return "tie_by_judge" if couple.agrees else "orders_disagree"
    held = min(max(p, settings.clip), 1 - settings.clip)
    return _pair(couple, held, "ai", verdicts.judge, settings.ai_weight, settings)


def _pair(
    couple: JudgedCouple,
    p_a: float,
    source: str,
    judge: Mapping[str, Any],
    weight: float,
    settings: MergeSettings,
    votes: int | None = None,
) -> PreferencePair:
    a_wins = p_a > 0.5
    chosen, rejected = (couple.a, couple.b) if a_wins else (couple.b, couple.a)
    models = (couple.model_a, couple.model_b) if a_wins else (couple.model_b, couple.model_a)
    meta: dict[str, Any] = {"couple": couple.id, **dict(judge)}
    meta |= dict(zip(("chosen_model", "rejected_model"), models, strict=True)) if all(models) else {}
    meta |= {"weight": weight} if settings.human_weight != settings.ai_weight else {}
    return PreferencePair(
        id=couple.id,
        prompt=couple.prompt,
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        p_chosen=max(p_a, 1 - p_a),
        kind=couple.kind,
        source=source,
        n_votes=votes,
        meta=meta,
    )


def _report(
    verdicts: Verdicts,
    people: HumanVotes,
    plan: Plan | None,
    pairs: Sequence[PreferencePair],
    left_out: Counter[str],
) -> dict[str, Any]:
    human = sum(pair.source == "human" for pair in pairs)
    asked = [one for one in verdicts.couples if people.of(one)]
    overruled = sum(_disagrees(one, verdicts, people) > 0.5 for one in asked if verdicts.label(one))
    return {
        "couples": len(verdicts.couples),
        "pairs": len(pairs),
        "human": human,
        "ai": len(pairs) - human,
        "human_share": human / len(pairs) if pairs else None,
        "people_asked": len(asked),
        "people_overruled_the_judge": overruled,
        "votes_on_other_couples": people.unmatched(verdicts.couples),
        "left_out": dict(sorted(left_out.items())),
        "by_kind": _by_kind(pairs),
        **_errors(verdicts, people, plan, len(pairs), len(pairs) - human),
    }


def _by_kind(pairs: Sequence[PreferencePair]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for pair in pairs:
        found.setdefault(pair.kind, {"human": 0, "ai": 0})[pair.source] += 1
    return dict(sorted(found.items()))


def _errors(verdicts: Verdicts, people: HumanVotes, plan: Plan | None, pairs: int, ai_pairs: int) -> dict[str, Any]:
    """Errors against people, as the audit of the plan shows them; all None where there is no plan or no audit."""
    keys = ("ai_label_error", "judge_error", "label_error")
    if plan is None:
        return dict.fromkeys(keys) | {"audit_unanswered": None}
    couples = {one.id: one for one in verdicts.couples}
    labelled = [(couples[one.id], one.reason) for one in plan.routed if verdicts.label(couples[one.id])]
    answered = [(couple, reason) for couple, reason in labelled if people.of(couple)]
    errors = {
        by_chance: [_disagrees(c, verdicts, people) for c, reason in answered if (reason == "audit") == by_chance]
        for by_chance in (True, False)
    }
    found = estimate_errors(errors[True], plan.audited_from, errors[False])
    left = found.left_to_judge
    part = ai_pairs / pairs if pairs else 0.0
    mixed = None if left is None else left._replace(value=left.value * part, low=left.low * part, high=left.high * part)
    unanswered = sum(reason == "audit" for _, reason in labelled) - len(errors[True])
    estimates = dict(zip(keys, map(_as_json, (left, found.judge, mixed)), strict=True))
    return estimates | {"audit_unanswered": unanswered}


def _disagrees(couple: JudgedCouple, verdicts: Verdicts, people: HumanVotes) -> float:
    """The share of people who disagree with the judge's label, ties as halves."""
    human = people.of(couple)
    assert human is not None
    return 1.0 - human.p_a if verdicts.label(couple) == 1 else human.p_a


def _as_json(estimate: Estimate | None) -> dict[str, Any] | None:
    if estimate is None:
        return None
    return {
        "value": estimate.value,
        "ci95": [estimate.low, estimate.high],
        "audited": estimate.n,
        "of": estimate.population,
    }


def _require_same_couples(verdicts: Verdicts, plan: Plan) -> None:
    known = {one.id for one in verdicts.couples}
    foreign = [one.id for one in plan.routed if one.id not in known]
    if foreign or plan.couples != len(known):
        raise DataError(
            f"the plan is of {plan.couples:,} couples, here are {len(known):,}"
            + (f", without {foreign[0]!r}" if foreign else "")
            + "; its audit says nothing about these. Give the judged couples that `judge route` was given."
        )
