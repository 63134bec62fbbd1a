import math
from pathlib import Path

import pytest
import torch

from boresight.errors import DataError, TrainingError
from boresight.models.roles import StartingPolicy, fingerprint
from boresight.runlog.reader import read_metrics
from boresight.training.dpo import train_dpo
from boresight.training.reference_logps import pair_logp_sums

from . import tiny_world as tiny
from .conftest import Imitator


def test_loss_starts_at_log_two_and_the_margin_grows_also_on_pairs_never_seen(
    imitator: Imitator, tmp_path: Path
) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    before = reference.fingerprint()
    config = tiny.dpo_config(epochs=4, batch_size=32, beta=0.5, sft_coefficient=0.0, learning_rate=3e-3)
    train_dpo(config, policy, reference, tiny.pairs(128), tiny.run_in(tmp_path, checkpoint_every=1000))
    table = read_metrics(tmp_path / "metrics.jsonl")
    assert table.series("loss/total")[0].value == pytest.approx(math.log(2), abs=1e-5)
    assert table.series("reward/margin")[0].value == pytest.approx(0.0, abs=1e-5)
    assert table.last("reward/margin") > 1.0
    held_out = tiny.pairs(64, seed=1)
    ratio = pair_logp_sums(policy, held_out) - pair_logp_sums(reference, held_out)
    assert float((ratio[:, 0] > ratio[:, 1]).double().mean()) > 0.9
    assert reference.fingerprint() == before


def test_policy_that_is_its_own_reference_learns_as_beside_a_copy(imitator: Imitator, tmp_path: Path) -> None:
    config = tiny.dpo_config(epochs=2)
    policy, beside = tiny.policy_of(imitator.model), tiny.policy_of(imitator.model)
    train_dpo(config, policy, StartingPolicy(policy), tiny.pairs(32), tiny.run_in(tmp_path / "own"))
    train_dpo(config, beside, tiny.reference_of(imitator.model), tiny.pairs(32), tiny.run_in(tmp_path / "beside"))
    assert fingerprint(policy.model) == fingerprint(beside.model)
    own, other = (read_metrics(tmp_path / name / "metrics.jsonl") for name in ("own", "beside"))
    assert own.series("loss/total") == other.series("loss/total")


def test_adapters_learn_the_preference_and_their_reference_stays(imitator: Imitator, tmp_path: Path) -> None:
    policy = tiny.adapted_policy_of(imitator.model)
    reference = tiny.reference_under(policy)
    before = reference.fingerprint()
    config = tiny.dpo_config(epochs=4, batch_size=32, beta=0.5, sft_coefficient=0.0, learning_rate=1e-2)
    train_dpo(config, policy, reference, tiny.pairs(128), tiny.run_in(tmp_path, checkpoint_every=1000))
    table = read_metrics(tmp_path / "metrics.jsonl")
    assert table.series("loss/total")[0].value == pytest.approx(math.log(2), abs=1e-5)
    assert table.last("reward/margin") > 0.5
    held_out = tiny.pairs(64, seed=1)
    ratio = pair_logp_sums(policy, held_out) - pair_logp_sums(reference, held_out)
    assert float((ratio[:, 0] > ratio[:, 1]).double().mean()) > 0.8
    assert reference.fingerprint() == before == tiny.reference_of(imitator.model).fingerprint()


