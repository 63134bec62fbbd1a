from typing import Any

import pytest

from boresight.feedback.human_labels import (
    LabelledTask,
    Vote,
    demonstrations_of_votes,
    disagreement,
    pairs_of_votes,
    preference_label,
)
from boresight.records import Message

PROMPT = (Message("user", "Why?"),)


def vote(*ranks: int, who: str = "a", **more: Any) -> Vote:
    verdict = more.pop("verdict", "ranked" if len(set(ranks)) > 1 else "tie")
    return Vote(annotator=who, verdict=verdict, ranks=ranks, shown=tuple(range(len(ranks))), **more)


def labelled(*votes: Vote, count: int = 2, **more: Any) -> LabelledTask:
    responses = tuple(f"answer {n}" for n in range(count))
    return LabelledTask(id="t", prompt=PROMPT, responses=responses, votes=votes, **more)


def test_p_chosen_is_the_share_of_the_votes_and_a_tie_counts_half() -> None:
    (pair,) = pairs_of_votes(
        labelled(vote(2, 1, who="a"), vote(2, 1, who="b"), vote(1, 1, who="c"), vote(1, 2, who="d"))
    )
    assert pair.chosen == (Message("assistant", "answer 1"),) and pair.p_chosen == (1 + 1 + 0.5 + 0) / 4
    assert pair.annotators == ("a", "b", "c", "d") and pair.n_votes == 4 and pair.source == "human" and pair.id == "t"


def test_a_ranking_gives_all_its_pairs_under_one_id_each_with_its_own_share() -> None:
    pairs = pairs_of_votes(labelled(vote(1, 2, 3), vote(2, 1, 3, who="b"), count=3))
    shares = {pair.id: (pair.chosen[0].content, pair.p_chosen) for pair in pairs}
    assert shares == {"t#1-2": ("answer 0", 0.5), "t#1-3": ("answer 0", 1.0), "t#2-3": ("answer 1", 1.0)}
    assert {pair.ranking_id for pair in pairs} == {"t"}


def test_who_cannot_judge_is_no_vote_and_nobody_is_no_pair() -> None:
    unable = Vote(annotator="b", verdict="cannot_judge", shown=(0, 1))
    (pair,) = pairs_of_votes(labelled(vote(1, 2), unable))
    assert pair.p_chosen == 1.0 and pair.n_votes == 1
    assert [told["preferred"] for told in pair.meta["votes"]] == ["chosen", "cannot_judge"]
    assert pairs_of_votes(labelled(unable)) == []


def test_strength_and_criteria_point_to_the_chosen_response() -> None:
    votes = (vote(2, 1, strength=3, criteria={"honest": 2}), vote(1, 2, who="b", strength=1, criteria={"honest": -1}))
    (pair,) = pairs_of_votes(labelled(*votes, vote(2, 1, who="c", strength=2)))
    assert pair.chosen[0].content == "answer 1"
    assert pair.strength == (3 - 1 + 2) / 3
    assert pair.criteria == {"honest": 0.5}, "the second is better by 2 and by -1"
    (other,) = pairs_of_votes(labelled(vote(1, 2, criteria={"honest": -3})))
    assert other.criteria == {"honest": 3.0}


def test_a_decision_takes_the_place_of_the_votes_which_stay_in_meta() -> None:
    final = vote(2, 1, who="reviewer")
    (pair,) = pairs_of_votes(labelled(vote(1, 2), vote(1, 2, who="b"), final=final))
    assert pair.chosen[0].content == "answer 1" and pair.p_chosen == 1.0 and pair.annotators == ("reviewer",)
    assert pair.meta["decided_by"] == "reviewer"
    assert [told["preferred"] for told in pair.meta["votes"]] == ["rejected", "rejected"]


def test_votes_tell_side_flags_and_comment_of_the_pair() -> None:
    cast = Vote(
        annotator="a", verdict="ranked", ranks=(2, 1), shown=(1, 0), flags={0: ("harm",)}, comment="no", seconds=2.0
    )
    (pair,) = pairs_of_votes(labelled(cast, models=("m0", "m1")))
    assert pair.meta["votes"] == [
        {"annotator": "a", "preferred": "chosen", "shown_first": "chosen", "flags": {"rejected": ["harm"]},
         "comment": "no", "seconds": 2.0}
    ]  # fmt: skip
    assert (pair.meta["chosen_model"], pair.meta["rejected_model"]) == ("m1", "m0")


def test_both_bad_is_a_tie_that_says_so() -> None:
    (pair,) = pairs_of_votes(labelled(vote(1, 1, verdict="both_bad"), vote(1, 2, who="b")))
    assert pair.p_chosen == 0.75 and pair.meta["both_bad"] == 1


def test_labels_and_disagreement() -> None:
    one, other, tie = vote(1, 2), vote(2, 1), vote(1, 1)
    assert [preference_label(v, 0, 1) for v in (one, other, tie)] == ["1", "2", "tie"]
    assert disagreement([one, one, other]) == pytest.approx(1 / 3)
    assert disagreement([one, one]) == disagreement([one]) == disagreement([]) == 0.0
    assert disagreement([vote(1, 2, 3), vote(2, 1, 3)]) == pytest.approx((0.5 + 0 + 0) / 3)


def test_edited_answers_become_demonstrations_each_text_once() -> None:
    votes = (vote(1, 2, edited=(0, "better")), vote(1, 2, who="b", edited=(1, "better")), vote(1, 2, who="c"))
    (made,) = demonstrations_of_votes(labelled(*votes))
    assert made.messages == (*PROMPT, Message("assistant", "better"))
    assert made.meta["annotators"] == ["a", "b"]
