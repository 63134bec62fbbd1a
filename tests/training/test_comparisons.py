"""Rankings as one example each: every response scored once, every pair weighed as in a loop over pairs."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boresight.data.tokenize import EncodedPair
from boresight.errors import DataError
from boresight.models.loading import scalar_head
from boresight.models.roles import score_rows
from boresight.objectives.bradley_terry import bradley_terry_loss, plackett_luce_nll
from boresight.runlog.reader import read_metrics
from boresight.training import reward_model
from boresight.training.comparisons import collate_comparisons, comparisons
from boresight.training.reward_model import comparison_losses, score_all, score_pairs, train_reward_model

from . import tiny_world as tiny

RANKED = [*tiny.ranked(["aaaa", "aab", "abcd", "bb"], "k4"), *tiny.ranked(["aa", "b", "cc"], "k3", prompt=1)]
SINGLE = [replace(pair, p_chosen=0.7, strength=2.0) for pair in tiny.pairs(2, seed=5)]


def test_pairs_of_one_ranking_are_one_example_and_others_stay_alone() -> None:
    pairs = [RANKED[0], *SINGLE, *RANKED[1:]]
    examples = comparisons(pairs, together=True)
    assert [len(example.responses) for example in examples] == [4, 2, 2, 3]
    assert [len(example.pairs) for example in examples] == [6, 1, 1, 3]
    assert examples[0].places == list(combinations(range(4), 2))
    assert [pair.id for example in examples for pair in example.pairs].count("k4#0-1") == 1
    assert len(comparisons(pairs, together=False)) == len(pairs)


def test_one_ranking_id_under_two_prompts_is_two_rankings() -> None:
    twice = [*tiny.ranked(["aa", "b"], "same"), *tiny.ranked(["aa", "b"], "same", prompt=1)]
    assert len(comparisons(twice, together=True)) == 2


def test_each_response_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []

    def counted(model: Any, head: Any, rows: Sequence[list[int]], lengths: Sequence[int]) -> Tensor:
        seen.extend(rows)
        return score_rows(model, head, rows, lengths)

    monkeypatch.setattr(reward_model, "score_rows", counted)
    train_reward_model(tiny.reward_config(rankings="pairwise"), tiny.scorer(tmp_path), RANKED, tiny.run_in(tmp_path))
    assert len(seen) == len({tuple(row) for row in seen}) == 4 + 3


@pytest.mark.parametrize("size", [1, None])
def test_loss_and_gradient_equal_those_of_a_loop_over_pairs(size: int | None, tmp_path: Path) -> None:
    """Each pair scored by itself, its loss weighing 1 / C(K, 2), then the mean over rankings (Ouyang et al. 2022)."""
    config = tiny.reward_config(
        rankings="pairwise", centering_coefficient=0.1, label_smoothing=0.1, margin_per_strength=0.5
    )
    pairs = [*RANKED, *SINGLE]
    of_its_ranking = [6] * 6 + [3] * 3 + [1, 1]
    looped = tiny.scorer(tmp_path).eval()
    total = torch.zeros(())
    for pair, count in zip(pairs, of_its_ranking, strict=True):
        chosen, rejected = score_pairs(looped, scalar_head(looped), [pair])
        loss = bradley_terry_loss(
            chosen_score=chosen,
            rejected_score=rejected,
            margin=torch.tensor([0.5 * (pair.strength or 0.0)]),
            p_chosen=torch.tensor([pair.p_chosen]),
            label_smoothing=0.1,
            centering_coefficient=0.1,
        ).loss
        total = total + loss.sum() / count / 4
    total.backward()

    model = tiny.scorer(tmp_path).eval()
    examples = comparisons(pairs, together=True)
    found = torch.zeros(())
    for start in range(0, 4, size or 4):
        batch = collate_comparisons(examples[start : start + (size or 4)])
        scores = score_rows(model, scalar_head(model), batch.rows, batch.prompt_lengths)
        loss = comparison_losses(config, batch, scores).sum() / 4
        loss.backward()
        found = found + loss.detach()
    assert float(found) == pytest.approx(float(total.detach()), rel=1e-5)
    for one, other in zip(model.parameters(), looped.parameters(), strict=True):
        if other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


def test_an_order_has_the_plackett_luce_loss_of_its_scores(tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path).eval()
    turned = replace(SINGLE[0], p_chosen=0.0)
    tie = replace(SINGLE[1], p_chosen=0.5)
    batch = collate_comparisons(comparisons([*RANKED, turned, tie], together=True))
    with torch.no_grad():
        scores = score_rows(model, scalar_head(model), batch.rows, batch.prompt_lengths)
        losses = comparison_losses(tiny.reward_config(rankings="listwise", centering_coefficient=0.0), batch, scores)
        of_k4 = torch.stack([scores[batch.row_of[0, k]] for k in range(4)])[None]
        chosen, rejected = score_pairs(model, scalar_head(model), [turned])
    order = torch.ones(1, 4, 4).triu(1).bool()
    assert float(losses[0]) == pytest.approx(float(plackett_luce_nll(score=of_k4, preferred=order)), rel=1e-5)
    assert float(losses[2]) == pytest.approx(float(torch.log1p(torch.exp(chosen - rejected))), rel=1e-4)
    assert float(losses[3]) == 0.0


@pytest.mark.parametrize("choice", ["pairwise", "listwise"])
def test_rankings_are_learnt_and_hold_on_pairs_never_seen(choice: str, tmp_path: Path) -> None:
    model = tiny.scorer(tmp_path)
    config = tiny.reward_config(rankings=choice, epochs=4, batch_size=16, learning_rate=1e-2)
    train_reward_model(config, model, tiny.rankings(128), tiny.run_in(tmp_path, checkpoint_every=1000))
    chosen, rejected = score_all(model, tiny.pairs(100, seed=1))
    assert sum(c > r for c, r in zip(chosen, rejected, strict=True)) > 90
    table = read_metrics(tmp_path / "metrics.jsonl")
    assert len(table.series("loss/total")) == 4 * 128 / 16
    assert table.last("reward/accuracy") > 0.85


def test_margin_holds_the_scores_apart_by_the_strength(tmp_path: Path) -> None:
    apart = []
    for coefficient in (0.0, 1.0):
        model = tiny.scorer(tmp_path)
        pairs = [replace(pair, strength=3.0, p_chosen=0.9) for pair in tiny.pairs(16)]
        config = tiny.reward_config(epochs=40, batch_size=16, margin_per_strength=coefficient)
        train_reward_model(config, model, pairs, tiny.run_in(tmp_path / str(coefficient), checkpoint_every=1000))
        chosen, rejected = score_all(model, pairs)
        apart.append(sum(c - r for c, r in zip(chosen, rejected, strict=True)) / len(pairs))
    assert apart[0] == pytest.approx(2.2, abs=0.4)  # log(0.9 / 0.1) without a margin
    assert apart[1] > apart[0] + 1.0


@pytest.mark.parametrize(
    ("pairs", "settings", "message"),
    [
        (
            SINGLE,
            {"rankings": "listwise"},
            r"pair 'pair0': p_chosen is 0\.7, a soft label, which an order .* has no use",
        ),
        (RANKED, {"margin_per_strength": 1.0}, r"margin_per_strength is 1, but none of the 9 pairs has a strength"),
        (
            [replace(SINGLE[0], strength=-1.0)],
            {"margin_per_strength": 1.0},
            r"pair 'pair0': strength is -1; expected 0 or more",
        ),
    ],
    ids=["soft label in an order", "no strength", "negative strength"],
)
def test_labels_that_do_not_fit_the_settings_are_refused_before_training(
    pairs: list[EncodedPair], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        train_reward_model(tiny.reward_config(**settings), tiny.scorer(tmp_path), pairs, tiny.run_in(tmp_path))
    assert not (tmp_path / "metrics.jsonl").exists()
