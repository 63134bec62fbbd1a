from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.config.load import load_pipeline
from boresight.config.reward_sections import ModelReward, reward_models, reward_parts
from boresight.config.sections import EnsembleReward, PPOStage, ServiceReward
from boresight.pipeline.artifacts import stage_config

from .conftest import WHOLE_PATH

Problems = Callable[[str, str], list[str]]


def with_reward(reward: str, more: str = "") -> str:
    text = f"    reward: {reward}\n{more}"
    assert WHOLE_PATH.count("    reward: scorer\n") == 1
    second = "  second: {kind: reward_model, start: demo, data: pairs}\n  ppo:\n"
    return WHOLE_PATH.replace("    reward: scorer\n", text).replace("  ppo:\n", second)


@pytest.fixture
def rewarded(write: Callable[[str], Path]) -> Callable[..., PPOStage]:
    def load(reward: str, more: str = "") -> PPOStage:
        stage = load_pipeline(write(with_reward(reward, more))).stages["ppo"]
        assert isinstance(stage, PPOStage)
        return stage

    return load


def test_stage_name_is_a_reward_model_alone(rewarded: Callable[..., PPOStage]) -> None:
    assert reward_parts(rewarded("scorer").reward) == [ModelReward(kind="reward_model", model="scorer")]


def test_mapping_is_one_source_and_a_list_several(rewarded: Callable[..., PPOStage]) -> None:
    ensemble = rewarded("{kind: ensemble, models: [scorer, second], combine: min}").reward
    assert isinstance(ensemble, EnsembleReward) and reward_models(ensemble) == ["scorer", "second"]
    both = rewarded("[{kind: reward_model, model: second, weight: 0.5}, {kind: match, pattern: '^a', weight: -1}]")
    assert [part.weight for part in reward_parts(both.reward)] == [0.5, -1.0] and reward_models(both.reward) == [
        "second"
    ]
    served = rewarded("{kind: service, url: 'http://127.0.0.1:8000/'}", "    value_start: policy\n").reward
    assert isinstance(served, ServiceReward) and served.url == "http://127.0.0.1:8000" and reward_models(served) == []


def test_stages_within_a_reward_are_inputs_of_the_stage(write: Callable[[str], Path]) -> None:
    text = with_reward(
        "[{kind: rules}, {kind: ensemble, models: [second, scorer]}, {kind: reward_model, model: scorer}]"
    )
    pipeline = load_pipeline(write(text))
    references = pipeline.references("ppo")
    assert references["reward.models"] == ["second", "scorer"] and references["reward.model"] == ["scorer"]
    order = list(pipeline.stages)
    assert max(order.index("second"), order.index("scorer")) < order.index("ppo")
    (again := write(pipeline.to_yaml())) and load_pipeline(again).references("ppo") == references


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("3", "reward: wrong type: found 3, expected text; put it in quotes"),
        ("{model: scorer}",
         "reward: no kind given; kinds: reward_model, ensemble, rules, answer, match, length, service, judge"),
        ("{kind: ensembl}", 'reward: unknown kind "ensembl"; did you mean "ensemble"?'),
        ("{kind: ensemble, models: [scorer]}", "reward.models: 1 entries; expected at least 2"),
        ("{kind: ensemble, models: [scorer, scorer]}",
         'reward.models[1]: "scorer" stands in the list twice; remove one'),
        ("{kind: reward_model, model: scorr}", 'reward.model: no stage "scorr"; did you mean the stage "scorer"?'),
        ("[{kind: reward_model, model: demo}]", 'reward[0].model: "demo" is an sft stage; expected a stage of kind '
         "reward_model (here: scorer, second)"),
        ("{kind: ensemble, models: [scorer, second], k: 1}",
         "reward.k: unknown key (value 1); known keys: kind, models, combine, deviation_weight, weight"),
        ("[]", "reward: empty; expected at least one entry"),
        ("[scorer]", 'reward[0]: wrong type: found "scorer", expected a mapping of fields to values'),
        ("[{kind: match, pattern: '('}, {kind: reward_model, model: scorer}]",
         'reward[0].pattern: found "("; no regular '
         "expression (missing ), unterminated subpattern at position 0); correct the pattern"),
        ("[{kind: length, min_words: 9, max_words: 3}, {kind: reward_model, model: scorer}]",
         "reward[0].min_words: 9, more than max_words (3); exchange them"),
        ("{kind: rules}", "value_start: reward, but the reward names no reward_model stage; set value_start: policy"),
    ],
)  # fmt: skip
def test_faults_of_a_reward_are_told_at_their_place(
    reward: str, message: str, problems: Callable[..., list[str]]
) -> None:
    (problem,) = problems(with_reward(reward))
    assert problem.partition("stages.ppo.")[2] == message


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "http://", "scorer"])
def test_address_of_a_service_has_scheme_and_host(url: str, problems: Callable[..., list[str]]) -> None:
    (problem,) = problems(with_reward(f"{{kind: service, url: '{url}'}}"))
    assert "expected an address such as http://127.0.0.1:8000" in problem


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("    reward_scale: certificate\n", "certificate, which one reward model alone has"),
        ("    length_penalty: 0.1\n    length_normalized_reward: true\n", "keep one of the two"),
    ],
)
def test_settings_of_a_reward_must_fit_each_other(more: str, message: str, problems: Callable[..., list[str]]) -> None:
    (problem,) = problems(with_reward("{kind: ensemble, models: [scorer, second]}", more))
    assert message in problem


