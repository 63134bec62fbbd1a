"""What the committed experiments rest on; their figures lie in docs/figures, made by `make experiments`."""

import random
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
