"""Bradley-Terry reward model: a scalar read at the stop token, trained so that chosen outscores rejected."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from boresight.config.sections import RewardModelStage
from boresight.data.batches import BatchOrder
from boresight.data.tokenize import EncodedPair
from boresight.models.loading import scalar_head
from boresight.models.roles import score_rows
from boresight.objectives.bradley_terry import bradley_terry_loss, preference_nll
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater, pair_micro_batches, share_right

QUARTERS = 4
WATCHED = 256  # pairs of a held-out set that are scored while training, at most; the certificate takes all


def train_reward_model(
    config: RewardModelStage,
    model: PreTrainedModel,
    pairs: Sequence[EncodedPair],
    run: Run,
    held_out: Mapping[str, Sequence[EncodedPair]] | None = None,
) -> None:
    """Train body and head on `pairs`; the loss is nats a pair. Dropout is off, as in Stiennon et al. 2020.

    Pairs of each `held_out` set are scored after each quarter of the run, since over-training shows there and not in
    the loss; their metrics have the set's name as their split.
    """
    model.eval()
    head = scalar_head(model)
    watched = {name: rows[:: -(-len(rows) // WATCHED)] for name, rows in (held_out or {}).items() if rows}
    order = BatchOrder([pair.tokens for pair in pairs], config.batch_size, run.seed)
    total = order.steps(config.epochs)
    updater = Updater([model], config, total=total)
    run.resume(model=model, updater=updater)
    for step in run.steps(total):
        rows = order.batch(step)
        sums = MetricSums(run.processes)
        for piece in run.processes.in_step(pair_micro_batches(config, pairs, run.processes.share(rows))):
            batch = [pairs[row] for row in piece]
            chosen, rejected = score_pairs(model, head, batch)
            terms = bradley_terry_loss(
                chosen_score=chosen,
                rejected_score=rejected,
                p_chosen=torch.tensor([pair.p_chosen for pair in batch], device=chosen.device),
                centering_coefficient=config.centering_coefficient,
            )
            updater.accumulate({"loss/preference": terms.loss}, count=len(rows), step=step, ids=[p.id for p in batch])
            sums.add("loss/total", terms.loss)
            sums.add("reward/chosen", chosen)
            sums.add("reward/rejected", rejected)
            sums.add("reward/margin", chosen - rejected)
            sums.add("reward/accuracy", share_right(chosen - rejected))
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pairs[row].id for row in rows])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics)
        if (step + 1) * QUARTERS // total > step * QUARTERS // total:
            for name, held in watched.items():
                run.log(step, held_out_metrics(model, held), split=name)
        run.save_if_due(step)


def held_out_metrics(model: PreTrainedModel, pairs: Sequence[EncodedPair]) -> dict[str, float]:
    """Accuracy (equal scores as halves) and negative log-likelihood (nats a pair, against `p_chosen`)."""
    chosen, rejected = (torch.tensor(scores, dtype=torch.float64) for scores in score_all(model, pairs))
    p_chosen = torch.tensor([pair.p_chosen for pair in pairs], dtype=torch.float64)
    return {
        "eval/accuracy": float(share_right(chosen - rejected).mean()),
        "eval/nll": float(preference_nll(chosen - rejected, p_chosen=p_chosen).mean()),
    }


def score_pairs(model: PreTrainedModel, head: torch.nn.Linear, pairs: Sequence[EncodedPair]) -> tuple[Tensor, Tensor]:
    """(pairs,) scores of the chosen and of the rejected responses, computed in one forward pass."""
    rows = [[*p.prompt_ids, *p.chosen_ids] for p in pairs] + [[*p.prompt_ids, *p.rejected_ids] for p in pairs]
    scores = score_rows(model, head, rows, [len(p.prompt_ids) for p in pairs] * 2)
    return scores[: len(pairs)], scores[len(pairs) :]


@torch.no_grad()
def score_all(
    model: PreTrainedModel, pairs: Sequence[EncodedPair], batch_size: int = 16
) -> tuple[list[float], list[float]]:
    """Scores of every pair, in order: what the certificate is made from. On CPUs small batches are the faster ones."""
    model.eval()
    head = scalar_head(model)
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].tokens, i))
    chosen, rejected = [0.0] * len(pairs), [0.0] * len(pairs)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        scores = score_pairs(model, head, [pairs[row] for row in rows])
        for row, c, r in zip(rows, scores[0].tolist(), scores[1].tolist(), strict=True):
            chosen[row], rejected[row] = c, r
    return chosen, rejected
