"""`judge calibrate`, `route` and `merge` as people call them: on published verdicts, and against an endpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from boresight.data.jsonl import read_records, write_records
from boresight.evaluation.agreement import judge_figures
from boresight.evaluation.rater_files import Rated, read_raters, read_verdicts
from boresight.feedback.judged_couples import write_judged
from boresight.records import PreferencePair
from tests.cli.conftest import Call
from tests.cli.test_eval import needs_data
from tests.cli.test_eval_agreement import LLMBAR, PANDALM, llmbar_files
from tests.feedback.judge_server import Bias, JudgeServer
from tests.feedback.planted_couples import JUDGE, Planted, people_on, planted_couples
from tests.feedback.test_rubric_judge import response


def figures(call: Call, *arguments: str | Path) -> dict[str, Any]:
    ended = call("judge", *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out))


@needs_data
@pytest.mark.parametrize("path", llmbar_files(), ids=lambda path: f"{path.parent.name}-{path.name.split('.result')[0]}")
def test_llmbar_judges_stand_as_published(call: Call, path: Path) -> None:
    published = json.loads(path.with_name(path.name.replace("result.json.gz", "statistics.json")).read_text())
    found = figures(call, "calibrate", path)
    for ours, theirs in (("accuracy_given_order", "correct_False"), ("accuracy_swapped", "correct_True"),
                         ("correct_in_both", "correct_both"), ("same_verdict_in_both", "equal")):  # fmt: skip
        count, total = map(int, published[theirs].split(" = ")[0].split(" / "))
        assert (found["orders"]["n"], round(found["orders"][ours] * total)) == (total, count), ours
    chances = found["calibration"]
    assert found["agreement"]["n"] == total
    # What is told of a map is out of fold; a coin's log loss is 0.693.
    assert chances["maps"][chances["chosen"]]["nll"] == min(own["nll"] for own in chances["maps"].values()) < 0.72
    low, high = found["agreement"]["kappa_ci95"]
    assert low <= found["agreement"]["cohen_kappa"] <= high


@needs_data
@pytest.mark.parametrize(("judge", "accuracy"), [("gpt-3.5-turbo", 69.77), ("pandalm-7b", 66.77)])
def test_pandalm_judges_stand_as_published_in_their_one_order(call: Call, judge: str, accuracy: float) -> None:
    verdicts = PANDALM / f"{judge}-testset-v1.json.gz"
    found = figures(call, "calibrate", PANDALM / "testset-v1.json.gz", "--verdicts", verdicts)
    assert found["orders"] is None and found["effects"]["position"] is None and found["agreement"]["n"] == 999
    assert 100 * found["agreement"]["accuracy"] == pytest.approx(accuracy, abs=0.0051)
    rated = read_raters(PANDALM / "testset-v1.json.gz")
    assert isinstance(rated, Rated)
    majority = [max(set(row), key=row.count) for row in rated.labels]  # none of the 999 is without one
    own = judge_figures(read_verdicts(verdicts, rated.ids), [str(label) for label in majority])
    assert found["agreement"]["cohen_kappa"] == pytest.approx(own["cohen_kappa"], abs=1e-9)


@needs_data
def test_published_set_without_a_judge_or_with_two_is_refused(call: Call) -> None:
    ended = call("judge", "calibrate", PANDALM / "testset-v1.json.gz")
    assert ended.code == 2 and "--verdicts" in ended.told[0]
    result = LLMBAR / "Natural/GPT-4_Vanilla.result.json.gz"
    ended = call("judge", "calibrate", result, "--verdicts", PANDALM / "pandalm-7b-testset-v1.json.gz")
    assert ended.code == 2 and "leave --verdicts out" in ended.told[0]


def test_jury_is_told_beside_its_judges(call: Call, tmp_path: Path) -> None:
    truth = planted_couples(400, Planted())
    from dataclasses import replace

    for number, noise in enumerate((0.15, 0.3, 0.3)):
        wrong = planted_couples(400, Planted(noise=noise), seed=number + 1)
        couples = [
            replace(
                c,
                given=abs(c.given - (w.given != float(b == 1))),
                swapped=abs(c.swapped - (w.swapped != float(b == 1))),
            )  # type: ignore[operator]
            for (c, _), (w, b) in zip(truth, wrong, strict=True)
        ]
        write_judged(tmp_path / f"{number}.jsonl", couples, {**JUDGE, "judge": f"judge-{number}"})
    people = tmp_path / "people.jsonl"
    write_records(people, people_on(truth[:300]))
    files = [tmp_path / f"{number}.jsonl" for number in range(3)]
    out = tmp_path / "jury.json"
    found = figures(call, "calibrate", *files, "--human", people, "--jury", "dawid_skene", "--out", out)
    alone = [own["agreement"]["accuracy"] for own in found["judges"]]
    assert found["agreement"]["accuracy"] > max(alone) and found["unmatched"] == {"judged": 100, "people": 0}
    text = call("judge", "calibrate", *files, "--human", people, "--jury", "dawid_skene").out
    assert "jury (dawid_skene)" in text and "judge-2" in text and "(chosen)" in text
    ask, plan, pairs = (tmp_path / name for name in ("ask.jsonl", "plan.json", "pairs.jsonl"))
    routed = figures(call, "route", *files, "--calibration", out, "--jury", "dawid_skene", "--human", people,
                     "--share", "0.1", "--out", ask, "--plan", plan)  # fmt: skip
    assert routed["routed"] == 40
    refused = call(
        "judge", "route", *files, "--calibration", out, "--jury", "mean", "--budget", "5", "--out", ask, "--plan", plan
    )
    assert refused.code == 2 and "calibrated for jury 'dawid_skene'" in refused.told[0]
    merged = figures(call, "merge", *files, "--calibration", out, "--jury", "dawid_skene", "--human", people,
                     "--plan", plan, "--out", pairs)  # fmt: skip
    assert merged["human"] == 300 and merged["audit_unanswered"] > 0
    other = call("judge", "merge", *files, "--human", people, "--plan", plan, "--out", pairs)
    assert other.code == 2 and "another calibration" in other.told[0] and len(read_records(pairs, PreferencePair)) > 300
    assert len(read_records(pairs, PreferencePair)) == merged["pairs"]


def quality(pair: dict[str, Any]) -> list[int]:
    first, second = (float(text.split("quality=")[1].split()[0]) for text in pair["responses"])
    return [1, 2] if first > second else [2, 1]


def test_from_a_biased_endpoint_to_a_merged_set(call: Call, tmp_path: Path) -> None:
    """Label, have people answer, calibrate, label again with it, route, merge; and a judge that drifts is told."""
    responses = [
        response(f"p{n}", i, f"quality={0.1 + 0.8 * ((n + i) % 2)} text" + " and more" * ((n // 2 + i) % 2))
        for n in range(120)
        for i in (0, 1)
    ]
    write_records(tmp_path / "responses.jsonl", responses)
    names = "responses.jsonl pairs.jsonl judged.jsonl first.jsonl people.jsonl calibration.json ask.jsonl plan.json"
    place = {name: tmp_path / name for name in f"{names} answers.jsonl merged.jsonl".split()}
    with JudgeServer(Bias(position=0.2, noise=0.3)) as server:
        label = ["label", place["responses.jsonl"], "--base-url", server.url, "--model", "qwen-judge",
                 "--out", place["pairs.jsonl"], "--judged", place["judged.jsonl"]]  # fmt: skip
        first = figures(call, *label)
        assert first["comparisons"] == 120 and len(server.requests) == 720  # 2 orders, 3 criteria
        figures(call, "route", place["judged.jsonl"], "--budget", "60", "--audit", "1", "--out", place["first.jsonl"],
                "--plan", place["plan.json"])  # fmt: skip
        rows = [json.loads(line) for line in place["first.jsonl"].read_text().splitlines()]
        place["people.jsonl"].write_text("".join(json.dumps(row | {"ranks": quality(row)}) + "\n" for row in rows))
        calibrated = figures(call, "calibrate", place["judged.jsonl"], "--human", place["people.jsonl"],
                             "--policy", "Qwen/Qwen3-8B", "--out", place["calibration.json"])  # fmt: skip
        assert calibrated["agreement"]["n"] == 60 and "self_preference" in " ".join(calibrated["warnings"])
        again = figures(call, *label, "--calibration", place["calibration.json"])
        assert again["drift"]["n"] == 40 and again["drift"]["changed"] == 0.0 and again["cost"]["known_before"] == 720
        assert len(server.requests) == 720 + 40 * 6
        quiet = figures(call, *label, "--calibration", place["calibration.json"], "--no-drift-check")
        assert "drift" not in quiet and quiet["calibration"]["map"] == calibrated["calibration"]["chosen"]
        probabilities = {pair.p_chosen for pair in read_records(place["pairs.jsonl"], PreferencePair)}
        assert probabilities != {0.95}
        other = call("judge", *label, "--calibration", place["calibration.json"], "--rubric", "harmless")
        assert other.code == 2 and "calibrated for rubric 'helpful'" in other.told[0]
    with JudgeServer(Bias(position=1.0)) as server:
        label[3] = server.url
        elsewhere = ["--cache", tmp_path / "other.sqlite", "--out", tmp_path / "none.jsonl"]
        elsewhere += ["--judged", tmp_path / "none-judged.jsonl", "--calibration", place["calibration.json"]]
        ended = call("judge", *label, *elsewhere, "--json")
    assert "WARNING: judge_drift: " in ended.err and "first_position" in json.loads(ended.out)["drift"]["drifted"]
    routed = figures(call, "route", place["judged.jsonl"], "--calibration", place["calibration.json"],
                     "--human", place["people.jsonl"], "--budget", "30", "--out", place["ask.jsonl"],
                     "--plan", place["plan.json"])  # fmt: skip
    assert sum(routed["reasons"].values()) == 30 and routed["reasons"]["audit"] == 9
    rows = [json.loads(line) for line in place["ask.jsonl"].read_text().splitlines()]
    place["answers.jsonl"].write_text("".join(json.dumps(row | {"ranks": quality(row)}) + "\n" for row in rows))
    ended = call("judge", "merge", place["judged.jsonl"], "--calibration", place["calibration.json"],
                 "--human", place["people.jsonl"], "--human", place["answers.jsonl"], "--plan", place["plan.json"],
                 "--out", place["merged.jsonl"], "--human-weight", "2")  # fmt: skip
    assert ended.code == 0 and "90 by people" in ended.out and "wrong among the judge's labels" in ended.out
    merged = read_records(place["merged.jsonl"], PreferencePair)
    assert all(("0.9" in pair.chosen[0].content) for pair in merged if pair.source == "human")
    assert {pair.meta["weight"] for pair in merged} == {1.0, 2.0}


def test_couples_for_people_are_tasks_of_the_annotation_app(call: Call, tmp_path: Path) -> None:
    write_judged(tmp_path / "judged.jsonl", [c for c, _ in planted_couples(40, Planted(position=0.3))], JUDGE)
    ask, plan = tmp_path / "ask.jsonl", tmp_path / "plan.json"
    figures(call, "route", tmp_path / "judged.jsonl", "--budget", "10", "--out", ask, "--plan", plan)
    ended = call("label", "import", ask, "--store", tmp_path / "labels.db")
    assert ended.code == 0 and "10 tasks added" in ended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("calibrate", "judged.jsonl"), "--human"),
        (("route", "judged.jsonl", "--out", "o", "--plan", "p"), "--share"),
        (("route", "judged.jsonl", "--out", "o", "--plan", "p", "--budget", "2", "--share", "0.1"), "--budget"),
        (("merge", "missing.jsonl", "--human", "judged.jsonl", "--out", "o"), "missing.jsonl"),
    ],
)
def test_what_is_missing_is_told(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_judged(tmp_path / "judged.jsonl", [couple for couple, _ in planted_couples(5, Planted())], JUDGE)
    ended = call("judge", *arguments)
    assert ended.code == 2 and says in ended.err
