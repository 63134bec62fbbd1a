"""One fault each, in the smallest file that can have it; the whole line is what the user reads."""

from collections.abc import Callable

import pytest

from .conftest import WHOLE_PATH

Problems = Callable[..., list[str]]

HEAD = "run: {name: r}\nstages:\n"


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (
            "epoch: 1, steps: 5",
            'stages.demo.epoch: unknown key (value 1); did you mean "epochs"?',
        ),
        (
            "steps: 5, beta: 0.1",
            "stages.demo.beta: unknown key (value 0.1); only stages of the kinds dpo, simpo, kto have it; remove it",
        ),
        (
            "steps: 5, zzzz: {a: 1}",
            "stages.demo.zzzz: unknown key (value a mapping); known keys: kind, learning_rate, start, data, "
            "epochs, steps, schedule, warmup_fraction, final_rate_fraction, weight_decay, adam_beta1, adam_beta2, "
            "and 11 more",
        ),
        ("steps: 5.0", "stages.demo.steps: wrong type: found 5.0, expected a whole number"),
        ("steps: true", "stages.demo.steps: wrong type: found true, expected a whole number"),
        (
            "steps: '5'",
            'stages.demo.steps: wrong type: found "5", expected a whole number; '
            "write it without quotes and without leading zeros",
        ),
        ("steps: 0", "stages.demo.steps: out of range: found 0, expected more than 0"),
        ("steps: 5, warmup_fraction: 1.5", "stages.demo.warmup_fraction: out of range: found 1.5, expected at most 1"),
        ("steps: 5, learning_rate: .nan", "stages.demo.learning_rate: found nan; expected a finite number"),
        (
            "steps: 5, schedule: cosin",
            'stages.demo.schedule: found "cosin"; expected one of cosine, linear, constant; did you mean "cosine"?',
        ),
        ("steps: 5, start: 7", "stages.demo.start: wrong type: found 7, expected text; put it in quotes"),
        ("steps: 5, learning_rate: [1]", "stages.demo.learning_rate: wrong type: found a list, expected a number"),
        ("steps: 5, learning_rate:", "stages.demo.learning_rate: wrong type: found nothing, expected a number"),
    ],
)
def test_a_fault_of_a_field_says_what_was_found_and_what_is_expected(
    problems: Problems, stage: str, expected: str
) -> None:
    base = "  base: {kind: pretrain, data: data/docs.txt, steps: 5}\n"
    start = "" if "start:" in stage else "start: base, "
    lines = problems(f"{HEAD}{base}  demo: {{kind: sft, {start}data: data/demos.jsonl, {stage}}}\n")
    assert f"align.yaml:4: {expected}" in lines
    assert len(lines) == (2 if "epoch:" in stage and "steps" not in stage else 1)


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (
            "{kind: pretrian}",
            ['stages.base: unknown kind "pretrian"; did you mean "pretrain"?'],
        ),
        (
            "{data: x}",
            [
                "stages.base: no kind given; kinds: pretrain, sft, sample, ai_labels, preferences, reward_model, ppo, "
                "rloo, dpo, orpo, simpo, kto, evaluate, gate"
            ],
        ),
        ("pretrain", ['stages.base: wrong type: found "pretrain", expected a mapping of fields to values']),
        (
            "{kind: pretrain, data: data/docs.txt}",
            ["stages.base.steps: required, but missing; add it (Optimizer steps)"],
        ),
        (
            "{kind: pretrain, data: data/docs.txt, stepz: 5}",
            ['stages.base.stepz: unknown key (value 5); did you mean "steps"?'],
        ),
        (
            "{kind: pretrain, data: [data/docs.txt, 7], steps: 5}",
            ["stages.base.data[1]: wrong type: found 7, expected text; put it in quotes"],
        ),
        (
            "{kind: pretrain, data: {}, steps: 5}",
            ["stages.base.data: wrong type: found a mapping, expected text or a list"],
        ),
    ],
)
def test_a_fault_of_a_stage_is_told_once_at_its_line(problems: Problems, stage: str, expected: list[str]) -> None:
    assert problems(f"{HEAD}  base: {stage}\n") == [f"align.yaml:3: {line}" for line in expected]


