"""Faults between fields and between stages, each made by one change to a file that is right."""

from collections.abc import Callable
from pathlib import Path

import pytest

from boresight.config.load import load_pipeline

Change = Callable[[str, str], list[str]]
Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "start: base, data: [",
            "start: bse, data: [",
            '5: stages.demo.start: no stage "bse"; did you mean the stage "base"?',
        ),
        (
            "of: compare",
            "of: judgement",
            '3: stages.gate.of: no stage "judgement"; expected a stage of kind evaluate (here: compare)',
        ),
        (
            "responses: drafts",
            "responses: demo",
            '7: stages.labels.responses: "demo" is an sft stage; expected a stage of kind sample (here: drafts)',
        ),
        (
            "    reward: scorer\n",
            "    reward: demo\n",
            '14: stages.ppo.reward: "demo" is an sft stage; expected a stage of kind reward_model (here: scorer)',
        ),
        (
            "    policy: demo\n",
            "    policy: scorer\n",
            '12: stages.ppo.policy: "scorer" is a reward_model stage; expected a stage of kind pretrain, sft, dpo, '
            "orpo, simpo, kto, ppo or rloo (here: base, demo, ppo, rloo, dpo, orpo, simpo, kto)",
        ),
        (
            "reference: demo, data: pairs}",
            "reference: demo, data: drafts}",
            '19: stages.dpo.data: "drafts" is a sample stage; expected a stage of kind preferences or ai_labels '
            "(here: labels, pairs)",
        ),
        (
            "judge: {kind: reward_model, model: scorer}",
            "judge: {kind: reward_model, model: ppo}",
            '26: stages.compare.judge.model: "ppo" is a ppo stage; expected a stage of kind reward_model '
            "(here: scorer)",
        ),
        (
            "candidates: [ppo, dpo]",
            "candidates: [ppo, pairs]",
            '23: stages.compare.candidates[1]: "pairs" is a preferences stage; expected a stage of kind pretrain, sft, '
            "dpo, orpo, simpo, kto, ppo or rloo (here: base, demo, ppo, rloo, dpo, orpo, simpo, kto)",
        ),
    ],
)
def test_a_reference_must_name_a_stage_of_a_kind_that_fits(
    problems_of_change: Change, old: str, new: str, expected: str
) -> None:
    assert problems_of_change(old, new) == [f"align.yaml:{expected}"]


def test_a_name_that_is_neither_stage_nor_file_is_told_with_both_readings(
    problems_of_change: Change, folder: Path
) -> None:
    assert problems_of_change("[data/pairs.csv, labels]", "[data/pairs.cs, labelz]") == [
        f'align.yaml:8: stages.pairs.sources[0]: "data/pairs.cs" is neither a stage nor a file (looked for '
        f'{folder}/data/pairs.cs); did you mean the file "pairs.csv"?',
        f'align.yaml:8: stages.pairs.sources[1]: "labelz" is neither a stage nor a file (looked for {folder}/labelz); '
        f'did you mean the stage "labels"?',
    ]


def test_a_missing_file_is_told_with_the_path_that_was_looked_at(problems_of_change: Change, folder: Path) -> None:
    assert problems_of_change("data: data/docs.txt", "data: data/doc.txt") == [
        f'align.yaml:4: stages.base.data: no such file: "data/doc.txt" (looked for {folder}/data/doc.txt); '
        f'did you mean "docs.txt"?'
    ]


def test_a_stage_where_only_files_are_read_is_told_as_that(problems_of_change: Change) -> None:
    assert problems_of_change("data: data/docs.txt", "data: pairs") == [
        'align.yaml:4: stages.base.data: "pairs" is a stage, and a pretrain stage reads files here; name a file'
    ]


def test_an_sft_stage_learns_from_files_and_from_what_a_stage_sampled(problems_of_change: Change) -> None:
    found = problems_of_change("data: [data/demos.jsonl]", "data: [scorer]")
    assert any('stages.demo.data[0]: "scorer" is a reward_model stage; expected a stage of kind sample' in one
               for one in found)  # fmt: skip


