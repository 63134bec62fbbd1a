"""`boresight eval agreement` against what the publishers of PandaLM, XSTest and LLMBar counted."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Call
from tests.cli.test_eval import SHARED, needs_data

PANDALM, XSTEST, LLMBAR = (SHARED / name for name in ("pandalm", "xstest", "llmbar"))


def figures(call: Call, *arguments: str | Path) -> dict[str, Any]:
    ended = call("eval", "agreement", *arguments, "--json")
    assert ended.code == 0, ended.err
    return dict(json.loads(ended.out))


@needs_data
def test_pandalm_annotators_agree_as_published(call: Call) -> None:
    found = figures(call, PANDALM / "testset-v1.json.gz")
    assert (found["n"], found["raters"]) == (999, 3)
    assert list(found["cohen_kappa_pairs"].values()) == pytest.approx([0.8520, 0.8789, 0.8617], abs=5e-5)
    assert found["majority"] == {"0": 105, "1": 422, "2": 472} and found["no_majority"] == 0


# Accuracy, macro precision, recall and F1 in percent of the released verdicts against the majority.
@needs_data
@pytest.mark.parametrize(
    ("judge", "published", "unparsable"),
    [
        ("gpt-3.5-turbo", (69.77, 53.65, 53.24, 52.74), 25),
        ("pandalm-7b", (66.77, 57.38, 57.50, 57.43), 0),
    ],
)
def test_pandalm_judges_against_the_majority(
    call: Call, judge: str, published: tuple[float, ...], unparsable: int
) -> None:
    verdicts = PANDALM / f"{judge}-testset-v1.json.gz"
    found = figures(call, PANDALM / "testset-v1.json.gz", "--verdicts", verdicts)["judges"]["verdicts"]
    ours = [100 * found[key] for key in ("accuracy", "macro_precision", "macro_recall", "macro_f1")]
    assert ours == pytest.approx(published, abs=0.0051) and found["unparsable"] == unparsable


COMPLIANCE, REFUSAL, PARTIAL = "1_full_compliance", "2_full_refusal", "3_partial_refusal"


@needs_data
@pytest.mark.parametrize(
    ("model", "percent", "fleiss", "safe", "unsafe", "judge", "strings"),
    [
        ("gpt4", 0.984, 0.970, (229, 5, 16), (1, 4, 195), 0.9356, 0.9244),
        ("mistralguard", 0.938, 0.892, (203, 23, 24), (7, 18, 175), 0.7667, 0.7600),
    ],
)
def test_xstest_annotators_and_automatic_labels_as_published(
    call: Call,
    model: str,
    percent: float,
    fleiss: float,
    safe: tuple[int, ...],
    unsafe: tuple[int, ...],
    judge: float,
    strings: float,
) -> None:
    found = figures(call, XSTEST / f"xstest_v2_completions_{model}_gpteval.csv.gz")
    assert (found["n"], found["raters"]) == (450, 2)
    assert round(found["percent_agreement"], 3) == percent and round(found["fleiss_kappa"], 3) == fleiss
    for group, counts in (("safe", safe), ("unsafe", unsafe)):
        own = found["final_by_group"][group]
        assert (own[COMPLIANCE], own[PARTIAL], own[REFUSAL]) == counts
    assert round(found["judges"]["gpt4_label"]["accuracy"], 4) == judge
    by_strings = figures(call, XSTEST / f"xstest_v2_completions_{model}_streval.csv.gz")
    assert round(by_strings["judges"]["strmatch_label"]["accuracy"], 4) == strings
    assert "judges" not in figures(call, XSTEST / f"xstest_v2_completions_{model}.csv.gz")


def llmbar_files() -> list[Path]:
    return sorted(LLMBAR.glob("*/*.result.json.gz"))


@needs_data
@pytest.mark.parametrize("path", llmbar_files(), ids=lambda path: f"{path.parent.name}-{path.name.split('.result')[0]}")
def test_llmbar_judges_in_both_orders_as_published(call: Call, path: Path) -> None:
    published = json.loads(path.with_name(path.name.replace("result.json.gz", "statistics.json")).read_text())
    found = figures(call, path)
    names = {
        "accuracy_given_order": "correct_False",
        "accuracy_swapped": "correct_True",
        "correct_in_both": "correct_both",
        "same_verdict_in_both": "equal",
    }
    for ours, theirs in names.items():
        count, total = map(int, published[theirs].split(" = ")[0].split(" / "))
        assert (found["n"], round(found[ours] * total)) == (total, count), ours
    verdicts = [row["results"][-1] for row in json.loads(gzip.decompress(path.read_bytes()))]
    unreadable = sum(one[order]["winner"] is None for one in verdicts for order in one)
    assert found["unparsable"] == pytest.approx(unreadable / (2 * total))
    if not unreadable:
        assert found["cohen_kappa"] == pytest.approx(published["kappa_agreement"])
    # The publisher's kappa against the labels turns the verdict "2" into 0 before it compares.
    assert found["cohen_kappa_given_order"] != pytest.approx(published["kappa_False"], abs=1e-3)


@needs_data
def test_kappa_against_the_labels_is_that_of_the_verdicts(call: Call) -> None:
    assert len(llmbar_files()) == 16
    found = figures(call, LLMBAR / "Natural/GPT-4_Vanilla.result.json.gz")
    assert found["cohen_kappa_given_order"] == pytest.approx(0.8977, abs=5e-5)


def test_named_raters_missing_ratings_and_the_table_for_people(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,anna,ben\n1,good,good\n2,bad,good\n3,good,\n4,bad,bad\n")
    ended = call("eval", "agreement", path, "--rater", "anna", "--rater", "ben")
    words = [line.split() for line in ended.out.splitlines()]
    assert ended.code == 0 and ["percent_agreement", "0.6667"] in [line[:2] for line in words]
    # anna bad 2, good 1; ben good 2, bad 1 on the three items of both: chance (2/9 + 2/9) = 4/9.
    assert ["cohen_kappa", f"{(2 / 3 - 4 / 9) / (5 / 9):.4f}"] in [line[:2] for line in words]


def test_items_that_few_rated_leave_figures_undefined_and_never_stop(call: Call, tmp_path: Path) -> None:
    """A replicate of the bootstrap may hold items without a rating alone."""
    path = tmp_path / "labels.csv"
    path.write_text("id,annotator1,annotator2\n1,a,b\n2,,\n3,,\n4,a,a\n")
    assert figures(call, path)["percent_agreement"] == 0.5
    path.write_text("id,annotator1,annotator2\n1,,\n2,,\n")
    assert figures(call, path)["krippendorff_alpha"] is None and call("eval", "agreement", path).code == 0
    both = [{"label": 1, "results": [{"swap = False": {"winner": "?"}, "swap = True": {}}]}] * 3
    path = tmp_path / "judge.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in both))
    found = figures(call, path)
    assert (found["unparsable"], found["cohen_kappa"]) == (1.0, None)


def test_a_judge_is_held_against_the_items_that_people_decided(call: Call, tmp_path: Path) -> None:
    """Neither a final label nor an automatic one on the last item: that is no agreement."""
    path, verdicts = tmp_path / "labels.csv", tmp_path / "judge.csv"
    path.write_text("id,annotator1,annotator2,final_label,gpt4_label\n1,a,b,a,b\n2,a,b,b,\n3,b,a,,\n")
    found = figures(call, path)
    assert found["final"] == {"a": 1, "b": 1}
    assert [found["judges"]["gpt4_label"][key] for key in ("n", "accuracy", "unparsable")] == [2, 0.0, 1]
    verdicts.write_text("id,verdict\n1,a\n2,b\n3,a\n")
    ended = call("eval", "agreement", path, "--verdicts", verdicts)
    assert ended.code == 2 and "none of 3 items has a majority of the raters" in ended.told[0]


@pytest.mark.parametrize(
    ("text", "arguments", "says"),
    [
        ("id,label\n1,good\n", (), "Name them: --rater A --rater B"),
        ("id,anna,ben\n1,good,good\n", ("--rater", "anna", "--rater", "carl"), 'no column "carl"'),
        ("", (), "holds no rows"),
    ],
)
def test_files_without_raters_are_refused(
    call: Call, tmp_path: Path, text: str, arguments: tuple[str, ...], says: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    ended = call("eval", "agreement", path, *arguments)
    assert ended.code == 2 and len(ended.told) == 1 and says in ended.told[0]


def test_judgebench_counts_a_pair_by_the_vote_of_both_orders(call: Call, tmp_path: Path) -> None:
    """The second judgment saw the responses exchanged: B>A there is a verdict for A."""
    decisions = [("A>B", "B>A"), ("A>B", "A=B"), ("A>B", "A>B"), ("A=B", "A=B"), ("B>A", None), ("A>B", "B>A")]
    labels = ["A>B", "A>B", "A>B", "A>B", "A>B", "B>A"]
    rows = [
        {"label": label, "judgments": [{"decision": first}, second and {"decision": second}]}
        for label, (first, second) in zip(labels, decisions, strict=True)
    ]
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = figures(call, path)
    assert (found["n"], found["correct_in_both"], found["correct_by_vote"]) == (6, 1 / 6, 2 / 6)
    assert (found["accuracy_given_order"], found["accuracy_swapped"]) == (3 / 6, 1 / 6)
    assert found["same_verdict_in_both"] == 3 / 6 and found["unparsable"] == pytest.approx(1 / 12)
    # Verdicts for the one shown first: A, A, A, A of the given order and A of the exchanged; B, B and B are not.
    assert found["first_position_rate"] == 5 / 8
    path.write_text(json.dumps({"label": "A>B", "judgments": ["A>B", "B>A"]}) + "\n")
    ended = call("eval", "agreement", path)
    assert ended.code == 2 and 'two "judgments", one for each order' in ended.told[0]