def test_a_stage_named_like_its_kind_has_plain_paths(problems: Problems) -> None:
    assert problems(f"{HEAD}  pretrain: {{kind: pretrain, data: data/docs.txt, pretrain: 1, stepz: 5}}\n") == [
        "align.yaml:3: stages.pretrain.pretrain: unknown key (value 1); known keys: kind, learning_rate, "
        "weight_decay, batch_size, data, vocabulary_size, context_length, hidden_size, intermediate_size, layers, "
        "heads, initializer_range, and 14 more",
        'align.yaml:3: stages.pretrain.stepz: unknown key (value 5); did you mean "steps"?',
    ]


def test_yes_and_no_for_a_switch_are_explained(problems_of_change: Problems) -> None:
    assert problems_of_change("kl_coefficient: 0.05", "activation_checkpointing: no") == [
        "align.yaml:17: stages.ppo.activation_checkpointing: wrong type: "
        'found "no", expected true or false; write false'
    ]


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ("{kind: rules, noice: 0.1}", 'stages.labels.judge.noice: unknown key (value 0.1); did you mean "noise"?'),
        ("{kind: rulez}", 'stages.labels.judge: unknown kind "rulez"; did you mean "rules"?'),
        ("{kind: , noise: 0.1}", "stages.labels.judge: no kind given; kinds: rules, reward_model, openai, local_model"),
        ("{noise: 0.1}", "stages.labels.judge: no kind given; kinds: rules, reward_model, openai, local_model"),
        (
            "{kind: reward_model}",
            "stages.labels.judge.model: required, but missing; add it (Reward-model stage)",
        ),
    ],
)
def test_a_judge_is_checked_by_its_kind(problems_of_change: Problems, judge: str, expected: str) -> None:
    assert problems_of_change("{kind: rules, noise: 0.1}", judge) == [f"align.yaml:7: {expected}"]


def test_names_that_cannot_be_folder_names_are_refused(problems: Problems) -> None:
    lines = problems("run: {name: a b}\nstages:\n  Base: {kind: pretrain, data: data/docs.txt, steps: 5}\n")
    assert lines == [
        "align.yaml:1: run.name: found \"a b\"; a name here has letters, digits, '.', '_' and '-', "
        "with a letter or digit first",
        "align.yaml:3: stages.Base: found \"Base\"; a name here has small letters, digits and '_', with a letter first",
    ]


def test_keys_of_a_closed_mapping_are_held_against_its_names(problems_of_change: Problems) -> None:
    assert problems_of_change("sources: [", "columns: {promt: question}, sources: [") == [
        'align.yaml:8: stages.pairs.columns.promt: found "promt"; expected one of prompt, chosen, rejected, kind, '
        'p_chosen; did you mean "prompt"?'
    ]


def test_missing_sections_and_empty_lists_are_told(problems: Problems, problems_of_change: Problems) -> None:
    lines = problems("model: {}\n")
    assert lines == [
        "align.yaml:1: run: required, but missing; add it (Name and seed, as in `run: {name: first, seed: 7}`)",
        "align.yaml:1: stages: required, but missing; add it (What is done, by name; each stage has a `kind`)",
    ]
    assert problems("run: {name: r}\nstages: {}\n") == ["align.yaml:2: stages: empty; expected at least one entry"]
    assert problems_of_change("[data/pairs.csv, labels]", "[]") == [
        "align.yaml:8: stages.pairs.sources: empty; expected at least one entry"
    ]


@pytest.mark.parametrize(
    ("place", "setting", "expected"),
    [
        ("demo.data", "[]", "empty; expected at least one entry"),
        ("base.data", "[]", "empty; expected at least one entry"),
        ("drafts.policy", "[]", "empty; expected at least one entry"),
        ("ppo.prompts", "[]", "empty; expected at least one entry"),
        ("compare.prompts", "[]", "empty; expected at least one entry"),
        ("demo.data", "3", "wrong type: found 3, expected text or a list; put it in quotes"),
        ("demo.lora.target_modules", "[]", "empty; expected at least one entry"),
        ("demo.lora.target_modules", "q_proj", 'found "q_proj"; expected one of all-linear, or a list'),
        ("demo.adam_beta1", "1", "out of range: found 1, expected less than 1"),
        ("dpo.adam_beta2", "1.0", "out of range: found 1.0, expected less than 1"),
        ("pairs.held_out_fraction", "1", "out of range: found 1, expected less than 1"),
    ],
)
def test_a_setting_that_leaves_nothing_to_work_on_is_refused(
    problems: Problems, place: str, setting: str, expected: str
) -> None:
    override = f"stages.{place}={setting}"
    assert problems(WHOLE_PATH, override) == [f"--set {override}: stages.{place}: {expected}"]
