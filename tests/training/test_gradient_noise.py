from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import Parameter

from boresight.models.loading import scalar_head
from boresight.objectives.bradley_terry import preference_nll
from boresight.runlog.reader import read_metrics
from boresight.training.gradient_noise import GradientNoise
from boresight.training.reward_model import score_pairs, train_reward_model
from boresight.training.step import Updater

from . import tiny_world as tiny


def feed(noise: GradientNoise, weight: Parameter, pieces: list[torch.Tensor]) -> None:
    """One step of examples whose gradients are the rows of `pieces`."""
    count = sum(len(piece) for piece in pieces)
    for piece in pieces:
        ((piece * weight).sum() / count).backward()  # type: ignore[no-untyped-call]
        noise.set_aside([weight], examples=len(piece), count=count)
    noise.give_back([weight])
    torch.testing.assert_close(weight.grad, torch.cat(pieces).mean(0))
    weight.grad = None


def test_two_examples_by_hand() -> None:
    noise = GradientNoise()
    feed(noise, Parameter(torch.zeros(1)), [torch.tensor([[1.0]]), torch.tensor([[3.0]])])
    # Gradients 1 and 3: their variance is 2 (divided by n - 1), the squared mean 4 less its own noise, 2 / 2.
    assert noise.scale == pytest.approx(2.0 / 3.0)


def test_equal_micro_batches_give_the_estimators_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    pieces = [torch.randn(4, 3, generator=generator) + 1.0 for _ in range(5)]
    noise = GradientNoise()
    feed(noise, Parameter(torch.zeros(3)), pieces)
    small = sum(float(piece.mean(0).square().sum()) for piece in pieces) / 5  # |G|^2 of B_small = 4, averaged
    big = float(torch.cat(pieces).mean(0).square().sum())  # of B_big = 20
    signal = (20 * big - 4 * small) / (20 - 4)
    variance = (small - big) / (1 / 4 - 1 / 20)
    assert noise.scale == pytest.approx(variance / signal, rel=1e-4)


@pytest.mark.parametrize("sizes", [(8, 8, 8, 8), (1, 3, 20, 8)], ids=["equal", "ragged"])
def test_known_noise_scale_is_found(sizes: tuple[int, ...]) -> None:
    """Per-example gradients of mean (1, 1, 1, 1) / 2 and deviation 2: tr(S) / |G|^2 is 16 / 1."""
    generator = torch.Generator().manual_seed(1)
    noise, weight = GradientNoise(), Parameter(torch.zeros(4))
    found = []
    for step in range(600):
        feed(noise, weight, [0.5 + 2.0 * torch.randn(size, 4, generator=generator) for size in sizes])
        if step % 20 == 19 and noise.scale is not None:
            found.append(noise.scale)
    assert len(found) == 30 and sorted(found)[15] == pytest.approx(16.0, rel=0.15)


def test_estimate_of_a_reward_model_is_that_of_all_its_gradients(tmp_path: Path) -> None:
    model, pairs = tiny.scorer(tmp_path).eval(), tiny.pairs(128)
    each = []
    for pair in pairs:
        model.zero_grad()
        chosen, rejected = score_pairs(model, scalar_head(model), [pair])
        preference_nll(chosen - rejected).sum().backward()
        each.append(torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None]))
    gradients = torch.stack(each).double()
    exact = float(gradients.var(0).sum() / gradients.mean(0).square().sum())
    model.zero_grad()
    config = tiny.reward_config(
        epochs=10, batch_size=32, micro_batch_size=4, gradient_noise_scale=True, centering_coefficient=0.0,
        learning_rate=1e-12,
    )  # fmt: skip
    train_reward_model(config, model, pairs, tiny.run_in(tmp_path, checkpoint_every=1000))
    found = read_metrics(tmp_path / "metrics.jsonl").last("optim/gradient_noise_scale")
    assert found == pytest.approx(exact, rel=0.3)


def test_one_micro_batch_tells_nothing_and_noise_alone_no_number() -> None:
    noise, weight = GradientNoise(), Parameter(torch.zeros(1))
    feed(noise, weight, [torch.tensor([[1.0], [3.0]])])
    assert noise.scale is None
    feed(noise, weight, [torch.tensor([[1.0]]), torch.tensor([[-1.0]])])
    assert noise.scale is None


def test_updates_are_those_of_a_run_that_does_not_look(tmp_path: Path) -> None:
    models = []
    for looks in (False, True):
        model = tiny.scorer(tmp_path)
        config = tiny.reward_config(epochs=2, micro_batch_size=2, gradient_noise_scale=looks)
        train_reward_model(config, model, tiny.pairs(32), tiny.run_in(tmp_path / str(looks)))
        models.append(model)
        scales = read_metrics(tmp_path / str(looks) / "metrics.jsonl").series("optim/gradient_noise_scale")
        assert bool(scales) == looks and all(scale.value > 0 for scale in scales)
    for looked_at, plain in zip(tiny.weights(models[1]), tiny.weights(models[0]), strict=True):
        # Rows of an embedding's gradient add up in another order.
        torch.testing.assert_close(looked_at, plain, rtol=1e-5, atol=1e-6)


def test_parameters_without_a_gradient_stay_without() -> None:
    used, unused = nn.Linear(1, 1), nn.Linear(1, 1)
    updater = Updater([used, unused], tiny.sft_config(), total=1, noise=GradientNoise())
    for _ in range(2):
        updater.accumulate({"x": used(torch.ones(1, 1)).squeeze(1)}, count=2, step=0, ids=[])
    updater.apply(step=0, ids=[])
    assert len(updater.state_dict()["optimizer"]["state"]) == 2  # weight and bias of the one that is used