def test_a_missing_data_root_is_told_once(problems: Callable[..., list[str]], folder: Path) -> None:
    assert problems(
        "run: {name: r}\ndata: {root: corpus}\nstages:\n  a: {kind: pretrain, data: [x, y], steps: 1}\n"
    ) == [f"align.yaml:2: data.root: no such folder: {folder}/corpus; correct it, or leave it out"]


def test_stages_in_a_circle_are_named_in_order(problems_of_change: Change) -> None:
    assert problems_of_change("start: base, data: [", "start: dpo, data: [") == [
        "align.yaml:5: stages.demo: stages wait for each other in a circle: demo -> dpo -> demo; take one reference out"
    ]


def test_a_stage_that_needs_itself_is_a_circle(problems_of_change: Change) -> None:
    assert problems_of_change("    reference: demo\n", "    reference: ppo\n") == [
        "align.yaml:10: stages.ppo: stages wait for each other in a circle: ppo -> ppo; take one reference out"
    ]


def test_base_model_needs_a_model_path(problems_of_change: Change, write: Write) -> None:
    assert problems_of_change("start: base, data: [", "start: base_model, data: [") == [
        "align.yaml:5: stages.demo.start: base_model is the model at model.path, and none is given; "
        "set model.path, or name a stage"
    ]
    text = "run: {name: r}\nmodel: {path: owner/name}\nstages:\n  a: {kind: sft, data: data/demos.jsonl, epochs: 1}\n"
    assert load_pipeline(write(text)).model_path == "owner/name"


def test_base_model_is_no_reward_model_and_no_name_for_a_stage(problems_of_change: Change) -> None:
    assert problems_of_change("    reward: scorer\n", "    reward: base_model\n") == [
        'align.yaml:14: stages.ppo.reward: no stage "base_model"; expected a stage of kind reward_model (here: scorer)'
    ]
    lines = problems_of_change("quick:\n", "  base_model: {kind: pretrain, data: data/docs.txt, steps: 1}\nquick:\n")
    assert lines == [
        'align.yaml:29: stages.base_model: "base_model" stands for model.path and cannot name a stage; '
        "choose another name"
    ]


