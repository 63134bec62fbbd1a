"""Operations and seconds against figures worked out by hand."""

from dataclasses import replace

import pytest

from boresight.config.sections import DPOStage, LoRASection, ORPOStage, PPOStage, RewardModelStage, RLOOStage, SFTStage
from boresight.planning.arithmetic import decode_seconds, forward_flops, training_flops
from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.hardware import Machine, catalogue, this_cpu
from boresight.planning.known_models import find_model
from boresight.planning.queueing import Station, md1_wait
from boresight.planning.stage_time import Speed, StageTime, stage_time
from boresight.planning.workload import Workload, workload_of

LLAMA = find_model("Llama-3.1-8B")[1]
A100 = catalogue()["A100-80GB"]
SPEEDS = load_calibration(SHIPPED)
PAIRS = Workload(examples=1000, prompt_tokens=100, response_tokens=50, responses=2, longest=200)
ONE = Workload(examples=1000, prompt_tokens=100, response_tokens=50, longest=200)


def time_of(stage: object, work: Workload, count: int = 1) -> StageTime:
    speed = Speed.of(Machine(count, A100), SPEEDS, "bfloat16", stage.kind)  # type: ignore[attr-defined]
    found = stage_time(stage, LLAMA, work, speed)  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(("rows", "milliseconds"), [(1, 7.9), (64, 12.1), (128, 16.3)])
def test_sampling_is_as_fast_as_weights_and_cache_are_read(rows: int, milliseconds: float) -> None:
    """8.03e9 x 2 bytes and 1,024 x 128 KiB a row over 2.04 TB/s."""
    seconds = decode_seconds(LLAMA, rows=rows, context=1024, number_bytes=2, bandwidth=2.04e12)
    assert 1000 * seconds == pytest.approx(milliseconds, abs=0.15)


def test_a_reward_model_that_is_too_slow_is_told_with_what_it_needs() -> None:
    """40 % of 312 TFLOP/s over 2 x 8.03e9 x 1,024: 7.6 responses a second; 5.3k tokens a second make 10.4 of 512."""
    service = 0.4 * 312e12 / (2 * 8.03e9 * 1024)
    station = Station(arrivals=5.3e3 / 512, service=service)
    assert service == pytest.approx(7.6, abs=0.05)
    assert station.busy == pytest.approx(1.37, abs=0.02) and station.needed == 2
    assert Station(1.0, 1e9).needed == 1


def test_waiting_by_theory() -> None:
    assert md1_wait(0.5, 1.0) == pytest.approx(0.5) and md1_wait(0.9, 1.0) == pytest.approx(4.5)
    assert md1_wait(1.0, 1.0) == float("inf")


def test_a_forward_pass_is_two_for_each_weight_and_token() -> None:
    work = Workload(examples=1, prompt_tokens=0, response_tokens=8)
    flops = forward_flops(LLAMA, work, head=True)
    assert flops == pytest.approx(
        2 * 8 * (LLAMA.parameters - LLAMA.head_parameters), rel=0.001
    )  # embeddings are looked up
    assert training_flops(LLAMA, work, head=True) == 3 * flops
    assert training_flops(LLAMA, work, head=True, adapters_only=True, checkpointing=True) == 3 * flops
    assert forward_flops(LLAMA, work, head=False) < flops


def test_a_prompt_is_computed_once_for_its_responses() -> None:
    assert PAIRS.tokens == 200 and PAIRS.scored_share == 0.5
    assert workload_of([3, 5], [[1, 3], [2, 2]]) == Workload(
        examples=2, prompt_tokens=4, response_tokens=2, responses=2, longest=7, longest_example=9
    )


