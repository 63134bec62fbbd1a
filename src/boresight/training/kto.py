"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): good responses above, bad ones below what is usual."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from boresight.config.sections import KTOStage
from boresight.data.batches import BatchOrder, collate_responses
from boresight.data.tokenize import EncodedResponse
from boresight.models.roles import FrozenPolicy, Policy
from boresight.objectives.kto import kto_baseline, kto_loss
from boresight.objectives.logprobs import logp_mean, logp_sum
from boresight.training.micro_batches import micro_batches
from boresight.training.processes import ALONE, Processes, even_cut
from boresight.training.reference_logps import refuse_another_start
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater


def train_kto(
    config: KTOStage, policy: Policy, reference: FrozenPolicy, responses: Sequence[EncodedResponse], run: Run
) -> None:
    """Train the policy on `responses`; the loss has no unit. Dropout is off.

    Batches are drawn by chance, whatever the lengths. The baseline is taken over each whole batch before any of it is
    learnt from, so that neither micro-batches nor processes change anything. Where the policy starts as the reference,
    the first step must show log-ratios of zero, or the run is stopped.
    """
    policy.model.eval()
    longest = max(response.tokens for response in responses)
    # Rows of like length would often be of one kind: bad answers tend to be longer, or shorter, than good ones. Steps
    # that only raise, and steps that only push down, would take turns.
    # One response alone has no other one's to be held against: its baseline would be its own log-ratio.
    order = BatchOrder([response.tokens for response in responses], config.batch_size, run.seed, bucket=1, least=2)
    total = order.steps(config.epochs)
    updater = Updater([policy.model], config, total=total)
    run.resume(policy=policy.model, updater=updater)
    for step in run.steps(total):
        drawn = [responses[row] for row in order.batch(step)]
        baseline = mismatched_baseline(policy, reference, drawn, longest, run.processes)
        reference_logps = response_logp_sums(reference, drawn, run.processes)
        sums = MetricSums(run.processes)
        own = run.processes.share(range(len(drawn)))
        tokens = [drawn[place].tokens for place in own]
        pieces = micro_batches(own, size=config.micro_batch_size, tokens=tokens, budget=config.micro_batch_tokens)
        for piece in run.processes.in_step(pieces):
            members = [drawn[place] for place in piece]
            batch = collate_responses(members)
            logps = policy.logps(batch.input_ids, batch.response_mask)
            policy_sums = logp_sum(logps.logp, logps.mask)
            reference_sums = reference_logps[piece].to(policy_sums.device)
            if step == 0 and config.policy == config.reference:
                refuse_another_start(policy_sums, reference_sums)
            desirable = torch.tensor([response.desirable for response in members], device=policy_sums.device)
            terms = kto_loss(
                policy_logp_sum=policy_sums,
                reference_logp_sum=reference_sums,
                desirable=desirable,
                baseline=baseline,
                beta=config.beta,
                desirable_weight=config.desirable_weight,
                undesirable_weight=config.undesirable_weight,
            )
            updater.accumulate({"loss/total": terms.loss}, count=len(drawn), step=step, ids=[r.id for r in members])
            sums.add("loss/total", terms.loss)
            for name, side in (("chosen", desirable), ("rejected", ~desirable)):
                sums.add(f"reward/{name}", terms.reward[side])
                sums.add(f"policy/{name}_logp_sum", policy_sums[side])
                sums.add(f"policy/{name}_logp_mean", logp_mean(logps.logp[side], logps.mask[side]))
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[response.id for response in drawn])
        means = sums.means() | {"policy/kl_baseline": float(baseline)}
        if {"reward/chosen", "reward/rejected"} <= means.keys():  # a batch may hold one kind alone
            means["reward/margin"] = means["reward/chosen"] - means["reward/rejected"]
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, means | metrics)
        run.save_if_due(step)


def mismatched_baseline(
    policy: Policy,
    reference: FrozenPolicy,
    batch: Sequence[EncodedResponse],
    longest: int,
    processes: Processes = ALONE,
) -> Tensor:
    """The baseline from each prompt with the response of the row before it, as in the paper; those that come out longer
    than `longest` tokens, which the model may have no room for, are left out."""
    shifted = [replace(row, response_ids=batch[number - 1].response_ids) for number, row in enumerate(batch)]
    fitting = [row for row in shifted if row.tokens <= longest]
    if not fitting:
        return torch.zeros(())
    return kto_baseline(
        policy_logp_sum=response_logp_sums(policy, fitting, processes),
        reference_logp_sum=response_logp_sums(reference, fitting, processes),
    )


@torch.no_grad()
def response_logp_sums(
    policy: Policy | FrozenPolicy, responses: Sequence[EncodedResponse], processes: Processes = ALONE
) -> Tensor:
    """(responses,) log-probability sums on the CPU, nats, without gradient. Each process computes a part of them."""
    result = torch.zeros(len(responses))
    parts = [part for part in even_cut(len(responses), processes.count) if part.start < part.stop]
    for part, counts in processes.turns(parts):
        batch = collate_responses(responses[part])
        logps = policy.logps(batch.input_ids, batch.response_mask)
        if counts:
            result[part] = logp_sum(logps.logp, logps.mask).cpu()
    processes.sum_into(result)
    return result