@pytest.mark.parametrize("path", ["./base", "../base", "models/nested/base", "/nowhere/base"])
def test_a_model_path_that_can_only_be_a_folder_must_exist(
    problems: Callable[..., list[str]], folder: Path, path: str
) -> None:
    (line,) = problems(
        f"run: {{name: r}}\nmodel: {{path: {path}}}\nstages:\n  a: {{kind: pretrain, data: data/docs.txt, steps: 1}}\n"
    )
    assert line.startswith(
        f"align.yaml:2: model.path: no such folder: {(folder / path).resolve()}; give a model folder"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "steps: 400}",
            "steps: 400, hidden_size: 130}",
            "4: stages.base.hidden_size: 130 into 4 heads: the width of a head must be a whole even number; "
            "change hidden_size or heads",
        ),
        (
            "steps: 400}",
            "steps: 400, hidden_size: 12}",
            "4: stages.base.hidden_size: 12 into 4 heads: the width of a head must be a whole even number; "
            "change hidden_size or heads",
        ),
        (
            "steps: 400}",
            "steps: 400, sequence_length: 257}",
            "4: stages.base.sequence_length: 257 tokens, more than context_length (256); "
            "raise context_length or shorten the rows",
        ),
        ("epochs: 1}", "epochs: 1, steps: 9}", "5: stages.demo.steps: given beside epochs (1); keep one of the two"),
        (
            "epochs: 1}",
            "epochs: 1, quantization: 4bit}",
            "5: stages.demo.quantization: 4bit weights cannot be trained; add `lora: {}`, or leave it out",
        ),
        (
            "reference: demo, data: pairs}",
            "reference: demo, data: pairs, lora: {dropout: 0.1}}",
            "19: stages.dpo.lora.dropout: 0.1, but a dpo stage trains without dropout; leave it at 0",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    roles: shared\n",
            "15: stages.ppo.roles: shared, but roles share a base as adapters in it; add `lora: {}`, or leave roles "
            "out",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    lora: {}\n    offload: [reward]\n",
            "16: stages.ppo.offload: ['reward'], but roles: shared keeps one base; take it out",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    value_coefficient: 0.5\n",
            "15: stages.ppo.value_coefficient: 0.5, but only roles: one_trunk adds the two losses up; take it out, or "
            "set value_learning_rate",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    roles: one_trunk\n    value_start: reward\n",
            "16: stages.ppo.value_start: reward, but on one trunk the value head stands on the policy; take it out",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    roles: one_trunk\n    value_learning_rate: 1e-5\n",
            "16: stages.ppo.value_learning_rate: 1e-05, but on one trunk there is one rate; take it out, or set "
            "value_coefficient",
        ),
        (
            "    reward: scorer\n",
            "    reward: scorer\n    roles: one_trunk\n    value_warmup_steps: 1\n",
            "16: stages.ppo.value_warmup_steps: 1, but on one trunk the policy cannot rest while the value head "
            "learns; set it to 0",
        ),
        (", epochs: 1}", "}", "5: stages.demo: how long to train is missing; give epochs or steps"),
        (
            "kind: dpo,",
            "kind: dpo, loss: ipo, label_smoothing: 0.1,",
            "19: stages.dpo.label_smoothing: 0.1, but loss: ipo has no use for it; set it to 0",
        ),
        (
            "kind: dpo,",
            "kind: dpo, gradient_noise_scale: true, micro_batch_size: 20,",
            "19: stages.dpo.gradient_noise_scale: compares the micro-batches of a step, of which there must be two at "
            "least; set micro_batch_size, at most half of batch_size (32)",
        ),
        (
            "held_out: {people: data/pairs.csv}}",
            "label_smoothing: 0.1, rankings: listwise}",
            "9: stages.scorer.label_smoothing: 0.1, but rankings: listwise knows no pairs; set it to 0",
        ),
        (
            "held_out: {people: data/pairs.csv}}",
            "held_out: {people: data/pairs.csv}, early_stopping_patience: 2, early_stopping_on: peopel}",
            '9: stages.scorer.early_stopping_on: no held-out set "peopel"; did you mean "people"?',
        ),
        (
            "    steps: 30\n",
            "    steps: 30\n    prompts_per_step: 9\n    minibatches: 4\n",
            "18: stages.ppo.minibatches: 4 do not divide the 9 responses of a step (prompts_per_step 9 x "
            "responses_per_prompt 1) into equal parts; change one of the three",
        ),
        (
            "prompts: data/prompts.jsonl}",
            "prompts: data/prompts.jsonl, best_of: 8}",
            "6: stages.drafts.best_of: 8, but nobody chooses; name a reward_model stage in `reward`",
        ),
        (
            "  simpo: {",
            "  best: {kind: sample, policy: demo, prompts: data/prompts.jsonl, temperatures: [0.0, 1.0], best_of: 8, "
            "reward: scorer}\n  simpo: {",
            "27: stages.best.temperatures: at 0 all 8 responses of best_of are the same; give temperatures above 0",
        ),
        (
            "candidates: [ppo, dpo]",
            "candidates: [ppo, dpo, ppo]",
            '23: stages.compare.candidates[2]: "ppo" stands in the list twice; remove one',
        ),
        (
            "data: [data/demos.jsonl]",
            "data: [data/demos.jsonl, data/demos.jsonl]",
            '5: stages.demo.data[1]: "data/demos.jsonl" stands in the list twice; remove one',
        ),
        (
            "data: [data/demos.jsonl]",
            "data: [data/demos.jsonl, ./data/../data/demos.jsonl]",
            '5: stages.demo.data[1]: "./data/../data/demos.jsonl" is the file "data/demos.jsonl", which the list holds '
            "already; remove one",
        ),
        (
            "sources: [data/pairs.csv, labels]",
            "sources: [labels, data/pairs.csv, labels]",
            '8: stages.pairs.sources[2]: "labels" stands in the list twice; remove one',
        ),
        (
            "policy: demo, prompts: data/prompts.jsonl}\n  labels",
            "policy: [demo, base, demo], prompts: data/prompts.jsonl}\n  labels",
            '6: stages.drafts.policy[2]: "demo" stands in the list twice; remove one',
        ),
        (
            "noise: 0.1}}",
            "noise: 0.1}, human_labels: [answers.jsonl, data/../answers.jsonl]}",
            '7: stages.labels.human_labels[1]: "data/../answers.jsonl" is the file "answers.jsonl", which the list '
            "holds already; remove one",
        ),
        (
            "candidates: [ppo], measures",
            "candidates: [ppo], no_worse_probes: true, measures",
            "3: stages.gate.no_worse_probes: compare asks no probes; set its own_probes or probe_sets, or leave this "
            "out",
        ),
        (
            "{states_truth: {min: 0.5}}",
            "{states_truth: {}}",
            "3: stages.gate.measures.states_truth: no bound given; give min, max or both",
        ),
        (
            "{states_truth: {min: 0.5}}",
            "{states_truth: {min: 0.5, max: 0.4}}",
            "3: stages.gate.measures.states_truth: nothing is at least 0.5 and at most 0.4; exchange them",
        ),
        (
            "candidates: [ppo], measures",
            "candidates: [ppo, orpo], measures",
            '3: stages.gate.candidates[1]: "orpo" is not a candidate of compare; it has: ppo, dpo',
        ),
        (
            "kl_coefficient: 0.05",
            "kl_coefficient: 0.0\n    on_finding: adapt_kl",
            "18: stages.ppo.on_finding: adapt_kl, but kl_coefficient is 0, and no multiple of it is more; give it a "
            "value",
        ),
        (
            "kl_coefficient: 0.05",
            "kl_coefficient: 0.0\n    target_kl_per_sequence: 6.0",
            "18: stages.ppo.target_kl_per_sequence: 6, but kl_coefficient is 0, and no multiple of it is more; give it "
            "a value to start from",
        ),
        (
            "kl_coefficient: 0.05",
            "target_kl_per_sequence: 6.0\n    kl_horizon: 12.8",
            "18: stages.ppo.kl_horizon: 12.8 responses, of which a step has 64: one step could take all of the KL "
            "coefficient away; expected more than 12.8 (Ziegler et al. 2019: 10000)",
        ),
        (
            "kl_coefficient: 0.05",
            "staleness: 1\n    importance_correction: none",
            "18: stages.ppo.importance_correction: none, but with staleness 1 responses are written by older weights "
            "than are trained, and their gradient is another one without it; take it out, or say truncated",
        ),
    ],
)
def test_fields_must_fit_each_other(problems_of_change: Change, old: str, new: str, expected: str) -> None:
    assert problems_of_change(old, new) == [f"align.yaml:{expected}"]


def test_bounds_that_just_hold_are_no_fault(write: Write) -> None:
    text = (
        "run: {name: r}\nstages:\n  a: {kind: pretrain, data: data/docs.txt, steps: 1, sequence_length: 256, "
        "context_length: 256, hidden_size: 8, heads: 4}\n"
    )
    assert list(load_pipeline(write(text)).stages) == ["a"]


def test_a_file_that_is_gone_is_not_taken_for_a_stage_that_could_not_stand_there(
    problems_of_change: Callable[..., list[str]], folder: Path
) -> None:
    (line,) = problems_of_change("data: [data/demos.jsonl]", "data: [demo.jsonl]")
    assert '"demo.jsonl" is neither a stage nor a file' in line and "did you mean the stage" not in line
