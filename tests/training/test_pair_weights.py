"""`pair_weights`: a pair of weight 2 counts as two pairs, and one of weight 0 as none."""

from dataclasses import replace
from pathlib import Path

import pytest

from boresight.data.preferences import pair_weight
from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError
from boresight.records import Message, PreferencePair
from boresight.runlog.reader import read_metrics
from boresight.training.dpo import train_dpo
from boresight.training.orpo import train_orpo
from boresight.training.reward_model import train_reward_model
from boresight.training.simpo import train_simpo

from . import tiny_world as tiny

METHODS = ("reward_model", "dpo", "orpo", "simpo")


def first_step(method: str, folder: Path, pairs: list[EncodedPair]) -> tuple[float, float]:
    """Loss and gradient norm of the first step on all the pairs."""
    folder.mkdir()
    run, policy = tiny.run_in(folder), tiny.policy_of(tiny.fresh_model())
    size = {"batch_size": len(pairs)}
    if method == "reward_model":
        train_reward_model(tiny.reward_config(**size), tiny.scorer(folder), pairs, run)
    elif method == "dpo":
        reference = tiny.reference_of(tiny.fresh_model())
        train_dpo(tiny.dpo_config(sft_coefficient=0.5, **size), policy, reference, pairs, run)
    elif method == "orpo":
        train_orpo(tiny.orpo_config(**size), policy, pairs, run)
    else:
        train_simpo(tiny.simpo_config(**size), policy, pairs, run)
    table = read_metrics(folder / "metrics.jsonl")
    loss, norm = (table.series(name, "train")[0][1] for name in ("loss/total", "optim/grad_norm"))
    return loss, norm


@pytest.mark.parametrize("method", METHODS)
def test_a_pair_of_weight_two_beside_one_of_weight_zero_is_that_pair_alone(method: str, tmp_path: Path) -> None:
    one, other = tiny.pairs(2)
    weighed = first_step(method, tmp_path / "weighed", [replace(one, weight=2.0), replace(other, weight=0.0)])
    assert weighed == pytest.approx(first_step(method, tmp_path / "alone", [one]), rel=1e-5)
    assert weighed != pytest.approx(first_step(method, tmp_path / "both", [one, other]), rel=1e-3)


def pair(**meta: object) -> PreferencePair:
    said = {"prompt": (Message("user", "a"),), "chosen": (Message("assistant", "b"),)}
    return PreferencePair(id="p-1", rejected=(Message("assistant", "c"),), meta=meta, **said)


def test_a_pair_without_a_weight_weighs_one() -> None:
    assert (pair_weight(pair()), pair_weight(pair(weight=0)), pair_weight(pair(weight=0.5))) == (1.0, 0.0, 0.5)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), "2", True, None])
def test_what_cannot_weigh_a_loss_is_refused_with_the_record(weight: object) -> None:
    with pytest.raises(DataError, match=r"p-1.*meta\.weight is .*expected a number"):
        pair_weight(pair(weight=weight))
