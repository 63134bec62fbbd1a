from pathlib import Path

import pytest

from boresight.runlog.reader import read_metrics
from boresight.training.orpo import train_orpo
from boresight.training.reference_logps import pair_logp_sums

from . import tiny_world as tiny
from .conftest import Imitator


def test_odds_of_the_chosen_response_rise_also_on_pairs_never_seen(imitator: Imitator, tmp_path: Path) -> None:
    policy, held_out = tiny.policy_of(imitator.model), tiny.pairs(64, seed=1)
    before = pair_logp_sums(policy, held_out)
    config = tiny.orpo_config(epochs=4, batch_size=32, odds_ratio_coefficient=2.0, learning_rate=3e-3)
    train_orpo(config, policy, tiny.pairs(128), tiny.run_in(tmp_path, checkpoint_every=1000))
    odds = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("policy/log_odds_ratio")]
    assert abs(odds[0]) < 0.2 and odds[-1] > odds[0] + 0.3
    after = pair_logp_sums(policy, held_out)
    gain = (after - before)[:, 0] - (after - before)[:, 1]
    assert float((gain > 0).double().mean()) > 0.9


def test_total_loss_is_the_likelihood_plus_the_weighted_odds_term(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.orpo_config(odds_ratio_coefficient=0.7)
    train_orpo(config, tiny.policy_of(imitator.model), tiny.pairs(16), tiny.run_in(tmp_path))
    table = read_metrics(tmp_path / "metrics.jsonl")
    for total, nll, preference in zip(
        table.series("loss/total"), table.series("loss/nll"), table.series("loss/preference"), strict=True
    ):
        assert total.value == pytest.approx(nll.value + 0.7 * preference.value, rel=1e-6)


def test_without_the_odds_term_it_only_imitates(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.orpo_config(odds_ratio_coefficient=0.0)
    train_orpo(config, tiny.policy_of(imitator.model), tiny.pairs(16), tiny.run_in(tmp_path))
    table = read_metrics(tmp_path / "metrics.jsonl")
    for total, chosen in zip(table.series("loss/total"), table.series("policy/chosen_logp_mean"), strict=True):
        assert total.value == pytest.approx(-chosen.value, rel=1e-6)
