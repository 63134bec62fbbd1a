from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError
from boresight.models.loading import scalar_head
from boresight.objectives.bradley_terry import preference_nll
from boresight.runlog.reader import read_metrics
from boresight.training.early_stopping import EarlyStopping
from boresight.training.reward_model import held_out_metrics, score_pairs, train_reward_model
from boresight.training.run import Run

from . import tiny_world as tiny


def noisy_pairs(count: int, seed: int, turned: float = 0.35) -> list[EncodedPair]:
    """Pairs of which a share has its label turned: there is little to learn, and much to learn by heart."""
    generator = torch.Generator().manual_seed(seed + 100)
    made = tiny.pairs(count, seed)
    flips = torch.rand(count, generator=generator) < turned
    return [
        EncodedPair(p.prompt_ids, p.rejected_ids, p.chosen_ids, p.id) if flip else p
        for p, flip in zip(made, flips.tolist(), strict=True)
    ]


def train(folder: Path, run: Run, patience: int | None = 2) -> tuple[nn.Module, EarlyStopping | None]:
    model = tiny.scorer(folder)
    config = tiny.reward_config(
        epochs=30, batch_size=16, learning_rate=1e-2, evaluate_every=4, early_stopping_patience=patience
    )
    held_out = {"held_out": noisy_pairs(64, seed=1)}
    return model, train_reward_model(config, model, noisy_pairs(64, seed=0), run, held_out=held_out)


def test_it_stops_after_so_many_looks_without_a_new_lowest_value_and_goes_back() -> None:
    layer = nn.Linear(1, 1, bias=False)
    stopping = EarlyStopping(layer, patience=2)
    for step, value in enumerate((0.7, 0.5, 0.6, 0.4, 0.4)):
        nn.init.constant_(layer.weight, float(step))
        stopping.look(step, value)
        assert not stopping.stopped
    stopping.look(5, 0.5)
    assert stopping.stopped and (stopping.best_step, stopping.best_value) == (3, 0.4)
    stopping.restore_best()
    assert float(layer.weight.detach()) == 3.0


def test_over_training_is_stopped_and_the_weights_of_the_lowest_loss_are_kept(tmp_path: Path) -> None:
    to_the_end, _ = train(tmp_path, tiny.run_in(tmp_path / "whole", checkpoint_every=1000), patience=None)
    model, stopping = train(tmp_path, tiny.run_in(tmp_path / "stopped", checkpoint_every=1000))
    assert stopping is not None
    table = read_metrics(tmp_path / "stopped" / "metrics.jsonl")
    looks = table.series("eval/nll", "held_out")
    lowest = min(looks, key=lambda point: point.value)
    assert stopping.best_step == lowest.step and looks[-1].step == lowest.step + 2 * 4
    assert len(table.series("loss/total")) == lowest.step + 2 * 4 + 1 < 30 * 4
    held_out = noisy_pairs(64, seed=1)
    kept, last = held_out_metrics(model, held_out), held_out_metrics(to_the_end, held_out)
    assert kept["eval/nll"] == pytest.approx(lowest.value, abs=1e-6)
    # What over-training does: the loss and the calibration suffer, the accuracy hardly tells.
    assert last["eval/nll"] > kept["eval/nll"] + 0.1 and last["eval/ece"] > kept["eval/ece"] + 0.05


def test_a_stopped_run_is_resumed_to_the_same_weights_wherever_it_was_killed(tmp_path: Path) -> None:
    whole, stopping = train(tmp_path, tiny.run_in(tmp_path / "whole"))
    assert stopping is not None
    last_step = stopping.best_step + 2 * 4
    for stop_after in (stopping.best_step + 1, stopping.best_step + 3, last_step + 1):
        cut = tmp_path / str(stop_after)
        with pytest.raises(tiny.Interrupted):
            train(tmp_path, tiny.interrupted_run(cut, stop_after))
        model, resumed = train(tmp_path, tiny.run_in(cut))
        assert resumed is not None and resumed.best_step == stopping.best_step
        tiny.assert_same_weights(model, tiny.weights(whole))
        assert (cut / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_held_out_figures_are_those_of_the_scores_by_hand(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path).eval()
    pairs = tiny.pairs(20)
    with torch.no_grad():
        chosen, rejected = score_pairs(model, scalar_head(model), pairs)
    difference = (chosen - rejected).double()
    found = held_out_metrics(model, pairs)
    assert found["eval/accuracy"] == pytest.approx(float((difference > 0).double().mean()))
    assert found["eval/nll"] == pytest.approx(float(preference_nll(difference).mean()), abs=1e-6)
    # Fresh scores lie close together, so all confidences fall into the first bin, 0.5 to 0.55.
    confidence = torch.sigmoid(difference.abs())
    assert float(confidence.max()) < 0.55
    apart = abs(float(confidence.mean() - (difference > 0).double().mean()))
    assert found["eval/ece"] == pytest.approx(apart, abs=1e-6)


def test_a_held_out_set_of_ties_alone_has_no_accuracy(tmp_path: Path) -> None:
    ties = [replace(pair, p_chosen=0.5) for pair in tiny.pairs(4)]
    found = held_out_metrics(tiny.scorer(tmp_path), ties)
    assert found.keys() == {"eval/nll", "eval/ece"}
    assert found["eval/nll"] >= 0.6931


def test_a_set_without_pairs_cannot_decide(tmp_path: Path) -> None:
    config = tiny.reward_config(early_stopping_patience=1)
    with pytest.raises(DataError, match=r"the held-out set 'held_out' has no pairs \(sets with pairs: other\)"):
        train_reward_model(
            config, tiny.scorer(tmp_path), tiny.pairs(8), tiny.run_in(tmp_path), held_out={"other": tiny.pairs(4)}
        )
