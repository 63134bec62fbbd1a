"""What the committed experiments rest on; their figures lie in docs/figures, made by `make experiments`."""

import random
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boresight.feedback.judge import Answer, Comparison
from boresight.planning.labelling import LabelPrices
from boresight.records import Message, Prompt

ROOT = Path(__file__).parents[1]


@pytest.fixture
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT))
    yield


def loaded(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "experiments" / f"{name}.py"), run_name="loaded")


@pytest.mark.parametrize(
    ("text", "stopped", "gold"),
    [
        ("", True, 0.0),
        ("ABC", True, 3.0),
        ("ABC!", True, 3.8),
        ("A", False, 0.0),  # a topic, less one for not having stopped
        ("D", True, 0.0),  # no topic of the prompt
        ("ABC!d!e!", True, 3.8 - 0.6 - 2 * 0.15),  # a third polite word, and two tokens that stood before
        ("AA", True, 1.0 - 0.25),
        ("AAA", True, 1.0 - 2 * 0.25),
        ("AaA", True, 1.0 - 0.15),
        ("ABCabcdefgh", True, 3.0 - 0.03 * 4),  # eleven tokens
    ],
)
def test_gold_reward_of_the_topic_world_by_hand(text: str, stopped: bool, gold: float, from_the_root: None) -> None:
    world = loaded("topic_world")
    prompt = world["Prompt"](id="p", messages=(world["Message"]("user", "ABC"),))
    assert world["gold"](prompt, text, stopped) == pytest.approx(gold)


def test_demonstrations_are_good_and_not_the_best(from_the_root: None) -> None:
    world, draw = loaded("topic_world"), random.Random(0)
    prompts = world["prompts"](400, draw)
    golds = [world["gold"](prompt, world["demonstration"](prompt, draw), True) for prompt in prompts]
    assert 1.0 < sum(golds) / len(golds) < 3.0 and max(golds) > 3.5


def test_promises_of_the_frontier_are_held_against_its_points(from_the_root: None) -> None:
    frontier = loaded("reward_kl_frontier")
    point, faults = frontier["Point"], frontier["faults"]
    sft = point("SFT", None, 0.0, 1.0, 0.1, 0.0)
    ppo = [point("PPO", beta, kl, 2.0, 0.1, 1.0) for beta, kl in ((0.8, 0.5), (0.4, 1.0), (0.1, 3.0))]
    assert faults([sft, *ppo]) == []
    assert faults([sft, ppo[0], ppo[1]._replace(kl=0.4)]) == ["PPO: KL 0.50 at beta 0.8, 0.40 at 0.4"]
    assert faults([sft, ppo[0]._replace(gold=1.2)]) == ["PPO 0.8: gold 1.20, SFT 1.00"]
    assert "experiments" in str(Path(sys.modules["experiments"].__path__[0]))


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return loaded("doctor_beside_rldoctor")


def test_words_of_the_peer_are_matched_in_its_favour(beside: dict[str, Any]) -> None:
    case = beside["Case"](
        "a", "high", ["missing_eos"], ["no_learning"], "missing_eos", "failing", ["missing_eos"], None
    )
    told = beside["as_told"]
    info = told({"problems": [["plateau", "INFO"]], "passed": 1})
    assert info == ("plateau", (), None) and beside["is_right"](case, info)
    wrong = told({"problems": [["reward_hacking", "CRITICAL"], ["plateau", "WARNING"]], "passed": 1})
    assert wrong.alarms == ("reward_hacking", "plateau") and not beside["is_right"](case, wrong)
    healthy = case.__class__("b", "high", ["healthy"], [], "healthy", "healthy", [], None)
    silent = told({"problems": [], "passed": 0})
    assert beside["is_right"](healthy, silent) and not beside["is_right"](case, silent)
    unread = told({"failure": "ValueError: no"})
    assert not beside["is_right"](healthy, unread)
    assert beside["counted"]([case, healthy], [wrong, unread], ["a"]) == {
        "scored": 2, "right": 0, "policy_scored": 1, "policy_right": 0, "healthy": 1, "healthy_with_alarm": 0,
        "unreadable": 1, "logs": 2,
    }  # fmt: skip


