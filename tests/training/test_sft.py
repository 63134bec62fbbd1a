from pathlib import Path

import pytest
import torch
from torch import nn

from boresight.data.batches import collate_sft
from boresight.errors import TrainingError
from boresight.runlog.reader import read_metrics
from boresight.training.rollout import sample
from boresight.training.sft import train_sft

from . import tiny_world as tiny
from .conftest import Imitator


def test_loss_falls_to_the_entropy_of_the_demonstrations(imitator: Imitator) -> None:
    losses = [value for _, value in imitator.metrics.series("loss/total")]
    assert losses[0] == pytest.approx(5.56, abs=0.2)  # ln 260: every token alike
    # Six letters of four kinds and a stop token that is certain: 6 ln 4 / 7 = 1.19 nats a token at best.
    assert 1.1 < sum(losses[-10:]) / 10 < 1.4


def test_fine_tuned_model_answers_in_the_form_it_was_shown_and_stops(imitator: Imitator) -> None:
    rollout = sample(
        tiny.policy_of(imitator.model), tiny.PROMPTS, responses_per_prompt=16, temperature=1.0, max_new_tokens=12,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert float(rollout.stopped.double().mean()) > 0.95
    in_form = [len(text) == tiny.LENGTH and set(text) <= set(tiny.LETTERS) for text in rollout.texts]
    assert sum(in_form) / len(in_form) > 0.8


def test_steps_follow_from_epochs_where_no_steps_are_given(tmp_path: Path) -> None:
    config = tiny.sft_config(steps=None, epochs=1.5, batch_size=4)
    train_sft(config, tiny.policy_of(tiny.fresh_model()), tiny.conversations(8), tiny.run_in(tmp_path))
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3


def test_loss_is_averaged_over_the_tokens_of_the_whole_batch(tmp_path: Path) -> None:
    long, short = tiny.conversations(2)
    short = type(short)(short.input_ids, [False] * (len(short.input_ids) - 2) + [True, False], "short")
    policy = tiny.policy_of(tiny.fresh_model())
    batch = collate_sft([long, short])
    with torch.no_grad():
        logps = policy.logps(batch.input_ids, batch.response_mask).logp
    expected = -float(logps.sum()) / (sum(long.response_mask) + 1)
    config = tiny.sft_config(steps=1, batch_size=2, micro_batch_size=1)
    train_sft(config, policy, [long, short], tiny.run_in(tmp_path))
    assert read_metrics(tmp_path / "metrics.jsonl").series("loss/total")[0].value == pytest.approx(expected, rel=1e-6)


def test_loss_that_is_not_finite_stops_before_the_update_and_names_the_record(tmp_path: Path) -> None:
    rows = tiny.conversations(8)
    poison = 200  # a byte that stands in one conversation alone
    rows[5].input_ids[2] = poison
    policy = tiny.policy_of(tiny.fresh_model())
    embeddings = policy.model.get_input_embeddings().weight
    policy.model.lm_head.weight = nn.Parameter(embeddings.detach().clone())  # or every row would meet the NaN
    with torch.no_grad():
        embeddings[poison] = torch.nan
    before = tiny.weights(policy.model)
    config = tiny.sft_config(steps=1, batch_size=8, micro_batch_size=1)
    with pytest.raises(TrainingError, match=r"step 0: loss/nll is not finite \(records c5\)\. The weights were not"):
        train_sft(config, policy, rows, tiny.run_in(tmp_path))
    tiny.assert_same_weights(policy.model, before)
    assert not (tmp_path / "metrics.jsonl").exists() and not (tmp_path / "checkpoint.pt").exists()
