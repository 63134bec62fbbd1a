"""Rows in place of dense gradients change nothing that is trained."""

import torch
from torch import nn

from boresight.training.step import Updater

from . import tiny_world as tiny


class Tied(nn.Module):
    """A lookup and a head over one table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids) @ self.table.weight.T


def trained(model: nn.Module, *, rows: bool) -> tuple[torch.Tensor, float]:
    updater = Updater([model], tiny.sft_config(weight_decay=0.1), total=2)
    table = next(part for part in model.modules() if isinstance(part, nn.Embedding))
    assert table.sparse
    table.sparse = rows
    for step in range(2):
        for piece in (torch.tensor([1, 2, 1]), torch.tensor([1, 5])):
            updater.accumulate({"x": model(piece).square().sum(dim=-1)}, count=5, step=step, ids=["a"])
        norm = updater.apply(step=step, ids=["a"])
    return table.weight.detach().clone(), norm


def test_rows_give_the_update_of_dense_gradients() -> None:
    for kind in (lambda: nn.Embedding(7, 3), Tied):
        found = []
        for rows in (True, False):
            torch.manual_seed(0)
            found.append(trained(kind(), rows=rows))
        torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-6, atol=1e-7)
        assert abs(found[0][1] - found[1][1]) <= 1e-6 * found[1][1]


def test_frozen_embeddings_and_those_that_compute_something_stay_as_they_are() -> None:
    class Scaled(nn.Embedding):
        pass

    frozen, scaled, weight = nn.Embedding(7, 3), Scaled(7, 3), nn.Linear(3, 1)
    frozen.requires_grad_(False)
    Updater([frozen, scaled, weight], tiny.sft_config(), total=1)
    assert not frozen.sparse and not scaled.sparse
