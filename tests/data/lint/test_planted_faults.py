"""The embedded example's faulty file: every planted fault is found, and none of them in the sound files."""

import csv
from pathlib import Path

import pytest

from boresight.data.lint.run import Lint, lint
from boresight.data.readers import read_pairs
from boresight.records import PreferencePair

DATA = Path(__file__).parents[3] / "examples" / "kube_assistant" / "data"
FAULTY = DATA / "pairs_faulty.csv"

FOUND_BY = {
    "exact_duplicate": "exact_duplicate",
    "near_duplicate": "near_duplicate",
    "contradictory": "contradictory",
    "identical_answers": "identical_answers",
    "length_bias": "length_bias",
    "sycophancy": "sycophancy",
    "off_topic": "off_topic_rejected",
}
"""The fault as the file calls it, and the finding that names it."""


def pairs_of(path: Path) -> list[PreferencePair]:
    return read_pairs(path, on_identical="keep").pairs


@pytest.fixture(scope="module")
def faults() -> list[str]:
    with FAULTY.open(newline="", encoding="utf-8") as stream:
        return [row["fault"] for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def faulty() -> Lint:
    return lint({"faulty": pairs_of(FAULTY)})


def test_every_planted_fault_has_a_finding(faults: list[str]) -> None:
    assert set(faults) - {"none"} == set(FOUND_BY)


@pytest.mark.parametrize("fault", FOUND_BY)
def test_a_planted_fault_is_found_above_note(faulty: Lint, fault: str) -> None:
    finding = faulty.finding(FOUND_BY[fault])
    assert finding is not None and finding.severity in ("warning", "error")
    assert finding.advice


@pytest.mark.parametrize(
    ("fault", "finding_id", "recall"),
    [
        ("exact_duplicate", "exact_duplicate", 1.0),
        ("near_duplicate", "near_duplicate", 1.0),
        ("contradictory", "contradictory", 1.0),
        ("identical_answers", "identical_answers", 1.0),
        ("length_bias", "padded_chosen", 0.95),
        ("sycophancy", "sycophancy", 0.8),
        ("off_topic", "off_topic_rejected", 0.5),
    ],
)
def test_most_rows_of_a_planted_fault_are_pointed_at(
    faulty: Lint, faults: list[str], fault: str, finding_id: str, recall: float
) -> None:
    """A copy made before its original in the shuffled file counts as the original, so the group is what matters."""
    finding = faulty.finding(finding_id)
    assert finding is not None
    planted = {row for row, name in enumerate(faults) if name == fault}
    hit = planted & set(finding.rows)
    if fault.endswith("duplicate"):
        assert finding.count >= recall * len(planted)
    else:
        assert len(hit) >= recall * len(planted)


@pytest.mark.parametrize("name", ["pairs.csv", "pairs_dialogue.jsonl"])
def test_sound_files_have_no_finding_above_note(name: str) -> None:
    loud = [finding.id for finding in lint({name: pairs_of(DATA / name)}).findings if finding.severity != "note"]
    assert loud == []


def test_the_column_that_names_the_faults_is_not_read(tmp_path: Path, faulty: Lint) -> None:
    with FAULTY.open(newline="", encoding="utf-8") as stream:
        rows = [{key: value for key, value in row.items() if key != "fault"} for row in csv.DictReader(stream)]
    blind = tmp_path / FAULTY.name
    with blind.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    seen = lint({"faulty": pairs_of(blind)})
    assert [(f.id, f.severity, f.count) for f in seen.findings] == [
        (f.id, f.severity, f.count) for f in faulty.findings
    ]
