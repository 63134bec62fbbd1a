import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.objectives.importance import importance_shares, sampler_gap, truncated_importance

seeds = st.integers(0, 2**32 - 1)


def random_pair(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sampler = -3.0 * torch.rand(3, 5, generator=generator, dtype=torch.float64)
    shift = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    mask = torch.arange(5) < torch.randint(1, 6, (3, 1), generator=generator)
    return {"policy_logp": sampler + shift, "sampler_logp": sampler, "mask": mask}


def test_weights_and_gap_by_hand() -> None:
    ratios = torch.tensor([[0.5, 1.0, 4.0]], dtype=torch.float64)
    pair = {
        "policy_logp": ratios.log() - 1.0,
        "sampler_logp": torch.full((1, 3), -1.0, dtype=torch.float64),
        "mask": torch.ones(1, 3, dtype=torch.bool),
    }
    assert truncated_importance(**pair, cap=2.0).tolist() == [[pytest.approx(0.5), pytest.approx(1.0), 2.0]]
    assert importance_shares(**pair, cap=2.0) == (pytest.approx(3.5 / 3), pytest.approx(1 / 3))
    gap = sampler_gap(**pair)
    # r - 1 - log r at each token, r the ratio of trainer to sampler.
    assert gap.kl.item() == pytest.approx(((0.5 - 1 + math.log(2)) + 0.0 + (4 - 1 - math.log(4))) / 3)
    assert gap.effective_share.item() == pytest.approx(5.5**2 / (3 * (0.25 + 1.0 + 16.0)))


def test_weights_of_draws_from_the_sampler_give_expectations_under_the_policy() -> None:
    """Without a cap that binds, E_q[(p / q) f] = E_p[f], exact over a distribution of three."""
    p, q = torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.4, 0.4, 0.2])
    value = torch.tensor([1.0, -2.0, 5.0])
    mask = torch.ones(3, dtype=torch.bool)
    weights = truncated_importance(policy_logp=p.log(), sampler_logp=q.log(), mask=mask, cap=10.0)
    assert (q * weights * value).sum().item() == pytest.approx((p * value).sum().item())


@settings(deadline=None, max_examples=30)
@given(seed=seeds, cap=st.floats(0.5, 5.0))
def test_weights_lie_below_the_cap_and_are_one_where_nothing_differs(seed: int, cap: float) -> None:
    pair = random_pair(seed)
    weights = truncated_importance(**pair, cap=cap)
    assert ((weights > 0) & (weights <= cap)).all()
    same = truncated_importance(**(pair | {"sampler_logp": pair["policy_logp"]}), cap=2.0)
    assert (same == 1).all()
    gap = sampler_gap(**(pair | {"sampler_logp": pair["policy_logp"]}))
    assert gap.kl == 0 and gap.effective_share == 1


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_nothing_under_the_mask_counts(seed: int) -> None:
    pair = random_pair(seed)
    broken = pair | {name: pair[name].where(pair["mask"], torch.nan) for name in ("policy_logp", "sampler_logp")}
    assert torch.equal(truncated_importance(**broken, cap=2.0), truncated_importance(**pair, cap=2.0))
    assert importance_shares(**broken, cap=2.0) == importance_shares(**pair, cap=2.0)
    assert sampler_gap(**broken) == sampler_gap(**pair)
