"""Settings that would have no effect: told where they stand, at any other value than the default."""

from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.config.idle_settings import IDLE_SETTINGS
from boresight.config.load import load_pipeline
from boresight.config.sections import RewardModelStage

Write = Callable[[str], Path]
Problems = Callable[..., list[str]]

FILE = """\
run: {name: idle}
stages:
  base: {kind: pretrain, data: data/docs.txt, steps: 4}
  drafts: {kind: sample, policy: base, prompts: data/prompts.jsonl}
  labels: {kind: ai_labels, responses: drafts, judge: {kind: openai, base_url: "http://judge/v1", model: big}}
  pairs: {kind: preferences, sources: [labels]}
  scorer: {kind: reward_model, start: base, data: pairs}
  other: {kind: reward_model, start: base, data: pairs}
  ppo:
    {kind: ppo, policy: base, reference: base, reward: {kind: rules}, value_start: policy, prompts: data/prompts.jsonl,
    steps: 9}
  dpo: {kind: dpo, policy: base, reference: base, data: pairs}
"""
JUDGED = '{kind: judge, judge: {kind: openai, base_url: "http://judge/v1", model: big, clip: 0.1}}'
REVISED = '{by: {kind: openai, base_url: "http://writer/v1", model: big}, '
IDLE = [
    (
        ["base.final_rate_fraction=0.1", "base.schedule=constant"],
        "base.final_rate_fraction: 0.1, but schedule: constant stays at the peak; take it out, or take another "
        "schedule",
    ),
    (
        ["pairs.held_out_groups=paraphrases", "pairs.held_out_fraction=0.0"],
        "pairs.held_out_groups: paraphrases, but held_out_fraction is 0; give it, or take this out",
    ),
    (
        ["pairs.filters.length_unit=characters"],
        "pairs.filters.length_unit: characters, but there is no max_length_ratio; give it, or take this out",
    ),
    (
        ["labels.audit_share=0.5"],
        "labels.audit_share: 0.5, but human_share, of which it is a part, is 0; give it, or take this out",
    ),
    (
        ["scorer.early_stopping_on=people", "scorer.held_out={people: data/pairs.csv}"],
        "scorer.early_stopping_on: people, but nothing stops early without early_stopping_patience; give it, or take "
        "this out",
    ),
    (
        ["scorer.label_smoothing=0.1", "scorer.rankings=listwise"],
        "scorer.label_smoothing: 0.1, but rankings: listwise knows no pairs; set it to 0",
    ),
    (
        ["scorer.margin_per_strength=1.0", "scorer.rankings=listwise"],
        "scorer.margin_per_strength: 1.0, but rankings: listwise knows no pairs; set it to 0",
    ),
    (
        ["scorer.pair_weights=true", "scorer.rankings=listwise"],
        "scorer.pair_weights: true, but rankings: listwise knows no pairs; take it out",
    ),
    (
        ["dpo.label_smoothing=0.1", "dpo.loss=ipo"],
        "dpo.label_smoothing: 0.1, but loss: ipo has no use for it; set it to 0",
    ),
    (["ppo.canary_every=5"], "ppo.canary_every: 5, but there is no canary; give it, or take this out"),
    (
        ["ppo.offload=[reference, reward]"],
        "ppo.offload: reference, reward, but no reward model scores; take reward out",
    ),
    (
        ["ppo.kl_estimator=k3", "ppo.kl_coefficient=0.0"],
        "ppo.kl_estimator: k3, but kl_coefficient is 0; give it, or take this out",
    ),
    (
        ["ppo.missing_stop=subtract", "ppo.missing_stop_penalty=null"],
        "ppo.missing_stop: subtract, but there is no missing_stop_penalty; give it, or take this out",
    ),
    (
        ["ppo.normalization_prompts=32", "ppo.reward_scale=running"],
        "ppo.normalization_prompts: 32, but only reward_scale: reference measures on them; take it out",
    ),
    (
        ["ppo.length_penalty_from=32"],
        "ppo.length_penalty_from: 32, but there is no length_penalty; give it, or take this out",
    ),
    (
        ["ppo.importance_cap=4.0"],
        "ppo.importance_cap: 4.0, but there is no correction; set importance_correction: truncated, or take this out",
    ),
    (
        ["ppo.adapt_kl_limit=4.0"],
        "ppo.adapt_kl_limit: 4.0, but only on_finding: adapt_kl raises the coefficient; take it out",
    ),
    (
        ["ppo.kl_horizon=500.0"],
        "ppo.kl_horizon: 500.0, but without target_kl_per_sequence the coefficient is fixed; give it, or take this out",
    ),
    (
        ["ppo.reward=[{kind: ensemble, models: [scorer, other], combine: min, deviation_weight: 2.0}]"],
        "ppo.reward[0].deviation_weight: 2.0, but only combine: mean_minus_deviation takes it off; take it out",
    ),
    ([f"ppo.canary={JUDGED}"], "ppo.canary.judge.clip: 0.1, but a score is no label; take it out"),
    (
        ["labels.judge.rubric=harmless", "labels.judge.rubric_file=data/docs.txt"],
        "labels.judge.rubric: harmless, but rubric_file stands in its place; keep one of the two",
    ),
    (
        ["drafts.revise={constitution: helpful, constitution_file: data/docs.txt}"],
        "drafts.revise.constitution: helpful, but constitution_file stands in its place; keep one of the two",
    ),
    (
        [f"drafts.revise={REVISED} temperature: 0.2}}"],
        "drafts.revise.temperature: 0.2, but an endpoint has its own; set by.temperature",
    ),
    (
        [f"drafts.revise={REVISED} max_new_tokens: 32}}"],
        "drafts.revise.max_new_tokens: 32, but an endpoint has its own; set by.max_tokens",
    ),
]