def test_pairs_that_the_policy_cannot_tell_apart_yet_count_as_halves(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    train_dpo(tiny.dpo_config(), policy, reference, tiny.pairs(8), tiny.run_in(tmp_path))
    assert read_metrics(tmp_path / "metrics.jsonl").series("reward/accuracy")[0].value == 0.5


def test_total_loss_is_the_preference_plus_the_weighted_likelihood(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    train_dpo(tiny.dpo_config(sft_coefficient=0.3), policy, reference, tiny.pairs(32), tiny.run_in(tmp_path))
    table = read_metrics(tmp_path / "metrics.jsonl")
    for name in ("loss/total", "loss/preference", "loss/nll", "policy/chosen_logp_mean"):
        assert len(table.series(name)) == 4
    for i in range(4):
        total, preference, nll, chosen = (
            table.series(name)[i].value
            for name in ("loss/total", "loss/preference", "loss/nll", "policy/chosen_logp_mean")
        )
        assert nll == pytest.approx(-chosen, rel=1e-6)
        assert total == pytest.approx(preference + 0.3 * nll, rel=1e-6)


def test_likelihood_term_keeps_the_chosen_responses_likelier(imitator: Imitator, tmp_path: Path) -> None:
    chosen = {}
    for coefficient in (0.0, 2.0):
        policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
        config = tiny.dpo_config(epochs=3, beta=0.5, sft_coefficient=coefficient, learning_rate=3e-3)
        run = tiny.run_in(tmp_path / str(coefficient), checkpoint_every=1000)
        train_dpo(config, policy, reference, tiny.pairs(64), run)
        chosen[coefficient] = float(pair_logp_sums(policy, tiny.pairs(32, seed=1))[:, 0].mean())
    assert chosen[2.0] > chosen[0.0] + 0.1


@pytest.mark.parametrize("loss", ["ipo", "robust"])
def test_kindred_losses_widen_the_margin(loss: str, imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    smoothing = 0.1 if loss == "robust" else 0.0
    config = tiny.dpo_config(loss=loss, epochs=3, label_smoothing=smoothing, sft_coefficient=0.0)
    train_dpo(config, policy, reference, tiny.pairs(64), tiny.run_in(tmp_path, checkpoint_every=1000))
    margins = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("reward/margin")]
    assert margins[0] == pytest.approx(0.0, abs=1e-5) and margins[-1] > 0.05


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "robust"])
def test_length_normalised_losses_reward_a_token_and_widen_the_margin(
    loss: str, imitator: Imitator, tmp_path: Path
) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    pairs = tiny.pairs(64)
    config = tiny.dpo_config(loss=loss, log_ratio="mean", beta=2.0, epochs=3, sft_coefficient=0.0)
    train_dpo(config, policy, reference, pairs, tiny.run_in(tmp_path, checkpoint_every=1000))
    margins = [value for _, value in read_metrics(tmp_path / "metrics.jsonl").series("reward/margin")]
    assert margins[0] == pytest.approx(0.0, abs=1e-5) and margins[-1] > 0.05
    ratios = pair_logp_sums(policy, pairs) - pair_logp_sums(reference, pairs)
    tokens = torch.tensor([[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in pairs])
    rewards = 2.0 * ratios / tokens
    # The mean over the last epoch's steps lags behind the policy that has just been updated; they stay close.
    assert margins[-1] == pytest.approx(float((rewards[:, 0] - rewards[:, 1]).mean()), abs=0.3)


def test_log_probabilities_are_told_a_token_and_a_response(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference, pairs = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model), tiny.pairs(8)
    sums = pair_logp_sums(policy, pairs)
    tokens = torch.tensor([[len(pair.chosen_ids), len(pair.rejected_ids)] for pair in pairs])
    train_dpo(tiny.dpo_config(micro_batch_size=3), policy, reference, pairs, tiny.run_in(tmp_path))
    table = read_metrics(tmp_path / "metrics.jsonl")
    for side, name in enumerate(("chosen", "rejected")):
        whole = table.series(f"policy/{name}_logp_sum")[0].value
        token = table.series(f"policy/{name}_logp_mean")[0].value
        assert whole == pytest.approx(float(sums[:, side].mean()), abs=1e-4)
        assert token == pytest.approx(float((sums / tokens)[:, side].mean()), abs=1e-5)


def test_reference_of_other_weights_stops_the_run_before_anything_is_trained(
    imitator: Imitator, tmp_path: Path
) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    with torch.no_grad():
        reference.model.model.norm.weight.mul_(1.01)
    before = tiny.weights(policy.model)
    with pytest.raises(TrainingError, match=r"step 0: .* differ from the reference's by up to .* nats a response"):
        train_dpo(tiny.dpo_config(), policy, reference, tiny.pairs(8), tiny.run_in(tmp_path))
    tiny.assert_same_weights(policy.model, before)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_reference_of_another_stage_may_differ(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=3))
    config = tiny.dpo_config(reference="other")
    train_dpo(config, policy, reference, tiny.pairs(8), tiny.run_in(tmp_path))
    assert abs(read_metrics(tmp_path / "metrics.jsonl").series("reward/chosen")[0].value) > 0.1


@pytest.mark.parametrize("loss", ["ipo", "robust"])
def test_soft_labels_are_refused_where_the_loss_has_no_use_for_them(
    loss: str, imitator: Imitator, tmp_path: Path
) -> None:
    pairs = tiny.pairs(8)
    pairs[2] = type(pairs[2])(pairs[2].prompt_ids, pairs[2].chosen_ids, pairs[2].rejected_ids, "soft", p_chosen=0.7)
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    with pytest.raises(DataError, match=rf"pair 'soft': p_chosen is 0\.7.* the {loss} loss has no use for"):
        train_dpo(tiny.dpo_config(loss=loss), policy, reference, pairs, tiny.run_in(tmp_path))


def test_logp_sums_stand_in_the_order_of_the_pairs_whatever_the_batches(imitator: Imitator) -> None:
    policy, pairs = tiny.policy_of(imitator.model), tiny.pairs(7)
    together = pair_logp_sums(policy, pairs, batch_size=3)
    alone = torch.cat([pair_logp_sums(policy, [pair]) for pair in pairs])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
