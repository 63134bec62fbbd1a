"""A jury: by hand where it can be counted, better than its members where they err apart."""

from dataclasses import replace
from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.feedback.calibration_figures import agreement_figures
from boresight.feedback.human_votes import HumanVotes
from boresight.feedback.judged_couples import JudgedCouple, JudgedFile
from boresight.feedback.jury import Method, Verdicts, seat_jury

from .planted_couples import Planted, labelled, people_on, planted_couples


def file_of(name: str, couples: list[JudgedCouple]) -> JudgedFile:
    return JudgedFile(Path(f"{name}.jsonl"), {"judge": name}, couples)


def three(verdicts: tuple[tuple[float | None, float | None], ...], failure: str = "") -> list[JudgedFile]:
    """Three judges of one couple; None is a failure."""
    (couple, _), *_ = planted_couples(1, Planted())
    return [
        file_of(str(i), [replace(couple, given=g, swapped=s, failure="refused" if None in (g, s) else "")])
        for i, (g, s) in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    ("method", "verdicts", "p"),
    [
        ("mean", ((1.0, 0.8), (0.0, 0.2), (1.0, 1.0)), (0.9 + 0.1 + 1.0) / 3),
        ("mean", ((1.0, 0.8), (None, 0.2), (0.5, 0.5)), 0.7),
        ("majority", ((0.9, 0.6), (1.0, 1.0), (0.0, 0.0)), 2 / 3),
        ("majority", ((1.0, 0.0), (0.0, 0.0), (0.0, 0.1)), 0.0),  # the orders of the first disagree: it abstains
        ("majority", ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5)), 0.5),
        ("mean", ((None, 0.8), (None, 0.2), (None, None)), None),
        ("majority", ((None, 0.8), (None, 0.2), (None, None)), None),
        ("dawid_skene", ((None, 0.8), (None, 0.2), (None, None)), None),
    ],
)
def test_word_of_the_jury_by_hand(
    method: Method, verdicts: tuple[tuple[float | None, float | None], ...], p: float | None
) -> None:
    (couple,) = seat_jury(three(verdicts), method).couples
    assert couple.p_a == (None if p is None else pytest.approx(p))
    assert bool(couple.failure) == (p is None)


def test_jury_errs_less_than_its_members_and_reliable_judges_weigh_more() -> None:
    """Judges right in 0.9, 0.65 and 0.65 of each order: two weak ones can outvote the strong one, but not if
    weighed."""
    truth = planted_couples(1500, Planted())
    members = []
    for number, noise in enumerate((0.1, 0.35, 0.35)):
        own = planted_couples(1500, Planted(noise=noise), seed=0)
        other = planted_couples(1500, Planted(noise=noise), seed=number + 10)
        # The couples are those of `truth`, the errors of each judge its own.
        wrong = [(better == 1) != bool(c.given) for c, better in other]
        turned = [(better == 1) != bool(c.swapped) for c, better in other]
        couples = [
            replace(c, given=abs(float(better == 1) - w), swapped=abs(float(better == 1) - t))
            for (c, better), w, t in zip(truth, wrong, turned, strict=True)
        ]
        assert len(own) == len(couples)
        members.append(file_of(f"judge {number}", couples))
    people = HumanVotes(people_on(truth))

    def accuracy(couples: object) -> float:
        rows = [(couple, people.of(couple)) for couple in couples]  # type: ignore[attr-defined]
        return float(agreement_figures(rows)["accuracy"])  # type: ignore[arg-type]

    alone = [accuracy(file.couples) for file in members]
    found = {m: accuracy(seat_jury(members, m).couples) for m in ("mean", "majority", "dawid_skene")}  # type: ignore[arg-type]
    assert found["dawid_skene"] > max(alone) + 0.02 and found["dawid_skene"] > found["majority"]
    jury = seat_jury(members, "dawid_skene")
    assert jury.judge == {"jury": "dawid_skene", "members": [{"judge": f"judge {i}"} for i in range(3)]}


def test_naming_of_responses_decides_nothing() -> None:
    couples = [couple for couple, _ in planted_couples(200, Planted(noise=0.3))]
    others = [replace(c, given=c.swapped, swapped=c.given) for c in couples[1:] + couples[:1]]
    others = [replace(o, a=c.a, b=c.b, id=c.id, prompt=c.prompt) for o, c in zip(others, couples, strict=True)]
    thirds = [replace(c, given=o.given) for c, o in zip(couples, others, strict=True)]
    files = [file_of("one", couples), file_of("two", others), file_of("three", thirds)]

    def turned(c: JudgedCouple) -> JudgedCouple:
        return replace(c, a=c.b, b=c.a, given=1 - c.swapped, swapped=1 - c.given)  # type: ignore[operator]

    for method in ("mean", "majority", "dawid_skene"):
        plain = seat_jury(files, method).couples  # type: ignore[arg-type]
        mixed = seat_jury([files[0], file_of("two", [turned(c) for c in others]), files[2]], method).couples  # type: ignore[arg-type]
        assert [c.p_a for c in mixed] == pytest.approx([c.p_a for c in plain])
        other_way = seat_jury(
            [file_of(f.judge["judge"], [turned(c) for c in f.couples]) for f in files], method
        ).couples  # type: ignore[arg-type]
        assert [c.p_a for c in other_way] == pytest.approx([1 - c.p_a for c in plain], abs=1e-5)  # type: ignore[operator]


def test_jury_of_one_is_that_judge_and_spread_is_between_judges() -> None:
    couples = [couple for couple, _ in planted_couples(4, Planted())]
    alone = seat_jury([file_of("one", couples)])
    assert alone.couples is couples and alone.judge == {"judge": "one"}
    against = [replace(c, given=1 - c.given, swapped=1 - c.swapped) for c in couples]  # type: ignore[operator]
    verdicts = Verdicts(seat_jury([file_of("one", couples), file_of("two", against)]))
    one = verdicts.couples[0]
    assert (verdicts.p(one), verdicts.label(one), verdicts.spread(one), verdicts.disagree(one)) == (0.5, 0, 0.5, True)


def test_other_couples_or_a_judge_twice_are_refused() -> None:
    couples = [couple for couple, _ in planted_couples(4, Planted())]
    with pytest.raises(DataError, match="different judges"):
        seat_jury([file_of("one", couples), file_of("one", couples)])
    with pytest.raises(DataError, match=r"two\.jsonl: 3 couples, of which 3 are among the 4"):
        seat_jury([file_of("one", couples), file_of("two", couples[:3])])


def test_jury_against_people_is_told_as_a_judge_is() -> None:
    rows = labelled(planted_couples(50, Planted(noise=0.2)))
    assert agreement_figures(rows)["n"] == 50
