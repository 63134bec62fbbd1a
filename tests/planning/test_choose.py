"""Which method is chosen, why, and what would make another one possible."""

from dataclasses import replace
from typing import Any

import pytest

from boresight.errors import PlanError
from boresight.planning.calibration import SHIPPED, load_calibration
from boresight.planning.case import Case, Elsewhere, read_have
from boresight.planning.choose import Option, choose, judge_method
from boresight.planning.hardware import find_machine
from boresight.planning.known_models import find_model
from boresight.planning.numbers import GIB

SPEEDS = load_calibration(SHIPPED)


def case(model: str = "Llama-3.1-8B", gpus: str = "2xA100-80GB", have: str = "demonstrations,pairs,prompts",
         **settings: Any) -> Case:  # fmt: skip
    name, shape = find_model(model)
    return Case(
        model=name,
        shape=shape,
        machine=find_machine(gpus, SPEEDS),
        calibration=SPEEDS,
        have=read_have(have),
        **settings,
    )


def by_method(chosen: Case) -> dict[str, Option]:
    return {option.method: option for option in choose(chosen)}


def test_eight_billion_on_two_a100_is_orpo_with_dpo_marginal_and_ppo_impossible_unless_adapters_share() -> None:
    options = choose(case())
    found = {option.method: option for option in options}
    assert [option.method for option in options if option.method != "sft"][:2] == ["orpo", "dpo"]
    assert (found["orpo"].verdict, found["dpo"].verdict) == ("fits", "marginal")
    assert found["ppo"].verdict == found["rloo"].verdict == "does not fit"
    assert 16 * 8.03e9 / 2 < found["orpo"].peak < 80 * GIB  # sixteen bytes a parameter, shared, and what passes through
    assert any("reference is asked beforehand" in reason for reason in found["dpo"].reasons)
    assert found["ppo"].peak > (40 / 2 - 4) * 8.03e9  # two models trained, two frozen in float32, each on half a GPU
    assert any("on each of 2 GPUs in stage ppo" in reason for reason in found["ppo"].reasons)
    (way,) = (way for way in found["ppo"].ways if "lora" in way)
    assert "one base" in way
    shared = judge_method(case(finetune="lora"), "ppo")
    assert shared.verdict == "fits" and shared.peak < 60 * GIB and f"{shared.peak / GIB:.1f} GiB" in way


def test_policies_are_shared_by_all_gpus_but_for_the_model_that_is_asked_which_is_whole() -> None:
    """40 bytes a parameter on 8 GPUs, 4 for what is gathered; in 4 bits one process has it all."""
    ppo = next(plan for plan in judge_method(case(gpus="8xA100-80GB"), "ppo").stages if plan.name == "ppo")
    rollout = next(phase for phase in ppo.memory.phases if phase.name == "rollout")
    assert ppo.gpus == 8 and ppo.memory.peak == rollout and rollout.gathered == pytest.approx(4 * 8.03e9, rel=1e-3)
    held = rollout.weights + rollout.optimizer + rollout.frozen
    assert held == pytest.approx((8 + 16 + 8) * 8.03e9 / 8, rel=1e-3)
    alone, many = (judge_method(case(gpus=gpus, finetune="qlora"), "ppo") for gpus in ("A100-80GB", "8xA100-80GB"))
    assert [(p.gpus, p.memory, p.seconds) for p in many.stages if p.section.kind == "ppo"] == [
        (p.gpus, p.memory, p.seconds) for p in alone.stages if p.section.kind == "ppo"
    ]


def test_with_room_for_everything_the_simple_comes_before_the_costly_unless_quality_is_asked_for() -> None:
    roomy = case("Qwen2.5-0.5B", "H200-141GB")
    assert choose(roomy)[0].method == "dpo"
    assert choose(replace(roomy, prefer="quality"))[0].method == "ppo"
    cheapest = choose(replace(roomy, prefer="cost"))[0]
    assert cheapest.method == "orpo" and cheapest.hours == min(o.hours for o in choose(roomy) if o.method != "sft")


def test_where_a_program_can_check_answers_no_reward_model_is_trained() -> None:
    found = choose(case("Qwen2.5-0.5B", "H200-141GB", have="verifiable", tuned=True))
    assert found[0].method == "rloo" and "scorer" not in found[0].sections
    assert {o.method: o.verdict for o in found}["dpo"] == "lacks data"


@pytest.mark.parametrize(
    ("have", "tuned", "feasible"),
    [
        ("demonstrations", False, {"sft"}),
        ("pairs", False, {"orpo"}),
        ("pairs", True, {"orpo", "dpo", "rloo", "ppo"}),
        ("demonstrations,rankings", False, {"sft", "orpo", "dpo", "rloo", "ppo"}),
        ("prompts", True, set()),
        ("prompts,judge", True, {"orpo", "dpo", "rloo", "ppo"}),
    ],
)
def test_methods_need_their_data(have: str, tuned: bool, feasible: set[str]) -> None:
    found = by_method(case("Qwen2.5-0.5B", "H200-141GB", have=have, tuned=tuned))
    assert {name for name, option in found.items() if option.feasible} == feasible
    lacking = [option for option in found.values() if not option.feasible]
    assert all(option.verdict == "lacks data" and option.ways for option in lacking)


