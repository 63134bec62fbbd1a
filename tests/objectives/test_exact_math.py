"""The objectives against a world small enough to know: every response, its probability and the exact optimum.

A vocabulary of 4 with token 0 as the stop token and at most 3 tokens makes 40 responses; the policy is a table of
logits, one row for each prefix. Expectations are sums over all responses, so equalities hold to rounding.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from boresight.objectives.advantages import gae, kl_shaped_reward
from boresight.objectives.dpo import dpo_loss
from boresight.objectives.kl import k1, k2, k3, kl_exact
from boresight.objectives.logprobs import logp_sum, token_logps
from boresight.objectives.masking import masked_sum
from boresight.objectives.ppo import ppo_policy_loss
from boresight.objectives.rloo import leave_one_out_advantage, rloo_loss

VOCABULARY, LENGTH, STOP = 4, 3, 0
BETA = 0.5


@dataclass(frozen=True)
class World:
    tokens: Tensor  # (responses, tokens) int, 0 beyond the end
    mask: Tensor  # (responses, tokens) bool
    prefix: Tensor  # (responses, tokens) int, row of the table that each token is drawn from
    prefixes: int
    reference: Tensor  # (prefixes, vocabulary) logits
    score: Tensor  # (responses,)

    def logp(self, table: Tensor) -> Tensor:
        """(responses, tokens) log-probabilities under a policy's table."""
        return token_logps(table[self.prefix], self.tokens, mask=self.mask)

    def probability(self, table: Tensor) -> Tensor:
        return logp_sum(self.logp(table), self.mask).exp()

    def objective(self, table: Tensor) -> Tensor:
        """What PPO, RLOO and DPO all maximise: expected score minus BETA times the KL of whole responses."""
        logp = logp_sum(self.logp(table), self.mask)
        reference = logp_sum(self.logp(self.reference), self.mask)
        return (logp.exp() * (self.score - BETA * (logp - reference))).sum()


@pytest.fixture(scope="module")
def world() -> World:
    responses: list[tuple[int, ...]] = []
    unfinished: list[tuple[int, ...]] = [()]
    prefixes: dict[tuple[int, ...], int] = {}
    for _ in range(LENGTH):
        prefixes |= {prefix: len(prefixes) + i for i, prefix in enumerate(unfinished)}
        grown = [(*prefix, token) for prefix in unfinished for token in range(VOCABULARY)]
        responses += [response for response in grown if response[-1] == STOP or len(response) == LENGTH]
        unfinished = [response for response in grown if response[-1] != STOP]
    pad = [(0,) * (LENGTH - len(response)) for response in responses]
    generator = torch.Generator().manual_seed(0)
    return World(
        tokens=torch.tensor([[*r, *p] for r, p in zip(responses, pad, strict=True)]),
        mask=torch.tensor([[t < len(r) for t in range(LENGTH)] for r in responses]),
        prefix=torch.tensor([[prefixes.get(r[:t], 0) if t < len(r) else 0 for t in range(LENGTH)] for r in responses]),
        prefixes=len(prefixes),
        reference=torch.randn(len(prefixes), VOCABULARY, generator=generator, dtype=torch.float64),
        score=torch.randn(len(responses), generator=generator, dtype=torch.float64),
    )


