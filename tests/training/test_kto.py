from dataclasses import replace
from pathlib import Path

import pytest

from boresight.errors import TrainingError
from boresight.runlog.reader import read_metrics
from boresight.training.kto import mismatched_baseline, response_logp_sums, train_kto
from boresight.training.reference_logps import pair_logp_sums

from . import tiny_world as tiny
from .conftest import Imitator


def test_good_responses_rise_above_bad_ones_also_where_never_seen(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    before = reference.fingerprint()
    config = tiny.kto_config(epochs=4, batch_size=32, beta=0.5, learning_rate=2e-3)
    train_kto(config, policy, reference, tiny.rated(256), tiny.run_in(tmp_path, checkpoint_every=1000))
    table = read_metrics(tmp_path / "metrics.jsonl")
    assert table.series("loss/total")[0].value == pytest.approx(0.5, abs=1e-5)
    assert table.series("policy/kl_baseline")[0].value == pytest.approx(0.0, abs=1e-4)
    last = [loss.value for loss in table.series("loss/total")[-8:]]
    assert table.last("reward/margin") > 1.0 and sum(last) / len(last) < 0.46
    held_out = tiny.pairs(64, seed=1)
    ratio = pair_logp_sums(policy, held_out) - pair_logp_sums(reference, held_out)
    assert float((ratio[:, 0] > ratio[:, 1]).double().mean()) > 0.9
    assert reference.fingerprint() == before


def test_batches_hold_both_kinds_where_length_tells_them_apart(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    rows = [
        row if row.desirable else replace(row, response_ids=[*row.response_ids[:-1], *row.response_ids])
        for row in tiny.rated(128)
    ]
    train_kto(tiny.kto_config(batch_size=16), policy, reference, rows, tiny.run_in(tmp_path, checkpoint_every=1000))
    assert len(read_metrics(tmp_path / "metrics.jsonl").series("reward/margin")) == 128 // 16


def test_verdicts_need_no_partner(imitator: Imitator, tmp_path: Path) -> None:
    """Of each prompt either good or bad responses alone: no pair could be made of them."""
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    good_prompts = [tiny.rated(8)[0].prompt_ids, tiny.rated(8)[2].prompt_ids]
    unpaired = [row for row in tiny.rated(512) if row.desirable == (row.prompt_ids in good_prompts)]
    config = tiny.kto_config(epochs=4, batch_size=32, beta=0.5, learning_rate=3e-3)
    train_kto(config, policy, reference, unpaired, tiny.run_in(tmp_path, checkpoint_every=1000))
    held_out = tiny.pairs(64, seed=1)
    ratio = pair_logp_sums(policy, held_out) - pair_logp_sums(reference, held_out)
    assert float((ratio[:, 0] > ratio[:, 1]).double().mean()) > 0.75


def test_baseline_is_that_of_prompts_with_the_response_before(imitator: Imitator) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=3))
    rows = tiny.rated(6)
    turned = [replace(rows[i], response_ids=rows[i - 1].response_ids) for i in range(6)]
    ratio = response_logp_sums(policy, turned) - response_logp_sums(reference, turned)
    assert float(ratio.mean()) > 1.0
    found = mismatched_baseline(policy, reference, rows, longest=1000)
    assert float(found) == pytest.approx(float(ratio.mean()), rel=1e-5)


def test_no_response_is_the_baseline_of_itself(imitator: Imitator, tmp_path: Path) -> None:
    """Of 9 responses in batches of 4 one would be left for a step of its own."""
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    rows = tiny.rated(10)[:9]
    train_kto(tiny.kto_config(batch_size=4), policy, reference, rows, tiny.run_in(tmp_path))
    assert len(read_metrics(tmp_path / "metrics.jsonl").series("loss/total")) == 2


def test_mismatched_conversations_longer_than_any_of_the_data_are_left_out(imitator: Imitator) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=3))
    short, long = tiny.rated(2)
    long = replace(long, prompt_ids=[*long.prompt_ids[:-1], *long.prompt_ids], response_ids=long.response_ids[-1:])
    rows = [short, long]
    longest = max(row.tokens for row in rows)
    fits = [replace(short, response_ids=long.response_ids)]
    assert replace(long, response_ids=short.response_ids).tokens > longest
    ratio = response_logp_sums(policy, fits) - response_logp_sums(reference, fits)
    found = mismatched_baseline(policy, reference, rows, longest)
    assert float(found) == pytest.approx(max(0.0, float(ratio)), abs=1e-5)
    assert float(mismatched_baseline(policy, reference, rows, longest=1)) == 0.0


def test_reference_of_other_weights_stops_the_run_before_anything_is_trained(
    imitator: Imitator, tmp_path: Path
) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(tiny.fresh_model(seed=3))
    before = tiny.weights(policy.model)
    with pytest.raises(TrainingError, match=r"step 0: .* differ from the reference's by up to .* nats a response"):
        train_kto(tiny.kto_config(), policy, reference, tiny.rated(8), tiny.run_in(tmp_path))
    tiny.assert_same_weights(policy.model, before)


def test_weights_count_as_often_as_they_say(imitator: Imitator, tmp_path: Path) -> None:
    policy, reference = tiny.policy_of(imitator.model), tiny.reference_of(imitator.model)
    config = tiny.kto_config(desirable_weight=3.0, undesirable_weight=0.5)
    train_kto(config, policy, reference, tiny.rated(8), tiny.run_in(tmp_path))
    first = read_metrics(tmp_path / "metrics.jsonl").series("loss/total")[0].value
    assert first == pytest.approx(0.5 * (3.0 + 0.5) / 2.0, abs=1e-4)
