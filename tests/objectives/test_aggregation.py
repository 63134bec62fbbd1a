import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.aggregation import token_weights
from boresight.objectives.masking import masked_mean
from boresight.objectives.ppo import ppo_policy_loss


def test_weights_give_both_means_of_two_other_implementations(golden) -> None:
    case, gae = golden["ppo_policy"], golden["gae"]
    mask = torch.tensor(gae["mask"]).bool()
    loss = ppo_policy_loss(
        policy_logp=torch.tensor(case["policy_logp"], dtype=torch.float64),
        old_logp=torch.tensor(case["old_logp"], dtype=torch.float64),
        advantage=torch.tensor(gae["advantage"], dtype=torch.float64),
        mask=mask,
        clip_range=case["clip_range"],
    ).loss
    for aggregation, expected in (
        ("token_mean", case["loss_token_mean"]),
        ("sequence_mean", case["loss_mean_of_response_means"]),
    ):
        weights = token_weights(mask.sum(1), aggregation)
        total = (loss * weights[:, None]).sum() / mask.sum()
        assert total.item() == pytest.approx(expected, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 2**32 - 1))
def test_weights_of_a_sequence_mean_are_those_of_the_mean_of_means(lengths: list[int], seed: int) -> None:
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    loss = torch.randn(mask.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * mask
    weights = token_weights(torch.tensor(lengths), "sequence_mean")
    assert ((loss * weights[:, None]).sum() / sum(lengths)).item() == pytest.approx(
        masked_mean(loss, mask, 1).mean().item()
    )
    assert (weights * torch.tensor(lengths)).sum().item() == pytest.approx(sum(lengths))  # no weight is lost