def test_where_it_is_regulated_a_judge_may_not_decide_alone() -> None:
    judged = case("Qwen2.5-0.5B", "H200-141GB", have="prompts,judge", tuned=True)
    assert "labels" in by_method(judged)["dpo"].sections
    refused = by_method(replace(judged, regulated=True))["dpo"]
    assert refused.verdict == "lacks data" and any("regulated" in reason for reason in refused.reasons)
    people = by_method(replace(judged, regulated=True, have=read_have("pairs,judge")))["dpo"]
    assert people.feasible and any("people" in reason for reason in people.reasons)


def test_limits_of_time_and_money_are_kept_and_it_is_said_what_keeps_them() -> None:
    found = by_method(case("Qwen2.5-0.5B", "H200-141GB", cost_per_gpu_hour=3.0))
    dpo = found["dpo"]
    assert dpo.cost == pytest.approx(3.0 * dpo.hours)
    late = judge_method(case("Qwen2.5-0.5B", "H200-141GB", hours=dpo.hours / 2), "dpo")
    assert late.verdict == "over budget" and any(way.startswith("50 %") for way in late.ways)
    dear = judge_method(case("Qwen2.5-0.5B", "H200-141GB", cost_per_gpu_hour=3.0, budget=dpo.cost / 4), "dpo")
    assert dear.verdict == "over budget" and any(way.startswith("25 %") for way in dear.ways)


def test_ppo_on_one_trunk_takes_less_than_separate_models_and_is_offered() -> None:
    single = case("Qwen2.5-1.5B", "1xA100-40GB")
    separate = judge_method(single, "ppo")
    trunk = judge_method(replace(single, roles="one_trunk"), "ppo")
    assert separate.verdict == "does not fit" and trunk.peak < 0.7 * separate.peak
    assert any("one_trunk" in way for way in separate.ways) == (trunk.verdict == "fits")
    with pytest.raises(PlanError, match="--roles shared"):
        replace(single, roles="shared")


def test_what_would_help_does_help() -> None:
    tight = judge_method(case("Llama-3.1-8B", "1xA100-40GB"), "dpo")
    assert tight.verdict == "does not fit" and len(tight.ways) >= 2
    (more,) = (way for way in tight.ways if way.split("x")[0].isdigit() and "A100-40GB" in way)
    assert judge_method(case("Llama-3.1-8B", more.split(":")[0]), "dpo").feasible


def test_longer_rows_and_larger_models_take_more() -> None:
    peaks = [judge_method(case(longest=longest), "orpo").peak for longest in (1024, 2048, 4096)]
    assert peaks == sorted(peaks) and peaks[0] < peaks[2]
    sizes = [judge_method(case(f"Qwen2.5-{size}B"), "orpo").peak for size in ("0.5", "1.5", "7")]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"budget": -5.0, "cost_per_gpu_hour": 1.0}, "--budget -5.0"),
        ({"budget": 5.0}, "needs --cost-per-gpu-hour"),
        ({"hours": 0.0}, "--hours 0.0"),
        ({"hours": float("nan")}, "--hours nan"),
        ({"examples": 0}, "--examples 0"),
        ({"longest": 100}, "--longest 100"),
        ({"cost_per_gpu_hour": float("inf")}, "--cost-per-gpu-hour inf"),
    ],
)
def test_limits_that_are_none_are_refused(settings: dict[str, Any], part: str) -> None:
    with pytest.raises(PlanError) as refused:
        case(**settings)
    assert part in str(refused.value)


def test_what_others_do_is_counted_as_they_do_it_and_said_to_be_theirs() -> None:
    here = judge_method(case(gpus="8xA100-80GB", finetune="lora"), "ppo")

    def peak(method: str = "ppo", finetune: str = "full", **elsewhere: Any) -> tuple[int, Option]:
        option = judge_method(case(gpus="8xA100-80GB", finetune=finetune, elsewhere=Elsewhere(**elsewhere)), method)
        return option.peak, option

    shared, told = peak(formats="mixed", shard=3)
    assert told.feasible and any("another framework" in reason for reason in told.reasons)
    assert peak(formats="mixed", shard=3, engine="colocated")[0] > shared
    assert peak("rloo", formats="mixed", shard=3, engine="apart")[0] < peak("rloo", formats="mixed", shard=3)[0]
    assert peak("sft", formats="pure_bfloat16", shard=0)[0] < peak("sft", formats="mixed", shard=0)[0]
    eight = peak("sft", formats="mixed", shard=0, eight_bit_optimizer=True)[0]
    assert peak("sft", formats="mixed", shard=0, offload=True)[0] < eight < peak("sft", formats="mixed", shard=0)[0]
    assert here.feasible and not any("another framework" in reason for reason in here.reasons)


def test_data_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(PlanError, match=r"--have pears: .* Did you mean pairs"):
        read_have("demonstrations,pears")
    assert read_have("pairs=my/p.csv, judge") == {"pairs": "my/p.csv", "judge": ""}
