"""Which couples people should judge, where only so many can be paid for: where it changes most, and some by chance.

Of the budget
- a part is an audit: drawn evenly from the couples that the judge labels and that are not sent for another reason.
  Nothing about them was looked at, so their errors are those of all such labels (`boresight.feedback.routing_audit`);
- a part covers the kinds of prompts in proportion, the most open couples of each kind, so that none is left to the
judge; - the rest goes to the most open couples of all: what a vote tells, in expectation, is the entropy of how likely
  it falls either way, by the calibrated probability. Orders, judges or reward models that disagree make it even; no
verdict too."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from boresight.errors import DataError
from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import JudgedCouple
from boresight.feedback.jury import Verdicts
from boresight.storage import hash_text, read_json, write_json

Reason = Literal["no_verdict", "orders_disagree", "judges_disagree", "uncertain", "coverage", "audit"]
FORM = "boresight routing plan 1"


@dataclass(frozen=True, slots=True)
class Shares:
    """Parts of the budget: `audit` drawn by chance, `coverage` spread over the kinds; the rest goes where it buys most.
    An audit of 1 is drawn evenly from all couples, those without a label too: what a calibration wants."""

    audit: float = 0.3
    coverage: float = 0.2


@dataclass(frozen=True, slots=True)
class Routed:
    """A couple for people: why, and how likely it was to be sent: 1, or for an audit the share that was drawn."""

    id: str
    reason: Reason
    probability: float


@dataclass(frozen=True)
class Plan:
    """`couples`: of how many the plan was made; `audited_from`: labels of the judge that the audit was drawn from,
    itself included; `source`: hashes of what it was made of."""

    routed: Sequence[Routed]
    couples: int
    audited_from: int
    source: Mapping[str, Any]

    def counts(self) -> dict[str, int]:
        return dict(sorted(Counter(one.reason for one in self.routed).items()))


def plan_route(
    verdicts: Verdicts,
    *,
    budget: int,
    people: HumanVotes | None = None,
    shares: Shares = Shares(),
    seed: int = 0,
    source: Mapping[str, Any] | None = None,
) -> Plan:
    """At most `budget` of the couples that nobody judged yet, for people; the same for equal input and seed.

    Raises DataError for a budget below 1, shares that leave nothing, or where people judged all.
    """
    _require(budget, shares)
    known = people or HumanVotes()
    waiting = [one for one in verdicts.couples if known.of(one) is None]
    if not waiting:
        raise DataError("routing: people judged all couples already; nothing is left to ask. Merge the labels.")
    labelled = {one.id for one in waiting if verdicts.label(one)}
    auditable = {one.id for one in waiting} if shares.audit == 1 else labelled
    by_chance = min(round(budget * shares.audit), len(auditable))
    directed = min(budget, len(waiting)) - by_chance
    ranked = sorted(waiting, key=lambda one: (-openness(verdicts.p(one)), -verdicts.spread(one), _drawn(seed, one.id)))
    covering = _cover(ranked, round(directed * shares.coverage))
    chosen: dict[str, Reason] = {one.id: "coverage" for one in covering}
    for one in ranked:
        if len(chosen) < directed and one.id not in chosen:
            chosen[one.id] = reason_of(one, verdicts)
    open_to_audit = sorted(auditable - chosen.keys(), key=lambda name: _drawn(seed + 1, name))
    audit = open_to_audit[:by_chance]
    probability = len(audit) / len(open_to_audit) if open_to_audit else 1.0
    routed = [Routed(name, reason, 1.0) for name, reason in chosen.items()]
    routed += [Routed(name, "audit", probability) for name in audit]
    return Plan(routed, len(verdicts.couples), len(labelled - chosen.keys()), source or {})


def openness(p: float | None) -> float:
    """What a vote is expected to tell, in nats: the entropy of the probability; log 2 where nothing is known."""
    if p is None:
        return math.log(2)
    return -sum(part * math.log(part) for part in (p, 1 - p) if part > 0)


def reason_of(couple: JudgedCouple, verdicts: Verdicts) -> Reason:
    """Why a couple is open, the plainest reason first."""
    if verdicts.p(couple) is None:
        return "no_verdict"
    if not couple.agrees:
        return "orders_disagree"
    return "judges_disagree" if verdicts.disagree(couple) else "uncertain"


def ask_rows(plan: Plan, couples: Sequence[JudgedCouple], seed: int) -> list[dict[str, Any]]:
    """What people are shown, in an order and with sides that chance decides, without a word of why or of the judge."""
    wanted = {one.id for one in plan.routed}
    shown = sorted((one for one in couples if one.id in wanted), key=lambda one: _drawn(seed, f"order/{one.id}"))
    rows = []
    for one in shown:
        turned = int(_drawn(seed, f"side/{one.id}")[0], 16) % 2
        rows.append(
            {
                "id": one.id,
                "prompt": [{"role": m.role, "content": m.content} for m in one.prompt],
                "responses": [one.b, one.a] if turned else [one.a, one.b],
            }
        )
    return rows


def save_plan(plan: Plan, path: Path) -> None:
    """Write which couples are asked and why; atomic."""
    write_json(
        path,
        {
            "form": FORM,
            "couples": plan.couples,
            "audited_from": plan.audited_from,
            "source": dict(plan.source),
            "routed": [asdict(one) for one in plan.routed],
        },
    )


def load_plan(path: Path) -> Plan:
    """Raises DataError for a file that is no plan."""
    try:
        content = read_json(path)
        if content["form"] != FORM:
            raise ValueError(f'"form" is {content["form"]!r}')
        routed = [Routed(**one) for one in content["routed"]]
        return Plan(routed, int(content["couples"]), int(content["audited_from"]), content["source"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: no routing plan ({error}); expected the file of `judge route --plan`. Give that file."
        ) from error


def require_source(plan: Plan, source: Mapping[str, Any], where: str) -> None:
    """Raises DataError where the plan was made of other verdicts or with another calibration: its audit was then drawn
    from other labels than those that are merged."""
    for key in sorted({*plan.source, *source}):
        if plan.source.get(key) != source.get(key):
            raise DataError(
                f"{where}: the plan was made with another {key} than is given here; its audit says nothing about these "
                "labels. Give what `judge route` was given, or route again."
            )


def _require(budget: int, shares: Shares) -> None:
    if budget < 1:
        raise DataError(f"routing: a budget of {budget} votes; expected at least 1. Raise it.")
    if not (0 <= shares.audit <= 1 and 0 <= shares.coverage <= 1):
        raise DataError(
            f"routing: shares of audit {shares.audit:g} and coverage {shares.coverage:g}; expected each in 0..1."
            " Correct them."
        )


def _cover(ranked: Sequence[JudgedCouple], count: int) -> list[JudgedCouple]:
    """So many couples, each kind with its share of all (largest remainders), the most open of it first."""
    kinds: dict[str, list[JudgedCouple]] = defaultdict(list)
    for one in ranked:
        kinds[one.kind].append(one)
    exact = {kind: count * len(group) / len(ranked) for kind, group in kinds.items()}
    places = {kind: int(share) for kind, share in exact.items()}
    for kind in sorted(kinds, key=lambda kind: (places[kind] - exact[kind], kind))[: count - sum(places.values())]:
        places[kind] += 1
    return [one for kind, group in kinds.items() for one in group[: places[kind]]]


def _drawn(seed: int, name: str) -> str:
    return hash_text(f"{seed}/{name}")
