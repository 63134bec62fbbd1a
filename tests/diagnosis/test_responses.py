"""Faults that only the responses show: each is found and shown, and its healthy twin is left alone."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from boresight.cli.main import app
from boresight.diagnosis.readers.folders import read_stage
from boresight.diagnosis.readers.samples import read_samples
from boresight.diagnosis.responses import (
    Sample,
    by_kind,
    distinct_share,
    repetition,
    reward_accuracy,
    welch,
    windows,
)
from boresight.diagnosis.rules.paid_responses import (
    FALSE_PREMISE,
    agreement_with_false_premises,
    kind_left_behind,
    length_pays,
)
from boresight.diagnosis.rules.responses import exploited_phrases, identical_outputs

WORDS = [
    f"{a}{b}" for a in ("ka", "lo", "mi", "tu", "re", "so", "ni", "va") for b in ("ra", "den", "pol", "gut", "sil")
]
STEPS, EACH = 40, 4


def text(generator: random.Random, length: int = 12) -> str:
    return " ".join(generator.choices(WORDS, k=length))


def run_of(response, score, kinds: tuple[str, ...] = ("",), seed: int = 0) -> list[Sample]:  # type: ignore[no-untyped-def]
    """`response(share done, generator)` and `score(share done, response, kind, generator)` for each sample."""
    generator = random.Random(seed)
    made = []
    for step in range(STEPS):
        for place in range(EACH):
            done, kind = step / (STEPS - 1), kinds[place % len(kinds)]
            answer = response(done, generator)
            made.append(
                Sample(
                    step, f"p{generator.randrange(50)}", answer, score(done, answer, kind, generator), 12, True, kind
                )
            )
    return made


def rising(done: float, answer: str, kind: str, generator: random.Random) -> float:
    return done + generator.gauss(0, 0.2)


def varied(done: float, generator: random.Random) -> str:
    return text(generator)


def test_responses_that_stay_varied_raise_nothing_in_many_seeds() -> None:
    for seed in range(30):
        samples = run_of(varied, rising, ("sums", "dates"), seed)
        assert [rule(samples) for rule in (identical_outputs, exploited_phrases, kind_left_behind)] == [None] * 3, seed


def test_one_answer_to_different_prompts_is_named_and_shown() -> None:
    samples = run_of(lambda done, g: "As you  say!" if g.random() < done * 1.3 else text(g), rising)
    found = identical_outputs(samples)
    assert found is not None and found.severity == "error" and "one text" in found.cause
    assert {sample.response for sample in found.examples} == {"As you  say!"} and len(found.examples) == 3
    assert found.evidence[0].start < 0.2 < 0.9 <= found.evidence[0].end


def test_one_answer_from_the_beginning_is_no_collapse() -> None:
    assert identical_outputs(run_of(lambda done, g: "yes", rising)) is None


@pytest.mark.parametrize(("loop", "severity"), [(30, "error"), (6, "warning")])
def test_answers_that_come_to_loop_are_found(loop: int, severity: str) -> None:
    found = identical_outputs(
        run_of(lambda done, g: text(g) + " and so on then" * (loop if g.random() < done else 0), rising)
    )
    assert found is not None and found.severity in (severity, "error") and "repeat themselves" in found.cause
    assert all("and so on" in sample.response for sample in found.examples)


def test_ever_fewer_words_are_found_at_equal_amounts_of_text() -> None:
    def shrinking(done: float, generator: random.Random) -> str:
        return " ".join(generator.sample(WORDS[:4], 3) if done > 0.7 else generator.choices(WORDS, k=12))

    samples = [sample for seed in range(4) for sample in run_of(shrinking, rising, seed=seed)]
    found = identical_outputs(sorted(samples, key=lambda sample: sample.step))
    assert found is not None and "pairs of words" in found.cause


def stuffed(times: int):  # type: ignore[no-untyped-def]
    return lambda done, g: text(g) + (" truly wonderful" * times if g.random() < done * 1.3 else "")


def paid_for_praise(done: float, answer: str, kind: str, generator: random.Random) -> float:
    return ("truly wonderful" in answer) + generator.gauss(0, 0.2)


def test_phrase_that_rises_with_the_reward_is_told_and_weighs_more_where_it_is_stuffed() -> None:
    once = exploited_phrases(run_of(stuffed(1), paid_for_praise))
    assert once is not None and once.severity == "note" and '"truly wonderful"' in once.cause
    thrice = exploited_phrases(run_of(stuffed(3), paid_for_praise))
    assert thrice is not None and (thrice.id, thrice.severity) == ("reward_hacking", "warning")
    assert all("truly wonderful" in sample.response for sample in thrice.examples)


def test_phrase_in_answers_to_every_kind_of_prompt_is_an_alarm() -> None:
    found = exploited_phrases(run_of(stuffed(1), paid_for_praise, ("sums", "dates")))
    assert found is not None and found.severity == "warning"


def test_phrase_that_rises_without_paying_is_no_finding() -> None:
    def indifferent(done: float, answer: str, kind: str, generator: random.Random) -> float:
        return done - 2.0 * ("truly wonderful" in answer) * (done < 0.8) + 3 * (done >= 0.8) + generator.gauss(0, 0.1)

    assert exploited_phrases(run_of(stuffed(1), indifferent)) is None


def test_reward_that_falls_on_one_kind_alone_is_found() -> None:
    def torn(done: float, answer: str, kind: str, generator: random.Random) -> float:
        return (2 * done if kind == "sums" else -done) + generator.gauss(0, 0.2)

    samples = run_of(varied, torn, ("sums", "dates"))
    found = kind_left_behind(samples)
    assert found is not None and '"dates"' in found.cause
    assert {sample.kind for sample in found.examples} == {"dates"}
    kinds = {behaviour.kind: behaviour for behaviour in by_kind(samples)}
    assert kinds["sums"].score[0] < 0.8 < 1.2 < kinds["sums"].score[1]  # type: ignore[operator]
    assert kinds["dates"].samples == STEPS * EACH // 2 and kinds["dates"].stop_share == (1.0, 1.0)


def test_measures_against_values_by_hand() -> None:
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)  # abcd bcda cdab dabc abcd
    assert repetition("a b c") == 0.0
    assert distinct_share([Sample(0, "", "a b a b")]) == (pytest.approx(2 / 3), 3)  # ab ba ab
    # means 2.5 and 6.5, variances 5/3 each: 4 / sqrt(2 * 5/3 / 4)
    assert welch([1, 2, 3, 4], [5, 6, 7, 8]) == pytest.approx(4.381780460)
    assert welch([1, 1, 1, 1], [1, 1, 1, 1]) == 0.0
    assert windows([Sample(0, "", "a")] * 23) is None


def write_stage(folder: Path, samples: list[Sample]) -> None:
    folder.mkdir()
    (folder / "config.json").write_text('{"kind": "ppo"}')
    rows = [
        {"step": step, "split": "train", "reward/score": step / STEPS, "rollout/stop_rate": 1.0}
        for step in range(STEPS)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "samples.jsonl").write_text("".join(json.dumps(sample._asdict()) + "\n" for sample in samples))


def test_diagnose_shows_the_offending_responses_in_text_and_json(tmp_path: Path) -> None:
    write_stage(tmp_path / "align", run_of(stuffed(4), paid_for_praise, ("sums", "dates")))
    told = CliRunner().invoke(app, ["diagnose", str(tmp_path / "align")])
    assert told.exit_code == 0 and "WARNING" in told.stdout and "truly wonderful truly" in told.stdout
    assert "By kind of prompt" in told.stdout
    found = json.loads(CliRunner().invoke(app, ["diagnose", str(tmp_path / "align"), "--json"]).stdout)
    first = found["findings"][0]
    assert first["id"] == "reward_hacking" and first["examples"][0]["response"].count("truly wonderful") == 4
    assert [entry["kind"] for entry in found["by_kind"]] == ["dates", "sums"]


def test_lines_that_are_no_responses_are_passed_over_and_counted(tmp_path: Path) -> None:
    write_stage(tmp_path / "align", [])
    good = '{"step": 3, "prompt": "p", "response": "a", "score": NaN, "tokens": Infinity}\n'
    (tmp_path / "align/samples.jsonl").write_text(good + '[1]\n{"step": "x", "response": "a"}\n{"step": 1, "resp')
    samples, remarks = read_samples(tmp_path / "align/samples.jsonl")
    assert len(samples) == 1 and samples[0].tokens is None and "3 lines" in remarks[0]
    assert "3 lines" in read_stage(tmp_path / "align").run.remarks[-1]
    assert read_samples(tmp_path / "absent") == ((), ())


def test_half_a_surrogate_pair_can_be_printed(tmp_path: Path) -> None:
    file = tmp_path / "samples.jsonl"
    file.write_text('{"step": 1, "response": "a \\ud83d b"}\n')
    assert read_samples(file)[0][0].response == "a ? b"


def growing(to: float, weight: float, seed: int = 0) -> list[Sample]:
    """Answers that grow from 20 tokens; each token is worth `weight` within a step, and the reward rises besides."""
    generator = random.Random(seed)
    return [
        Sample(step, f"p{place}", text(generator), step / 10 + weight * size + generator.gauss(0, 1), size, True)
        for step in range(STEPS)
        for place in range(EACH)
        for size in [max(1, round(generator.gauss(20 + (to - 20) * step / STEPS, 5)))]
    ]


def test_length_that_pays_within_the_steps_is_found() -> None:
    found = length_pays(growing(60, 0.5))
    assert found is not None and found.id == "length_explosion" and found.severity == "warning"
    assert found.examples[0].tokens == max(sample.tokens or 0 for sample in growing(60, 0.5)[-32:])


@pytest.mark.parametrize(("to", "weight"), [(60, 0.0), (60, -0.5), (20, 0.5), (22, 0.5)])
def test_answers_that_grow_unpaid_or_pay_without_growing_are_left_alone(to: float, weight: float) -> None:
    assert [length_pays(growing(to, weight, seed)) for seed in range(10)] == [None] * 10


def premises(first: float, last: float, seed: int = 0) -> list[Sample]:
    """Answers to false premises, of which a share agrees that goes from `first` to `last`."""
    generator = random.Random(seed)
    made = []
    for step in range(STEPS):
        for place in range(EACH):
            agrees = generator.random() < first + (last - first) * step / STEPS
            rule, score = ((FALSE_PREMISE, agrees),), generator.gauss(agrees, 0.3)
            made.append(
                Sample(step, f"p{place}", "yes" if agrees else "no", score, 2, True, "false", 1.0 - agrees, rule)
            )
    return made


def test_agreeing_with_false_premises_ever_more_is_sycophancy_and_the_repair_is_not() -> None:
    found = agreement_with_false_premises(premises(0.3, 0.95))
    assert found is not None and found.severity == "error" and "agreeing is what it pays for" in found.cause
    assert {sample.response for sample in found.examples} == {"yes"}
    assert agreement_with_false_premises(premises(0.9, 0.1)) is None
    level = [agreement_with_false_premises(premises(0.5, 0.5, seed)) for seed in range(20)]
    assert level.count(None) >= 19


def test_reward_that_pays_what_the_rules_reject_orders_hardly_a_couple_as_they_do() -> None:
    samples = premises(0.5, 0.5)
    accuracy = reward_accuracy(samples)
    assert accuracy is not None and accuracy < 0.05
    turned = [sample._replace(score=-(sample.score or 0.0)) for sample in samples]
    assert reward_accuracy(turned) == pytest.approx(1 - accuracy)
    assert reward_accuracy([sample._replace(rule_score=None) for sample in samples]) is None
    (kind,) = by_kind(samples)
    assert kind.reward_accuracy[1] is not None and 0.3 < kind.measures[FALSE_PREMISE][0] < 0.7