def test_scores_of_whole_responses_are_no_scale_for_scores_a_token(problems: Callable[..., list[str]]) -> None:
    (problem,) = problems(with_reward("scorer", "    reward_scale: certificate\n    length_normalized_reward: true\n"))
    assert "reward_scale: certificate, whose scores are of whole responses, beside length_normalized" in problem


def test_how_a_service_is_asked_does_not_decide_the_result(rewarded: Callable[..., PPOStage]) -> None:
    asked = "{{kind: service, url: 'http://127.0.0.1:8000', patience_seconds: {}}}"
    first, second = (stage_config(rewarded(asked.format(n), "    value_start: policy\n")) for n in (1, 600))
    assert first == second and first["reward"]["url"] == "http://127.0.0.1:8000"


def test_sampler_takes_whole_weights(problems: Callable[..., list[str]]) -> None:
    sampler = "    sampler: {kind: vllm, url: 'http://127.0.0.1:8000/', model: demo, folder: /w}\n    lora: {rank: 2}\n"
    (problem,) = problems(with_reward("scorer", sampler))
    assert "stages.ppo.sampler: vllm beside lora; its server is given whole weights" in problem


def test_how_a_sampler_and_a_judge_are_reached_is_no_part_of_the_key(rewarded: Callable[..., PPOStage]) -> None:
    sampler = "    sampler: {{kind: vllm, url: 'http://h:1', model: demo, folder: {0}}}\n"
    judge = "{{kind: judge, judge: {{kind: openai, base_url: 'http://h/v1', model: {0}, most_at_once: {1}}}}}"
    start = "    value_start: policy\n"
    one = stage_config(rewarded(judge.format("m", 2), sampler.format("/a") + start))
    assert one == stage_config(rewarded(judge.format("m", 9), sampler.format("/b") + start))
    assert one != stage_config(rewarded(judge.format("n", 2), sampler.format("/a") + start))


def test_canary_takes_the_forms_of_a_reward_and_its_stages_are_inputs(write: Callable[[str], Path]) -> None:
    pipeline = load_pipeline(write(with_reward("scorer", "    canary: [{kind: reward_model, model: second}]\n")))
    assert pipeline.references("ppo")["canary.model"] == ["second"]
    stage = pipeline.stages["ppo"]
    assert isinstance(stage, PPOStage)
    assert [part.kind for part in stage.scored] == ["reward_model", "reward_model"] and stage.canary_every == 1


def test_canary_that_is_the_reward_itself_is_refused(problems: Callable[..., list[str]]) -> None:
    (told,) = problems(with_reward("scorer", "    canary: {kind: reward_model, model: scorer}\n"))
    assert "stages.ppo.canary" in told and "no second opinion" in told
