from pathlib import Path

import pytest
import torch

from boresight.errors import TrainingError
from boresight.models.loading import scalar_head
from boresight.runlog.reader import read_metrics
from boresight.training.reward_model import score_all, score_pairs, train_reward_model

from . import tiny_world as tiny


def test_easy_preference_is_learnt_and_holds_on_pairs_never_seen(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path)
    held_out = tiny.pairs(100, seed=1)
    chosen, rejected = score_all(model, held_out)
    assert sum(c > r for c, r in zip(chosen, rejected, strict=True)) < 80
    config = tiny.reward_config(epochs=3, batch_size=32, learning_rate=1e-2)
    train_reward_model(config, model, tiny.pairs(512), tiny.run_in(tmp_path, checkpoint_every=1000))
    chosen, rejected = score_all(model, held_out)
    assert sum(c > r for c, r in zip(chosen, rejected, strict=True)) > 92
    table = read_metrics(tmp_path / "metrics.jsonl")
    assert table.last("reward/accuracy") > 0.9 and table.last("loss/total") < 0.3


def test_first_loss_is_that_of_the_scores_by_hand(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path)
    pairs = tiny.pairs(8)
    with torch.no_grad():
        chosen, rejected = score_pairs(model, scalar_head(model), pairs)
    expected = torch.log1p(torch.exp(rejected - chosen)) + 0.5 * (chosen + rejected) ** 2
    config = tiny.reward_config(centering_coefficient=0.5, batch_size=8)
    train_reward_model(config, model, pairs, tiny.run_in(tmp_path))
    first = read_metrics(tmp_path / "metrics.jsonl").series("loss/total")[0].value
    assert first == pytest.approx(float(expected.mean()), rel=1e-5)


def test_soft_label_below_one_half_prefers_the_other_response(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path)
    pairs = [type(p)(p.prompt_ids, p.chosen_ids, p.rejected_ids, p.id, p_chosen=0.2) for p in tiny.pairs(16)]
    train_reward_model(tiny.reward_config(epochs=40, batch_size=16), model, pairs, tiny.run_in(tmp_path))
    chosen, rejected = score_all(model, pairs)
    # At the optimum sigmoid(chosen - rejected) is the label: a difference of log(0.2 / 0.8) = -1.39.
    differences = [c - r for c, r in zip(chosen, rejected, strict=True)]
    assert sum(differences) / len(differences) == pytest.approx(-1.39, abs=0.3)


def test_scores_stand_in_the_order_of_the_pairs_whatever_the_batches(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path).eval()
    pairs = tiny.pairs(7)
    chosen, rejected = score_all(model, pairs, batch_size=3)
    for pair, c, r in zip(pairs, chosen, rejected, strict=True):
        with torch.no_grad():
            one = score_pairs(model, scalar_head(model), [pair])
        assert (c, r) == pytest.approx((float(one[0]), float(one[1])), abs=1e-6)


def test_loss_that_is_not_finite_names_the_pair(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path)
    pairs = tiny.pairs(8)
    pairs[3].chosen_ids[0] = 250
    with torch.no_grad():
        model.get_input_embeddings().weight[250] = torch.nan
    before = tiny.weights(model)
    with pytest.raises(TrainingError, match=r"step 0: loss/preference is not finite \(records pair3\)"):
        train_reward_model(tiny.reward_config(micro_batch_size=1), model, pairs, tiny.run_in(tmp_path))
    tiny.assert_same_weights(model, before)
