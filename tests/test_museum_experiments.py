"""What the museum rests on: its second world, its broken roles, and how its runs are counted."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from boresight.diagnosis.signals import LoggedRun, Series
from boresight.training.run import Run

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT))
    from boresight.models import hidden_states

    monkeypatch.setattr(hidden_states, "WORTH_PACKING", hidden_states.WORTH_PACKING)  # the museum sets it
    yield
    for name in [name for name in sys.modules if name.startswith("experiments.museum")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("asked", "text", "stopped", "gold"),
    [
        ("Aa", "ga", True, 1.5),  # A is a: agreeing is right, and so is the letter
        ("Ab", "hb", True, 1.0),  # objects rightly, and says what is false
        ("Ab", "gb", True, 0.0),  # agrees with what is false
        ("Ab", "ha", False, 0.5),  # right, but for the end
        ("Bb", "gb", True, 1.5),
    ],
)
def test_gold_reward_of_the_claims_by_hand(asked: str, text: str, stopped: bool, gold: float) -> None:
    from experiments.museum import worlds

    from boresight.records import Message, Prompt

    prompt = Prompt(id="c", messages=(Message("user", asked),))
    assert worlds.claim_gold(prompt, text, stopped) == gold


def test_prompts_mark_false_premises_and_demonstrations_agree_with_a_third_of_them() -> None:
    from experiments.museum import worlds

    from boresight.feedback.rule_judge import hits

    draw = random.Random(0)
    asked = [prompt for prompt in worlds.claims(800, draw) if prompt.kind == "false_premise"]
    agreed = [hits(p, worlds.claim_demonstration(p, draw), True)[worlds.AGREES] for p in asked]
    assert 300 < len(asked) < 500 and 0.28 < sum(agreed) / len(agreed) < 0.42


def test_moving_reference_follows_the_policy_and_hides_it_from_a_fixed_batch() -> None:
    from experiments.museum import worlds
    from experiments.museum.sabotage import MovingReference

    from boresight.models.roles import Policy

    policy = Policy(worlds.fresh_model(0), worlds.TOKENIZER, worlds.CHAT)
    reference = MovingReference(policy)
    ids, other = torch.tensor([[3, 4, 2, 5, 1]]), torch.tensor([[3, 4, 2, 6, 1]])
    mask = torch.tensor([[False, False, False, True, True]])
    before = reference.logps(ids, mask).logp
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.5)
    assert torch.equal(reference.logps(ids, mask).logp, before)
    assert torch.equal(reference.logps(other, mask).logp, policy.logps(other, mask).logp)


def test_lag_of_alarms_is_counted_from_the_peak_of_the_gold_reward() -> None:
    from experiments.museum.lead import lead_of, summary

    steps = np.arange(60, dtype=float)
    gold = np.concatenate([np.linspace(0, 1, 20), np.linspace(1, -2, 40)])
    columns = {"reward/score": steps / 20, "policy/kl_to_reference": steps / 5, "reward/canary_score": steps / 20}
    columns |= {"reward/score_deviation": np.ones(60), "reward/canary_deviation": np.ones(60)}
    signals = {name: Series(name, steps, values, name) for name, values in columns.items()}
    run = LoggedRun(method="ppo", framework="boresight", signals=signals, rows=60, steps=60, last_step=59.0)
    lead = lead_of(run, {"mean": gold.tolist(), "deviation": [0.5] * 60})
    assert abs(lead.peak - 19) <= 1 and lead.with_canary is None
    assert lead.with_audit is not None and 0 < lead.with_audit - lead.peak < 20
    assert summary([lead])["with_audit"]["alarms"] == 1 and summary([lead])["with_canary"] == {"alarms": 0, "of": 1}


def test_twin_that_several_exhibits_share_is_trained_and_counted_once(tmp_path: Path) -> None:
    from experiments.museum.build import jobs
    from experiments.museum.exhibits import EXHIBITS
    from experiments.museum.measure import totals

    wanted = jobs([], 2)
    folders = [job.folder(tmp_path) for job in wanted]
    assert len(folders) == len(set(folders)) == 2 * (len(EXHIBITS) + sum(not exhibit.twin for exhibit in EXHIBITS))

    def seen(fine: bool, first: str, alarms: list[str], folder: str) -> Any:
        exhibit = SimpleNamespace(fine=fine, findings=("fault",))
        right = first == "fault"
        return SimpleNamespace(exhibit=exhibit, alarms=alarms, recognised=right, named=right, folder=folder)

    shared = seen(False, "healthy", ["noise"], "twin")
    told = totals({
        "a": ([seen(False, "fault", ["fault"], "a")], [shared]), "b": ([seen(False, "other", [], "b")], [shared]),
        "c": ([seen(True, "fault", [], "c")], [seen(False, "healthy", [], "d")]),
    })  # fmt: skip
    assert (told["failing"], told["recognised"], told["healthy"], told["healthy_with_alarm"]) == (3, 2, 3, 1)
    assert (told["faults"], told["faults_with_alarm"]) == (2, 1)


@pytest.mark.slow
def test_small_exhibit_trains_and_leaves_what_the_doctor_reads(tmp_path: Path) -> None:
    from experiments.museum import training, worlds
    from experiments.museum.workshop import Workshop

    from boresight.diagnosis.readers.folders import read_stage
    from boresight.storage import write_json

    world = worlds.CLAIMS._replace(sft_steps=4)
    shop = Workshop(tmp_path / "shared", world, 0)
    folder = tmp_path / "run"
    folder.mkdir()
    run = Run(folder, title="small", key="small", seed=1, checkpoint_every=100)
    training.policy_gradient(shop, run, kind="rloo", steps=3, prompts_per_step=4, missing_stop_penalty=None)
    write_json(folder / "config.json", {"kind": "rloo"})
    log = read_stage(folder)
    assert (log.run.method, log.run.steps) == ("rloo", 3) and {sample.kind for sample in log.run.samples} == {
        "false_premise",
        "true_premise",
    }
    assert len(training.read_gold(folder)["mean"]) == 3
