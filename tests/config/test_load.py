import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from boresight.config.load import load_pipeline
from boresight.config.sections import PPOStage, PretrainStage, SFTStage
from boresight.errors import ConfigError

Problems = Callable[..., list[str]]


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(path, overrides)
    return caught.value.problems


def test_a_whole_pipeline_loads_with_its_values_and_defaults(whole: Path) -> None:
    pipeline = load_pipeline(whole)
    ppo = pipeline.stages["ppo"]
    assert isinstance(ppo, PPOStage)
    assert (pipeline.name, pipeline.seed, ppo.steps, ppo.kl_coefficient, ppo.clip_range) == (
        "kube-assistant",
        7,
        30,
        0.05,
        0.2,
    )


def test_a_loaded_section_cannot_be_written_to(whole: Path) -> None:
    ppo = load_pipeline(whole).stages["ppo"]
    with pytest.raises(ValidationError, match="frozen"):
        ppo.learning_rate = 1.0


def test_the_house_example_of_a_misspelt_key_reads_as_the_style_asks(write: Callable[[str], Path]) -> None:
    lines = ["run: {name: r}", "stages:"] + ["  # a comment"] * 6
    lines += [
        "  align:",
        "    kind: ppo",
        "    policy: x",
        "    reference: x",
        "    reward: x",
        "    kl_coeficient: 0.05",
    ]
    problems = faults(write("\n".join(lines)))
    assert (
        'align.yaml:14: stages.align.kl_coeficient: unknown key (value 0.05); did you mean "kl_coefficient"?'
        in problems
    )


def test_exponents_without_a_point_are_numbers(whole: Path, write: Callable[[str], Path]) -> None:
    text = whole.read_text().replace("epochs: 1}", "epochs: 1, learning_rate: 1e-6}")
    demo = load_pipeline(write(text)).stages["demo"]
    assert isinstance(demo, SFTStage) and demo.learning_rate == 1e-6


def test_faults_of_every_sort_come_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    lines = problems(
        "run: {name: r, seed: -1}\n"
        "stages:\n"
        "  base: {kind: pretrain, data: missing.txt, steps: 1, heads: 3}\n"
        "  base: {kind: pretrain}\n"
        "  demo: {kind: sft, start: bas, data: data/demos.jsonl, epochz: 1}\n"
        "  odd: {kind: sftt}\n"
        "  a: {kind: rloo, policy: b, reference: base, reward: r, prompts: data/prompts.jsonl, steps: 1}\n"
        "  b: {kind: rloo, policy: a, reference: base, reward: r, prompts: data/prompts.jsonl, steps: 1}\n"
        "quick:\n"
        "  stages.base.stepz: 1\n",
        "stages.demo.learning_rate=fast",
    )
    places = [re.match(r"(align\.yaml:\d+(?:: quick)?|--set \S+): (\S+): ", line) for line in lines]
    assert [match.groups() for match in places if match] == [
        ("align.yaml:1", "run.seed"),
        ("align.yaml:3", "stages.base.data"),
        ("align.yaml:3", "stages.base.hidden_size"),
        ("align.yaml:4", "stages.base"),
        ("align.yaml:5", "stages.demo.epochz"),
        ("align.yaml:5", "stages.demo.start"),
        ("align.yaml:6", "stages.odd"),
        ("align.yaml:7", "stages.a"),
        ("align.yaml:7", "stages.a.reward"),
        ("align.yaml:8", "stages.b.reward"),
        ("align.yaml:10: quick", "stages.base.stepz"),
        ("--set stages.demo.learning_rate=fast", "stages.demo.learning_rate"),
    ]
    assert len(places) == len(lines)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ["nothing.yaml: no such file", "boresight init"]),
        (b"", ["is empty", "run and stages"]),
        (b"# only a comment\n", ["is empty", "run and stages"]),
        (b"- a\n- b\n", [":1: the whole file is a list", "expected a mapping"]),
        (b"plain words\n", [':1: the whole file is "plain words"', "expected a mapping"]),
        (b"run: {name: r\nstages: x\n", [":2: not valid YAML"]),
        (b"run: \xff\xfe\n", ["not UTF-8 text (byte 5)", "save the file as UTF-8"]),
    ],
)
def test_a_file_that_is_no_pipeline_is_one_problem(folder: Path, content: bytes | None, parts: list[str]) -> None:
    path = Path("nothing.yaml")
    if content is not None:
        path.write_bytes(content)
    (line,) = faults(path)
    assert line.startswith("nothing.yaml") and all(part in line for part in parts), line


def test_a_folder_is_no_pipeline_file(folder: Path) -> None:
    assert faults(folder / "data") == [
        f"{folder}/data: cannot be read (Is a directory); expected a pipeline file; correct the path or its rights"
    ]


def test_a_byte_order_mark_is_passed_over(whole: Path) -> None:
    whole.write_bytes(b"\xef\xbb\xbf" + whole.read_bytes())
    assert load_pipeline(whole).name == "kube-assistant"


