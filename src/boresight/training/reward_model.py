"""Bradley-Terry reward model: a scalar read at the stop token, trained so that chosen outscores rejected."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from boresight.config.sections import RewardModelStage
from boresight.data.batches import BatchOrder
from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError
from boresight.models.loading import scalar_head
from boresight.models.roles import score_rows
from boresight.objectives.bradley_terry import bradley_terry_loss, plackett_luce_nll, preference_nll
from boresight.stats.calibration import expected_calibration_error, preference_reliability
from boresight.training.comparisons import ComparisonBatch, collate_comparisons, comparisons
from boresight.training.early_stopping import EarlyStopping
from boresight.training.gradient_noise import GradientNoise
from boresight.training.micro_batches import micro_batches
from boresight.training.pair_metrics import add_rewards
from boresight.training.run import Run
from boresight.training.step import MetricSums, Updater, share_right

QUARTERS = 4
WATCHED = 256  # pairs of a held-out set that are scored while training, at most; the certificate takes all


def train_reward_model(
    config: RewardModelStage,
    model: PreTrainedModel,
    pairs: Sequence[EncodedPair],
    run: Run,
    held_out: Mapping[str, Sequence[EncodedPair]] | None = None,
) -> EarlyStopping | None:
    """Train body and head on `pairs`; the loss is nats a pair. Dropout is off, as in Stiennon et al. 2020.

    Pairs of each `held_out` set are scored every `evaluate_every` steps, or after each quarter of the run, since
    over-training shows there and not in the loss; their metrics have the set's name as their split. With early stopping
    the model ends with the weights of its best look, which is returned. Raises DataError where the set that decides
    has no pairs.
    """
    model.eval()
    head = scalar_head(model)
    watched = {name: rows[:: -(-len(rows) // WATCHED)] for name, rows in (held_out or {}).items() if rows}
    _check_labels(config, pairs)
    examples = comparisons(pairs, together=config.rankings != "as_pairs")
    order = BatchOrder([example.longest for example in examples], config.batch_size, run.seed)
    total = order.steps(config.epochs)
    noise = GradientNoise() if config.gradient_noise_scale else None
    updater = Updater([model], config, total=total, noise=noise)
    stopping = _early_stopping(config, model, watched)
    run.resume(model=model, updater=updater, **({"early_stopping": stopping} if stopping else {}))
    for step in run.steps(total):
        if stopping is not None and stopping.stopped:
            break
        rows = order.batch(step)
        sums = MetricSums(run.processes)
        own = run.processes.share(rows)
        tokens = [examples[row].tokens for row in own]
        pieces = micro_batches(own, size=config.micro_batch_size, tokens=tokens, budget=config.micro_batch_tokens)
        for piece in run.processes.in_step(pieces):
            batch = collate_comparisons([examples[row] for row in piece])
            scores = score_rows(model, head, batch.rows, batch.prompt_lengths)
            chosen, rejected = scores[batch.chosen], scores[batch.rejected]
            losses = comparison_losses(config, batch, scores)
            updater.accumulate({"loss/preference": losses}, count=len(rows), step=step, ids=batch.ids)
            sums.add("loss/total", losses)
            add_rewards(sums, chosen, rejected, batch.p_chosen)
        rate = updater.learning_rate
        norm = updater.apply(step=step, ids=[pair.id for row in rows for pair in examples[row].pairs])
        metrics = {"optim/grad_norm": norm, "optim/learning_rate": rate, "data/epoch": order.epoch(step)}
        run.log(step, sums.means() | metrics | updater.noise_metrics())
        if _look_is_due(step, total, config.evaluate_every):
            for name, held in watched.items():
                found = held_out_metrics(model, held)
                run.log(step, found, split=name)
                if stopping is not None and name == config.early_stopping_on:
                    stopping.look(step, found["eval/nll"])
        run.save_if_due(step)
    if stopping is not None:
        stopping.restore_best()
    return stopping


def comparison_losses(config: RewardModelStage, batch: ComparisonBatch, scores: Tensor) -> Tensor:
    """(examples,) losses in nats from the (rows,) scores of a batch; a pair is an example as good as a ranking."""

    def over_pairs(values: Tensor) -> Tensor:
        """(examples,) means over the pairs of each example."""
        weighted = batch.weight.to(values.device) * values
        return values.new_zeros(len(batch.row_of)).index_add(0, batch.example.to(values.device), weighted)

    terms = bradley_terry_loss(
        chosen_score=scores[batch.chosen],
        rejected_score=scores[batch.rejected],
        margin=config.margin_per_strength * batch.strength.to(scores.device),
        p_chosen=batch.p_chosen.to(scores.device),
        label_smoothing=config.label_smoothing,
        centering_coefficient=config.centering_coefficient,
    )
    if config.rankings != "listwise":
        return over_pairs(terms.loss)
    orders = plackett_luce_nll(score=scores[batch.row_of], preferred=batch.preferred.to(scores.device))
    return orders + config.centering_coefficient * over_pairs(terms.centering)


def _check_labels(config: RewardModelStage, pairs: Sequence[EncodedPair]) -> None:
    """Raise DataError where the labels lack what the settings ask for, or say what the loss has no use for."""
    soft = next((pair for pair in pairs if pair.p_chosen not in (0.0, 0.5, 1.0)), None)
    if config.rankings == "listwise" and soft is not None:
        raise DataError(
            f"pair {soft.id!r}: p_chosen is {soft.p_chosen:g}, a soft label, which an order (rankings: listwise) has "
            "no use for; expected 0, 0.5 or 1. Use `rankings: pairwise`, or give hard labels."
        )
    if config.margin_per_strength == 0.0:
        return
    if all(pair.strength is None for pair in pairs):
        raise DataError(
            f"margin_per_strength is {config.margin_per_strength:g}, but none of the {len(pairs)} pairs has a "
            "strength. Give the records one, or set margin_per_strength to 0."
        )
    negative = next((pair for pair in pairs if (pair.strength or 0.0) < 0.0), None)
    if negative is not None:
        raise DataError(
            f"pair {negative.id!r}: strength is {negative.strength:g}; expected 0 or more, since it is that of the "
            "preference for the chosen response. Exchange chosen and rejected, or correct the record."
        )


def _early_stopping(
    config: RewardModelStage, model: PreTrainedModel, watched: Mapping[str, Sequence[EncodedPair]]
) -> EarlyStopping | None:
    if config.early_stopping_patience is None:
        return None
    if config.early_stopping_on not in watched:
        raise DataError(
            f"early_stopping_on: the held-out set {config.early_stopping_on!r} has no pairs (sets with pairs: "
            f"{', '.join(watched) or 'none'}). Hold pairs out (`held_out_fraction` of the preferences stage), name a "
            "file under `held_out`, or take early_stopping_patience out."
        )
    return EarlyStopping(model, config.early_stopping_patience)


def _look_is_due(step: int, total: int, every: int | None) -> bool:
    if every is None:
        return (step + 1) * QUARTERS // total > step * QUARTERS // total
    return (step + 1) % every == 0 or step + 1 == total


def held_out_metrics(model: PreTrainedModel, pairs: Sequence[EncodedPair]) -> dict[str, float]:
    """Accuracy (of the pairs with a preference, where there are any; equal scores as halves), negative log-likelihood
    (nats a pair) and expected calibration error, the last two of all pairs against `p_chosen`."""
    chosen, rejected = (torch.tensor(scores, dtype=torch.float64) for scores in score_all(model, pairs))
    p_chosen = torch.tensor([pair.p_chosen for pair in pairs], dtype=torch.float64)
    difference = chosen - rejected
    right = share_right(difference, p_chosen)
    accuracy = {"eval/accuracy": float(right.mean())} if right.numel() else {}
    return accuracy | {
        "eval/nll": float(preference_nll(difference, p_chosen=p_chosen).mean()),
        "eval/ece": expected_calibration_error(preference_reliability(difference.numpy(), p_chosen.numpy())),
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