def test_methods_take_what_their_passes_take() -> None:
    """In forward passes: SFT and ORPO 3, DPO 4 with the reference's, a reward model 3 without the vocabulary."""
    settings = {"data": "d", "micro_batch_tokens": None}
    orpo = time_of(ORPOStage(kind="orpo", **settings), PAIRS).seconds
    dpo = time_of(DPOStage(kind="dpo", policy="a", reference="a", **settings), PAIRS).seconds
    assert dpo == pytest.approx(orpo * 4 / 3, rel=1e-6)
    assert time_of(RewardModelStage(kind="reward_model", **settings), PAIRS).seconds < orpo
    sft = SFTStage(kind="sft", epochs=1, **settings)
    recomputed = time_of(sft.model_copy(update={"activation_checkpointing": True}), ONE).seconds
    adapted = time_of(sft.model_copy(update={"lora": LoRASection()}), ONE).seconds
    whole = time_of(sft, ONE).seconds
    assert recomputed == pytest.approx(whole * 4 / 3) and adapted == pytest.approx(whole * 2 / 3)
    assert time_of(sft.model_copy(update={"epochs": 3.0}), ONE).seconds == pytest.approx(3 * whole)


def test_adapters_take_on_a_processor_as_much_longer_as_was_measured_there() -> None:
    sft = SFTStage(kind="sft", epochs=1, data="d")
    adapted = sft.model_copy(update={"lora": LoRASection()})

    def seconds(stage: SFTStage, factor: float) -> float:
        speeds = replace(SPEEDS, cpu_adapted=factor, cpu_step_seconds=0.0)
        found = stage_time(stage, LLAMA, ONE, Speed.of(Machine(1, this_cpu(speeds)), speeds, "bfloat16", "sft"))
        assert found is not None
        return found.seconds

    assert seconds(adapted, 1.5) == pytest.approx(1.5 * seconds(adapted, 1.0))
    assert seconds(sft, 1.5) == seconds(sft, 1.0)


def test_policies_sample_and_tell_how_busy_a_reward_model_is() -> None:
    settings = {"policy": "a", "reference": "a", "reward": "r", "prompts": "p", "steps": 2, "max_new_tokens": 50}
    ppo, rloo = (
        time_of(kind(kind=name, responses_per_prompt=4, **settings), ONE)
        for kind, name in ((PPOStage, "ppo"), (RLOOStage, "rloo"))
    )
    assert ppo.sampling == rloo.sampling > 0 and ppo.reward is not None and ppo.reward.busy > 0
    assert ppo.training > rloo.training and ppo.scoring > rloo.scoring
    without = time_of(PPOStage(kind="ppo", **(settings | {"reward": {"kind": "rules"}})), ONE)
    assert without.reward is None


def test_more_gpus_are_faster_until_weights_take_longer_to_travel() -> None:
    sft = SFTStage(kind="sft", data="d", epochs=1, micro_batch_tokens=8192, batch_size=512)
    alone, eight = time_of(sft, ONE).seconds, time_of(sft, ONE, 8).seconds
    assert alone / 9 < eight < alone
    slow = replace(A100, link=1e9)
    travelling = stage_time(sft, LLAMA, ONE, Speed.of(Machine(8, slow), SPEEDS, "bfloat16", "sft"))
    assert travelling is not None and travelling.seconds > 10 * eight


def test_a_policy_step_gathers_each_model_for_its_question_and_thrice_for_each_pass_of_an_update() -> None:
    """Of 8.03e9 x 4 bytes seven eighths come over half a link. By RLOO: to sample, of policy, reference and reward
    model; by 3 for each of four passes, of which each has 16 rows of 150 tokens, all that a minibatch has for a GPU."""
    rloo = RLOOStage(
        kind="rloo", policy="a", reference="a", reward="r", prompts="p", steps=2, max_new_tokens=50,
        prompts_per_step=128, responses_per_prompt=4, minibatches=4, micro_batch_tokens=2400,
    )  # fmt: skip
    alone, eight = time_of(rloo, ONE), time_of(rloo, ONE, 8)
    gathering = 4 * LLAMA.parameters * 7 / 8 / (A100.link / 2)
    assert eight.scoring == pytest.approx(alone.scoring / 8 + 2 * 3 * gathering)
    assert eight.training == pytest.approx(max(alone.training / 8, 2 * 4 * 3 * gathering))
    assert eight.sampling > 2 * gathering and eight.seconds < alone.seconds
