"""Supervised fine-tuning: cross-entropy over the assistant's tokens, the stop token included."""

from collections.abc import Sequence

from boresight.config.sections import SFTStage
from boresight.data.batches import BatchOrder, collate_sft
from boresight.data.tokenize import Encoded
from boresight.models.roles import Policy
from boresight.objectives.sft import sft_loss
from boresight.training.micro_batches import micro_batches
from boresight.training.run import Run
from boresight.training.step import Updater


def train_sft(config: SFTStage, policy: Policy, conversations: Sequence[Encoded], run: Run) -> None:
    """Train the policy on `conversations`; the loss is nats a trained token over the whole global batch."""
    policy.model.train()
    order = BatchOrder([len(c.input_ids) for c in conversations], config.batch_size, run.seed)
    total = config.steps if config.steps is not None else order.steps(config.epochs or 1.0)
    updater = Updater([policy.model], config, total=total)
    run.resume(policy=policy.model, updater=updater)
    for step in run.steps(total):
        rows = order.batch(step)
        count = sum(sum(conversations[row].response_mask) for row in rows)
        loss = 0.0
        own = run.processes.share(rows)
        tokens = [len(conversations[row].input_ids) for row in own]
        pieces = micro_batches(own, size=config.micro_batch_size, tokens=tokens, budget=config.micro_batch_tokens)
        for piece in run.processes.in_step(pieces):
            batch = collate_sft([conversations[row] for row in piece])
            logps = policy.logps(batch.input_ids, batch.response_mask)
            losses = sft_loss(logp=logps.logp, mask=logps.mask)
            updater.accumulate({"loss/nll": losses}, count=count, step=step, ids=batch.ids)
            loss += float(losses.detach().sum()) / count
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[conversations[row].id for row in rows])
        (loss,) = run.processes.sums([loss])
        run.log(
            step,
            {
                "loss/total": loss,
                "optim/grad_norm": norm,
                "optim/learning_rate": rate,
                "data/epoch": order.epoch(step),
            },
        )
        run.save_if_due(step)