@pytest.fixture
def policy(world: World) -> Tensor:
    noise = torch.randn(world.reference.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (world.reference + noise).requires_grad_()


def optimum(world: World) -> Tensor:
    """reference * e^(score / BETA), normalised: (responses,) probabilities."""
    return torch.softmax(world.probability(world.reference).log() + world.score / BETA, 0)


def test_the_responses_are_all_there_are(world, policy):
    assert len(world.tokens) == 1 + 3 + 9 * 4
    torch.testing.assert_close(world.probability(policy).sum().item(), 1.0)


def test_kl_of_responses_is_the_expected_exact_kl_of_their_tokens(world, policy):
    probability = world.probability(policy)
    log_ratio = k1(policy_logp=world.logp(policy), reference_logp=world.logp(world.reference), mask=world.mask)
    of_responses = (probability * log_ratio.sum(1)).sum()
    token_kl = kl_exact(
        policy_logits=policy[world.prefix], reference_logits=world.reference[world.prefix], mask=world.mask
    )
    torch.testing.assert_close((probability * token_kl.sum(1)).sum(), of_responses)


def test_sampled_estimators_agree_with_exact_sums_within_four_standard_errors(world, policy):
    policy = policy.detach()
    probability = world.probability(policy)
    draws = torch.multinomial(probability, 20_000, replacement=True, generator=torch.Generator().manual_seed(2))
    logps = {"policy_logp": world.logp(policy), "reference_logp": world.logp(world.reference)}
    token_kl = kl_exact(policy_logits=policy, reference_logits=world.reference)[world.prefix]
    exact_kl = (probability * masked_sum(token_kl, world.mask, 1)).sum().item()
    of_responses = {estimator: estimator(**logps, mask=world.mask).sum(1) for estimator in (k1, k2, k3)}
    expectation = {estimator: (probability * value).sum().item() for estimator, value in of_responses.items()}
    for estimator, value in of_responses.items():
        sample = value[draws]
        standard_error = (sample.std() / len(sample) ** 0.5).item()
        assert abs(sample.mean().item() - expectation[estimator]) < 4.0 * standard_error
    assert expectation[k1] == pytest.approx(exact_kl, rel=1e-12)
    assert expectation[k3] == pytest.approx(exact_kl, rel=1e-12)
    assert abs(expectation[k2] / exact_kl - 1.0) > 0.01  # biased


@pytest.mark.parametrize("gae_lambda", [1.0, 0.0])
def test_expected_ppo_gradient_is_the_gradient_of_the_kl_regularised_objective(world, policy, gae_lambda):
    """With lambda 1 for any value model; with lambda 0 for the exact one."""
    logp, reference_logp = world.logp(policy), world.logp(world.reference)
    reward = kl_shaped_reward(world.score, logp, reference_logp, world.mask, kl_coefficient=BETA, estimator="k1")
    probability = world.probability(policy).detach()
    if gae_lambda == 1.0:
        values = torch.randn(world.prefixes, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    else:
        values = exact_values(world, reward, probability)
    advantage = gae(reward, values[world.prefix], world.mask, gamma=1.0, gae_lambda=gae_lambda).advantage
    terms = ppo_policy_loss(
        policy_logp=logp, old_logp=logp.detach(), advantage=advantage, mask=world.mask, clip_range=0.2
    )
    (gradient,) = torch.autograd.grad((probability.unsqueeze(1) * terms.loss).sum(), policy)
    (exact,) = torch.autograd.grad(world.objective(policy), policy)
    assert exact.abs().max() > 0.01
    torch.testing.assert_close(gradient, -exact, rtol=1e-10, atol=1e-12)


def exact_values(world: World, reward: Tensor, probability: Tensor) -> Tensor:
    """(prefixes,) expected reward from each prefix on."""
    to_go = reward.flip(1).cumsum(1).flip(1)  # (responses, tokens)
    weight = (probability.unsqueeze(1) * world.mask).flatten()
    total = torch.zeros(world.prefixes, dtype=torch.float64)
    mass = total.clone()
    total.index_add_(0, world.prefix.flatten(), weight * to_go.flatten())
    mass.index_add_(0, world.prefix.flatten(), weight)
    return total / mass


def test_expected_rloo_gradient_is_the_gradient_of_the_kl_regularised_objective(world, policy):
    """Two responses a prompt: the expectation runs over all pairs of responses."""
    logp, reference_logp = world.logp(policy), world.logp(world.reference)
    reward = kl_shaped_reward(world.score, logp, reference_logp, world.mask, kl_coefficient=BETA, estimator="k1").sum(1)
    count = len(reward)
    groups = torch.cartesian_prod(torch.arange(count), torch.arange(count))  # (pairs, 2)
    advantage = leave_one_out_advantage(reward[groups])
    probability = world.probability(policy).detach()[groups].prod(1)
    terms = rloo_loss(
        policy_logp=logp[groups].flatten(0, 1),
        old_logp=logp.detach()[groups].flatten(0, 1),
        advantage=advantage.flatten(),
        mask=world.mask[groups].flatten(0, 1),
        clip_range=0.2,
    )
    loss = (probability * terms.loss.view(-1, 2).mean(1)).sum()
    (gradient,) = torch.autograd.grad(loss, policy)
    (exact,) = torch.autograd.grad(world.objective(policy), policy)
    torch.testing.assert_close(gradient, -exact, rtol=1e-10, atol=1e-12)


def test_the_objective_is_greatest_at_reference_times_exponentiated_score(world, policy):
    best = BETA * torch.logsumexp(world.probability(world.reference).log() + world.score / BETA, 0)
    distance = (world.probability(policy) * (world.probability(policy) / optimum(world)).log()).sum()
    torch.testing.assert_close(world.objective(policy), best - BETA * distance)


def test_dpo_on_the_preferences_of_a_bradley_terry_world_reaches_its_exact_optimum(world):
    """Every pair of responses, with the true preference probability as soft label (Rafailov et al. 2023, section 4)."""
    table = world.reference.clone().requires_grad_()
    chosen, rejected = torch.combinations(torch.arange(len(world.score))).T
    p_chosen = torch.sigmoid(world.score[chosen] - world.score[rejected])
    reference = logp_sum(world.logp(world.reference), world.mask)
    optimizer = torch.optim.LBFGS(
        [table], lr=1.0, max_iter=300, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        logp = logp_sum(world.logp(table), world.mask)
        loss = dpo_loss(
            policy_chosen_logp_sum=logp[chosen],
            policy_rejected_logp_sum=logp[rejected],
            reference_chosen_logp_sum=reference[chosen],
            reference_rejected_logp_sum=reference[rejected],
            beta=BETA,
            p_chosen=p_chosen,
        ).loss.mean()
        loss.backward()
        return loss

    start = world.probability(table.detach())
    optimizer.step(closure)
    reached, best = world.probability(table.detach()), optimum(world)
    assert (start * (start / best).log()).sum() > 0.3
    assert (reached * (reached / best).log()).sum().item() == pytest.approx(0.0, abs=1e-6)
