from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boresight.errors import CheckpointError
from boresight.models import hidden_states
from boresight.models.roles import StartingPolicy
from boresight.training import reference_logps as module
from boresight.training.reference_logps import pair_logp_sums, reference_logp_sums

from . import tiny_world as tiny
from .conftest import Imitator

PAIRS = tiny.pairs(12)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pairs each pass over a model took."""
    taken: list[int] = []

    def counted(policy: object, pairs: list[object], **options: object) -> torch.Tensor:
        taken.append(len(pairs))
        return pair_logp_sums(policy, pairs, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "pair_logp_sums", counted)
    return taken


def test_a_prompt_is_computed_once_for_both_responses_however_a_batch_is_cut(
    imitator: Imitator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hidden_states, "TOKENS_AT_ONCE", 1)
    reference = tiny.reference_of(imitator.model)
    computed: list[int] = []
    reference.model.base_model.register_forward_pre_hook(
        lambda _, __, keywords: computed.append(keywords["input_ids"].numel()), with_kwargs=True
    )
    pair_logp_sums(reference, PAIRS)
    once = sum(len(pair.prompt_ids) + len(pair.chosen_ids) + len(pair.rejected_ids) for pair in PAIRS)
    assert sum(computed) <= once < sum(2 * len(pair.prompt_ids) for pair in PAIRS) + once


def test_a_second_run_reads_what_the_first_computed(imitator: Imitator, tmp_path: Path, passes: list[int]) -> None:
    first = reference_logp_sums(tiny.reference_of(imitator.model), PAIRS, tmp_path)
    second = reference_logp_sums(tiny.reference_of(imitator.model), PAIRS, tmp_path)
    assert passes == [12] and torch.equal(first, second)
    assert torch.equal(first, pair_logp_sums(tiny.reference_of(imitator.model), PAIRS))


def test_model_under_an_adapter_is_asked_once_and_found_as_the_plain_one(
    imitator: Imitator, tmp_path: Path, passes: list[int]
) -> None:
    policy = tiny.adapted_policy_of(imitator.model)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(0.1)
    under = reference_logp_sums(tiny.reference_under(policy), PAIRS, tmp_path)
    plain = reference_logp_sums(tiny.reference_of(imitator.model), PAIRS, tmp_path)
    assert passes == [12] and torch.equal(under, plain)
    assert not torch.equal(pair_logp_sums(policy, PAIRS), plain)


def test_policy_before_its_first_update_is_its_own_reference_and_keeps_its_mode(
    imitator: Imitator, tmp_path: Path, passes: list[int]
) -> None:
    policy = tiny.policy_of(imitator.model)
    policy.model.train()
    own = reference_logp_sums(StartingPolicy(policy), PAIRS, tmp_path)
    apart = reference_logp_sums(tiny.reference_of(imitator.model), PAIRS, tmp_path)
    assert passes == [12] and torch.equal(own, apart)  # found as the same: equal weights, equal pairs
    assert policy.model.training and all(parameter.requires_grad for parameter in policy.parameters())
    assert all(parameter.grad is None for parameter in policy.parameters())


def test_one_weight_one_token_or_another_arithmetic_is_computed_anew(
    imitator: Imitator, tmp_path: Path, passes: list[int]
) -> None:
    reference = tiny.reference_of(imitator.model)
    kept = reference_logp_sums(reference, PAIRS, tmp_path)
    last = PAIRS[-1]
    changed = replace(last, rejected_ids=[*last.rejected_ids[:-2], last.rejected_ids[-2] + 1, last.rejected_ids[-1]])
    other_data = reference_logp_sums(reference, [*PAIRS[:-1], changed], tmp_path)
    assert not torch.equal(kept, other_data) and torch.equal(kept[:-1], other_data[:-1])
    with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        reference_logp_sums(reference, PAIRS, tmp_path)
    with torch.no_grad():
        list(reference.model.parameters())[-1].view(-1)[3] += 1e-2
    other_weights = reference_logp_sums(reference, PAIRS, tmp_path)
    assert passes == [12] * 4 and not torch.equal(kept, other_weights)


def test_nothing_is_kept_of_a_reference_that_moves(
    imitator: Imitator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = tiny.reference_of(imitator.model)

    def moving(policy: object, pairs: list[object], **options: object) -> torch.Tensor:
        with torch.no_grad():
            next(reference.model.parameters()).view(-1)[0] += 1e-6
        return pair_logp_sums(policy, pairs)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "pair_logp_sums", moving)
    reference_logp_sums(reference, PAIRS, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut short", "other shape", "not finite"])
def test_a_damaged_file_is_refused_by_name(imitator: Imitator, tmp_path: Path, damage: str) -> None:
    reference = tiny.reference_of(imitator.model)
    reference_logp_sums(reference, PAIRS, tmp_path)
    (path,) = tmp_path.iterdir()
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:40])
    else:
        wrong = torch.zeros(5, 2) if damage == "other shape" else torch.full((12, 2), torch.nan)
        module.save_file({module.SUMS: wrong}, path)
    with pytest.raises(CheckpointError, match=r"Remove it|remove it") as caught:
        reference_logp_sums(reference, PAIRS, tmp_path)
    assert path.name in str(caught.value)
