"""`boresight data lint`, `filter` and `split`, called as the command calls them."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from boresight.cli.data_quality import filter_rows, lint, split
from boresight.cli.main import _guarded

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "kube_assistant" / "data"
HH = ROOT.parent / "shared" / "data" / "hh_rlhf"
needs_hh = pytest.mark.skipif(not HH.is_dir(), reason="the public HH-RLHF files are not beside the repository")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
for name, function in {"lint": lint, "filter": filter_rows, "split": split}.items():
    app.command(name)(_guarded(name, function))


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_lint_prints_one_json_object_and_leaves_with_1_where_a_finding_is_an_error() -> None:
    done = call("lint", EXAMPLE / "pairs_faulty.csv", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 1 and told["passed"] is False and told["rows"] == 360
    for finding in told["findings"]:
        assert {"id", "severity", "count", "share", "message", "examples"} <= set(finding)


def test_lint_of_sound_data_leaves_with_0() -> None:
    done = call("lint", EXAMPLE / "pairs_dialogue.jsonl")
    assert done.exit_code == 0 and "0 errors, 0 warnings" in done.stdout


def test_lint_tells_of_leaks_between_files_and_of_evaluation_prompts(tmp_path: Path) -> None:
    rows = (EXAMPLE / "pairs.csv").read_text(encoding="utf-8").splitlines()
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("\n".join(rows[:200]), encoding="utf-8")
    test.write_text("\n".join([rows[0], *rows[150:250]]), encoding="utf-8")
    told = json.loads(call("lint", train, test, "--eval", test, "--json").stdout)
    severity = {finding["id"]: finding["severity"] for finding in told["findings"]}
    assert severity["duplicate_across_splits"] == severity["prompt_across_splits"] == "warning"
    assert severity["contamination"] == "warning"


def test_lint_of_demonstrations_and_of_their_prompts() -> None:
    done = call("lint", EXAMPLE / "demonstrations.jsonl", "--json")
    assert done.exit_code == 0 and "prompt_kinds" in {finding["id"] for finding in json.loads(done.stdout)["findings"]}


def test_lint_takes_columns_by_name(tmp_path: Path) -> None:
    file = tmp_path / "answers.csv"
    file.write_text("question,best,worst\nWhy?,Because.,Because.\n", encoding="utf-8")
    done = call(
        "lint", file, "--column", "prompt=question", "--column", "chosen=best", "--column", "rejected=worst", "--json"
    )
    assert "identical_answers" in {finding["id"] for finding in json.loads(done.stdout)["findings"]}


def test_filter_counts_and_writes(tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    done = call(
        "filter", EXAMPLE / "pairs_faulty.csv", "--max-length-ratio", "2", "--dedupe", "near", "--out", out, "--json"
    )
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and told["kept"] + sum(told["dropped"].values()) == told["rows"] == 360
    assert set(told["dropped"]) == {"duplicate", "near_duplicate", "length_ratio"}
    assert len(out.read_text(encoding="utf-8").splitlines()) == told["kept"]


def test_length_is_evened_out_by_weight(tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    arguments = ("filter", EXAMPLE / "pairs.csv", "--balance-length", "reweight", "--out", out)
    told = json.loads(call(*arguments, "--json").stdout)
    assert told["kept"] == told["rows"] and told["length_weights"]["weighted_length_rule_accuracy"] == pytest.approx(
        0.5
    )
    assert "a rule that sees length alone is right in" in call(*arguments).stdout
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    lengths = [[len(row[side][-1]["content"].strip()) for side in ("chosen", "rejected")] for row in rows]
    longer = sum(row["meta"]["weight"] for row, (a, b) in zip(rows, lengths, strict=True) if a > b)
    shorter = sum(row["meta"]["weight"] for row, (a, b) in zip(rows, lengths, strict=True) if a < b)
    assert longer == pytest.approx(shorter)


@needs_hh
def test_filter_of_published_pairs_keeps_what_a_count_by_hand_keeps(tmp_path: Path) -> None:
    source = HH / "helpful-base.train.jsonl.gz"
    with gzip.open(source, "rt", encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    answers = [[row[side].rsplit("\n\nAssistant:", 1)[1].split() for side in ("chosen", "rejected")] for row in rows]
    kept = sum(len(rejected) > 0 and len(chosen) <= 2 * len(rejected) for chosen, rejected in answers)
    told = json.loads(call("filter", source, "--max-length-ratio", "2", "--out", tmp_path / "g.jsonl", "--json").stdout)
    assert told["kept"] == kept
    assert told["dropped"] == {"length_ratio": 1210 - 3 - kept, "rejected_without_words": 3}


@needs_hh
@pytest.mark.parametrize("name", sorted(path.name for path in HH.glob("*.jsonl.gz")))
def test_published_pairs_can_be_linted(name: str) -> None:
    done = call("lint", HH / name, "--json")
    assert done.exit_code in (0, 1) and json.loads(done.stdout)["rows"] > 0


def test_split_writes_its_parts(tmp_path: Path) -> None:
    done = call("split", EXAMPLE / "pairs.csv", "--out", tmp_path, "--parts", "train=0.8,test=0.2", "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    with (EXAMPLE / "pairs.csv").open(newline="", encoding="utf-8") as stream:
        rows = sum(1 for _ in csv.DictReader(stream))
    assert sum(part["rows"] for part in told["parts"].values()) + told["aside"]["rows"] == told["rows"] == rows
    assert set(told["strata"]) == {"plain", "greeting", "false_premise", "true_premise"}
    assert call("lint", tmp_path / "train.jsonl", tmp_path / "test.jsonl", "--json").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lint", "none.csv"], "no such file"),
        (["lint", EXAMPLE / "pairs.csv", EXAMPLE / "demonstrations.jsonl"], "files of one kind"),
        (["filter", EXAMPLE / "pairs.csv", "--out", "x.jsonl"], "no filter is named"),
        (["filter", EXAMPLE / "pairs.csv", "--drop-lint", "length_bia", "--out", "x.jsonl"], "length_bias"),
        (["split", EXAMPLE / "pairs.csv", "--parts", "train=2,test=1", "--out", "x"], "add up to 1"),
        (["split", EXAMPLE / "pairs.csv", "--parts", "train", "--out", "x"], "NAME=SHARE"),
        (["lint", EXAMPLE / "pairs.csv", "--column", "chosen"], "PART=NAME"),
    ],
)
def test_bad_input_leaves_with_2_and_no_traceback(
    arguments: list[str | Path], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = call(*arguments)
    assert done.exit_code == 2 and words in done.output and "Traceback" not in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["lint", "filter", "split"])
def test_help_teaches_with_an_example(verb: str) -> None:
    done = call(verb, "--help")
    assert done.exit_code == 0 and f"boresight data {verb}" in done.stdout


def test_the_verbs_load_no_torch() -> None:
    program = (
        "import sys\nfrom boresight.cli.data_quality import lint\nfrom pathlib import Path\n"
        f"lint([Path({str(EXAMPLE / 'pairs_dialogue.jsonl')!r})], as_json=True)\n"
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0
