"""Next-token prediction over plain text: the seed of everything where no pretrained base is at hand."""

from collections.abc import Iterable

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from boresight.config.sections import PretrainStage
from boresight.errors import DataError
from boresight.models.response_logps import response_logps
from boresight.models.tiny import END_OF_TEXT
from boresight.objectives.sft import sft_loss
from boresight.training.micro_batches import micro_batches
from boresight.training.run import Run
from boresight.training.step import Updater


def token_rows(tokenizer: PreTrainedTokenizerBase, documents: Iterable[str], length: int) -> Tensor:
    """(rows, length) token ids: documents one after another, parted by the end-of-text token, cut into equal rows.

    What is left over at the end, less than one row, is not used. Raises DataError where there is not one row.
    """
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    tokens = [token for text in documents for token in (*tokenizer.encode(text, add_special_tokens=False), end)]
    rows = len(tokens) // length
    if rows == 0:
        raise DataError(
            f"the documents hold {len(tokens)} tokens, fewer than one row of sequence_length = {length}. Give more "
            "text, or lower sequence_length."
        )
    return torch.tensor(tokens[: rows * length]).view(rows, length)


def train_pretrain(config: PretrainStage, model: PreTrainedModel, rows: Tensor, run: Run) -> None:
    """Train on token ids (rows, tokens) in a fresh order each epoch; the loss is nats a token."""
    model.train()
    updater = Updater([model], config, total=config.steps)
    run.resume(model=model, updater=updater)
    for step in run.steps(config.steps):
        numbers = _rows_of_step(len(rows), config.batch_size, run, step)
        ids = [f"row {number}" for number in numbers.tolist()]
        batch = rows[numbers]
        mask = torch.ones_like(batch, dtype=torch.bool)
        mask[:, 0] = False  # nothing precedes the first token
        count = int(mask.sum())
        loss = 0.0
        tokens = [batch.shape[1]] * len(batch)
        for piece in micro_batches(
            range(len(batch)), size=config.micro_batch_size, tokens=tokens, budget=config.micro_batch_tokens
        ):
            logps = response_logps(model, batch[piece], mask[piece])
            losses = sft_loss(logp=logps.logp, mask=logps.mask)
            updater.accumulate({"loss/nll": losses}, count=count, step=step, ids=[ids[i] for i in piece])
            loss += float(losses.detach().sum()) / count
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=ids)
        run.log(step, {"loss/total": loss, "optim/grad_norm": norm, "optim/learning_rate": rate})
        run.save_if_due(step)


def _rows_of_step(rows: int, batch_size: int, run: Run, step: int) -> Tensor:
    """Row numbers of a step: epochs of seeded permutations laid end to end."""
    positions = torch.arange(step * batch_size, (step + 1) * batch_size)
    epochs = sorted(set((positions // rows).tolist()))
    orders = {epoch: torch.randperm(rows, generator=run.generator("order", epoch)) for epoch in epochs}
    return torch.stack([orders[int(p) // rows][int(p) % rows] for p in positions])