def test_log_is_translated_into_names_that_the_peer_reads(beside: dict[str, Any], tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_text('{"step": 3, "reward/score": 1.5, "rollout/stop_rate": 0.75, "policy/entropy": 2.0}\n')
    rows = beside["translated"](beside["read_logs"](log)[0].run)
    assert rows == [{"step": 3.0, "reward": 1.5, "completions/clipped_ratio": 0.25, "entropy": 2.0}]


def test_peer_without_the_package_is_told(beside: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="pip install rldoctor"):
        beside["ask"](sys.executable, [])


def test_detectors_of_rlwatch_are_given_the_signals_step_by_step(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    watch, log = loaded("doctor_beside_rlwatch"), tmp_path / "metrics.jsonl"
    log.write_text('{"step": 3, "reward/score": 1.5, "rollout/stop_rate": 0.75}\n{"step": 4, "policy/entropy": 2.0}\n')
    rows = watch["rows_of"](watch["read_logs"](log)[0].run)
    assert rows == [{"step": 3.0, "reward_mean": 1.5}, {"step": 4.0, "entropy": 2.0}]
    with pytest.raises(SystemExit, match="pip install rlwatch"):
        watch["ask"](sys.executable, [])


def test_faults_of_the_planted_judge_are_what_they_say(from_the_root: None) -> None:
    judge = loaded("rlaif_judge")

    def asked(first: str, second: str, **faults: float) -> tuple[float, float]:
        """How often the first text is preferred, shown first and shown second."""
        shares = {"position": 0.0, "length": 0.0, "sycophancy": 0.0, "noise": 0.0} | faults
        planted = judge["PlantedJudge"](judge["Faults"](**shares), seed=3)
        expect = {"rules": [{"name": "good", "weight": 1.0, "contains": "good"}]}
        shown = [
            Comparison(Prompt(id=f"p{i}", messages=(Message("user", "q"),), expect=expect), Answer(first, True),
                       Answer(second, True)) for i in range(1500)
        ]  # fmt: skip
        given, swapped = planted.compare(shown), planted.compare([one.swapped() for one in shown])
        return sum(v.value for v in given) / 1500, 1 - sum(v.value for v in swapped) / 1500

    assert asked("good", "evil") == (1.0, 1.0)
    assert asked("good", "evil", noise=0.2) == pytest.approx((0.8, 0.8), abs=0.03)
    assert asked("good", "evil", position=0.4) == pytest.approx((1.0, 0.6), abs=0.04)
    assert asked("good", "evil and longer", length=0.3) == pytest.approx((0.7, 0.7), abs=0.04)
    first, second = asked("good", "Yes", sycophancy=0.25)
    assert first == pytest.approx(second) == pytest.approx(0.75, abs=0.04)  # both orders share it


def test_four_ways_to_label_share_their_couples_and_the_hybrid_keeps_its_budget(from_the_root: None) -> None:
    ways, judge = loaded("rlaif_arms"), loaded("rlaif_judge")
    draw = random.Random(0)
    expect = {
        "rules": [{"name": f"r{n}", "weight": 1.0, "contains": word} for n, word in enumerate(("ab", "cd", "ef"))]
    }
    responses = [
        ways["Response"](
            id=f"p{n}/{i}", prompt=Prompt(id=f"p{n}", messages=(), expect=expect),
            text=" ".join(draw.sample(("ab", "cd", "ef", "gh", "Yes"), 2)) + f" {i}", model="demo", temperature=1.0,
            stopped=True, tokens=3, logp_sum=0.0,
        ) for n in range(150) for i in range(4)
    ]  # fmt: skip
    found = ways["arms"](responses, 120, judge["Faults"](), 0.2, 1)
    human, hybrid, both, naive = found.values()
    couples = human.votes
    assert couples == 480 and naive.calls == couples and hybrid.calls == both.calls == 2 * couples
    assert hybrid.votes == 96 and sum(pair.source == "human" for pair in hybrid.pairs) <= 96
    said = {pair.id: pair for pair in ways["votes_of_people"](ways["choose_couples"](responses, 4, seed=1), 1)}
    assert all(pair.chosen == said[pair.id].chosen for pair in hybrid.pairs if pair.source == "human")
    assert hybrid.report["judge_error"]["ci95"][0] < hybrid.report["judge_error_of_all"]


def test_cost_hours_and_intervals_of_the_comparison_by_hand(from_the_root: None) -> None:
    rlaif = loaded("rlaif")
    prices = LabelPrices(vote_seconds=36.0, people=2, vote_price=0.5, call_seconds=1.0, calls_at_once=10,
                             call_price=0.01)  # fmt: skip
    asked = {"votes": 200, "calls": 3600}
    assert prices.cost(**asked) == pytest.approx(100 + 36) and prices.hours(**asked) == pytest.approx(1.0 + 0.1)
    # Mean 3, deviation sqrt(2.5), t of 4 degrees 2.776: half 2.776 * sqrt(2.5 / 5).
    assert rlaif["interval"]([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((3.0, 3 - 1.963, 3 + 1.963), abs=1e-3)
    accuracies = {"all human": 0.9, "hybrid": 0.8, "AI, both orders": 0.85, "AI, one order, hard": 0.88}
    own = {"votes": 1, "calls": 1, "pairs": 1, "gold": 0.0, "by_kind": {"plain": 0.5}}
    seeds = {n: {"arms": {name: own | {"accuracy": value} for name, value in accuracies.items()}} for n in (1, 2)}
    broken = rlaif["faults_of"](rlaif["summary_of"](seeds, prices))
    assert len(broken) == 2 and "88.9%" in broken[0] and "2.0 points" in broken[1]


def test_simulated_shares_of_a_run_over_ray_are_those_of_one_step_after_the_other(from_the_root: None) -> None:
    """Both workers sample at once, both halves are scored one after the other, then all is learned from."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'boresight[dist]'")
    found = loaded("ray_shares")["predicted"](2.0, 1.0, {"score": 2.0, "update": 5.0})
    assert found == pytest.approx({"generate": 0.3, "score": 0.2, "update": 0.5}, rel=0.02)
