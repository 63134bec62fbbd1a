from pathlib import Path

import pytest
import torch

from boresight.runlog.reader import read_metrics
from boresight.training.reference_logps import pair_logp_sums
from boresight.training.simpo import train_simpo

from . import tiny_world as tiny
from .conftest import Imitator


def test_chosen_responses_pass_the_rejected_ones_also_on_pairs_never_seen(imitator: Imitator, tmp_path: Path) -> None:
    policy, held_out = tiny.policy_of(imitator.model), tiny.pairs(64, seed=1)
    before = pair_logp_sums(policy, held_out)
    config = tiny.simpo_config(epochs=4, batch_size=32, learning_rate=3e-3)
    train_simpo(config, policy, tiny.pairs(128), tiny.run_in(tmp_path, checkpoint_every=1000))
    margins = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("reward/margin")]
    assert margins[-1] > margins[0] + 0.5
    gain = pair_logp_sums(policy, held_out) - before
    assert float((gain[:, 0] > gain[:, 1]).double().mean()) > 0.9


def test_first_step_is_that_of_the_log_probabilities_by_hand(imitator: Imitator, tmp_path: Path) -> None:
    policy, pairs = tiny.policy_of(imitator.model), tiny.pairs(8)
    pairs[3] = type(pairs[3])(pairs[3].prompt_ids, pairs[3].chosen_ids, pairs[3].rejected_ids, "soft", p_chosen=0.7)
    tokens = torch.tensor([[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in pairs])
    reward = 3.0 * (pair_logp_sums(policy, pairs) / tokens).double()
    difference = reward[:, 0] - reward[:, 1]
    p = torch.tensor([pair.p_chosen for pair in pairs], dtype=torch.float64)
    loss = p * torch.log1p(torch.exp(0.5 - difference)) + (1 - p) * torch.log1p(torch.exp(0.5 + difference))
    train_simpo(tiny.simpo_config(beta=3.0, gamma=0.5), policy, pairs, tiny.run_in(tmp_path))
    table = read_metrics(tmp_path / "metrics.jsonl")
    for name, expected in (("loss/total", loss), ("reward/chosen", reward[:, 0]), ("reward/margin", difference)):
        assert table.series(name)[0].value == pytest.approx(float(expected.mean()), rel=1e-4, abs=1e-5)