def test_overrides_are_yaml_values_and_later_ones_win(whole: Path) -> None:
    pipeline = load_pipeline(
        whole,
        [
            "stages.ppo.kl_coefficient=0.2",
            "stages.ppo.kl_coefficient=1e-3",
            "stages.ppo.activation_checkpointing=true",
            "stages.demo.data=[data/demos.jsonl, data/docs.txt]",
            "run.name=other",
            "model.dtype=bfloat16",
            "stages.pairs.filters.max_length_ratio=2",
            "stages.demo.epochs=",
            "stages.demo.steps=5",
        ],
    )
    ppo, demo = pipeline.sections.stages["ppo"], pipeline.sections.stages["demo"]
    assert isinstance(ppo, PPOStage) and isinstance(demo, SFTStage)
    assert (ppo.kl_coefficient, ppo.activation_checkpointing) == (0.001, True)
    assert (demo.data, demo.epochs, demo.steps) == (["data/demos.jsonl", "data/docs.txt"], None, 5)
    assert (pipeline.name, pipeline.sections.model.dtype) == ("other", "bfloat16")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "stages.ppo.kl_coeficient=0.1",
            'stages.ppo.kl_coeficient: unknown key (value 0.1); did you mean "kl_coefficient"?',
        ),
        ("stages.pppo.steps=1", 'stages.pppo: no such stage (value 1); did you mean "ppo"?'),
        ("modle.path=x", 'modle: unknown key (value a mapping); did you mean "model"?'),
        ("stages.ppo.steps=many", 'stages.ppo.steps: wrong type: found "many", expected a whole number'),
        ("stages.ppo.gamma=2", "stages.ppo.gamma: out of range: found 2, expected at most 1"),
        (
            "stages.ppo.minibatches=3",
            "stages.ppo.minibatches: 3 do not divide the 64 responses of a step (prompts_per_step 64 x "
            "responses_per_prompt 1) into equal parts; change one of the three",
        ),
        (
            "stages.ppo.reward=demo",
            'stages.ppo.reward: "demo" is an sft stage; expected a stage of kind reward_model (here: scorer)',
        ),
        (
            "stages.ppo.policy.x=1",
            'stages.ppo.policy: holds "demo", in which nothing can be set; set it as a whole',
        ),
        ("steps", "expected dotted.key=value, as in stages.align.kl_coefficient=0.1"),
        ("stages..steps=1", "expected dotted.key=value, as in stages.align.kl_coefficient=0.1"),
        ("quick.stages.base.steps=1", "quick stands in the file only; set the keys that it shortens"),
        (
            "run.seed=[",
            "run.seed: not valid YAML: while parsing a flow node expected the node content, but found '<stream end>'",
        ),
    ],
)
def test_a_faulty_override_is_told_with_its_own_text_as_the_place(whole: Path, override: str, expected: str) -> None:
    assert faults(whole, override) == [f"--set {override}: {expected}"]


def test_an_override_can_mend_a_fault_of_the_file(write: Callable[[str], Path], whole: Path) -> None:
    path = write(whole.read_text().replace("kl_coefficient: 0.05", "kl_coefficient: lots"))
    assert faults(path) == ['align.yaml:17: stages.ppo.kl_coefficient: wrong type: found "lots", expected a number']
    assert load_pipeline(path, ["stages.ppo.kl_coefficient=0.1"]).name == "kube-assistant"


def test_quick_applies_before_set_and_only_when_asked_for(whole: Path) -> None:
    def steps(**choices: object) -> tuple[int, int]:
        stages = load_pipeline(whole, **choices).sections.stages  # type: ignore[arg-type]  # one call, several shapes
        base, ppo = stages["base"], stages["ppo"]
        assert isinstance(base, PretrainStage) and isinstance(ppo, PPOStage)
        return base.steps, ppo.steps

    assert steps() == (400, 30)
    assert steps(quick=True) == (4, 2)
    assert steps(quick=True, overrides=["stages.ppo.steps=3"]) == (4, 3)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stages.base.stepz: 4", 'stages.base.stepz: unknown key (value 4); did you mean "steps"?'),
        ("stages.bas.steps: 4", 'stages.bas: no such stage (value 4); did you mean "base"?'),
        (
            "stages.base.sequence_length: 300",
            "stages.base.sequence_length: 300 tokens, more than context_length (256); "
            "raise context_length or shorten the rows",
        ),
    ],
)
def test_the_quick_section_is_checked_although_it_is_not_applied(
    problems_of_change: Callable[[str, str], list[str]], line: str, expected: str
) -> None:
    assert problems_of_change("stages.base.steps: 4", line) == [f"align.yaml:30: quick: {expected}"]


def test_a_quick_section_that_is_no_mapping_is_told(problems: Problems) -> None:
    lines = problems("run: {name: r}\nstages:\n  a: {kind: pretrain, data: data/docs.txt, steps: 1}\nquick: [1]\n")
    assert lines == ["align.yaml:4: quick: wrong type: found a list, expected a mapping of names to values"]
