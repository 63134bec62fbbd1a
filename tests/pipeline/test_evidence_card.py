"""Model cards with what the run found out, from the small run of the report's tests."""

from pathlib import Path

import pytest

from boresight.pipeline.evidence_card import CARD, PURPOSE
from boresight.pipeline.report import write_report
from tests.pipeline.test_report import build_run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = build_run(tmp_path_factory.mktemp("run"), agrees={"dpo": 9})
    write_report(root)
    return root


def card(run_folder: Path, stage: str) -> str:
    return (run_folder / "stages" / stage / CARD).read_text(encoding="utf-8")


def test_every_model_has_a_card_and_nothing_else_has(run_folder: Path) -> None:
    assert sorted(path.parent.name for path in run_folder.glob(f"stages/*/{CARD}")) == [
        "base", "demo", "dpo", "ppo", "scorer"]  # fmt: skip


def test_a_candidate_has_win_rate_with_interval_gate_and_lineage(run_folder: Path) -> None:
    text = card(run_folder, "ppo")
    assert "**Passed the gate:** all 3 checks hold." in text
    # Of 54 prompts the 32 on which PPO alone is right are won, the others tied: (32 + 22 / 2) / 54.
    assert "79.6% (73.1–86.1%, n = 54); 32 won, 0 lost, 22 tied" in text
    assert "agrees 10.0%" in text and "gate: max. 0.15" in text
    assert "| reward | scorer | `" in text and "seed 7" in text and "54 prompts in `compare`" in text


def test_a_model_that_failed_says_so_first(run_folder: Path) -> None:
    text = card(run_folder, "dpo")
    assert text.index("Did not pass the gate") < text.index("##") and "required is at most 0.15" in text


def test_a_reward_model_has_its_certificate_by_kind(run_folder: Path) -> None:
    text = card(run_folder, "scorer")
    assert "held out: ranks 53.3%" in text and "- fact: 53.3%" in text and "length alone gets 100%" in text


def test_cards_are_no_part_of_what_later_stages_are_keyed_by(run_folder: Path) -> None:
    before = {path: path.read_bytes() for path in run_folder.glob("stages/*/manifest.json")}
    first = card(run_folder, "ppo")
    write_report(run_folder)
    assert card(run_folder, "ppo") == first and all(path.read_bytes() == held for path, held in before.items())
    assert all(CARD.encode() not in held for held in before.values())


def test_every_kind_that_makes_a_model_has_a_purpose() -> None:
    assert {"pretrain", "sft", "reward_model", "ppo", "rloo", "dpo", "orpo", "simpo", "kto"} == set(PURPOSE)