@pytest.mark.parametrize(("changes", "message"), IDLE)
def test_a_setting_without_effect_is_told_with_what_it_waits_for(
    problems: Problems, changes: list[str], message: str
) -> None:
    (told,) = problems(FILE, *(f"stages.{change}" for change in changes))

    assert told.partition(": stages.")[2] == message


def test_every_setting_of_the_table_is_tried() -> None:
    tried = {message.partition(": ")[0].rpartition(".")[2] for _, message in IDLE}

    assert {idle.field.rpartition(".")[2] for idle in IDLE_SETTINGS} == tried


def test_defaults_without_effect_may_be_written_as_a_run_writes_them(write: Write) -> None:
    resolved = load_pipeline(write(FILE)).to_yaml()

    assert "importance_cap: 2.0" in resolved
    assert load_pipeline(write(resolved)).to_yaml() == resolved


@pytest.mark.parametrize(
    ("change", "source"), [("scorer.data=data/pairs.csv", "data/pairs.csv"), ("pairs.held_out_fraction=0.0", "pairs")]
)
def test_looks_at_held_out_pairs_of_which_there_are_none_are_told(problems: Problems, change: str, source: str) -> None:
    looks = ["scorer.early_stopping_patience=2", "scorer.evaluate_every=10"]

    told = problems(FILE, *(f"stages.{one}" for one in (change, *looks)))

    assert [one.partition(": stages.")[2] for one in told] == [
        f"scorer.early_stopping_patience: 2, but {source} holds no pairs out that could tell when to stop; name a set "
        "under `held_out`, and it in early_stopping_on, or take this out",
        f"scorer.evaluate_every: 10, but {source} holds no pairs out to look at; name a set under `held_out`, or take "
        "this out",
    ]


def test_a_named_set_is_enough_for_looks_at_held_out_pairs(write: Write) -> None:
    named = ["data=data/pairs.csv", "held_out={people: data/pairs.csv}", "early_stopping_on=people"]
    looks = ["early_stopping_patience=2", "evaluate_every=10"]

    pipeline = load_pipeline(write(FILE), [f"stages.scorer.{change}" for change in (*named, *looks)])
    scorer = pipeline.stages["scorer"]
    assert isinstance(scorer, RewardModelStage)
    assert (scorer.early_stopping_on, scorer.early_stopping_patience, scorer.evaluate_every) == ("people", 2, 10)
