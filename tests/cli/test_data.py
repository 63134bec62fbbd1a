"""`boresight data`: its verbs, their contracts and what they cost to ask."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boresight.cli import data
from tests.cli.conftest import Call, boresight
from tests.cli.test_main import answers_at_once
from tests.data.conftest import make_tokenizer

ROOT = Path(__file__).parents[2]
HH = ROOT.parent / "shared" / "data" / "hh_rlhf"
PAIRS = ROOT / "examples" / "kube_assistant" / "data" / "pairs.csv"
CONTRACT = (
    "format", "rows", "pairs", "identical", "empty_chosen", "empty_rejected", "context_differs", "turns_max",
    "mean_chars_chosen", "mean_chars_rejected", "chosen_longer", "chosen_shorter", "longer_share", "duplicates_exact",
)  # fmt: skip

# rows, identical, context differs, empty chosen, empty rejected, mean characters of chosen and of rejected, chosen
# longer, chosen shorter, share longer: counted from the published files by another program.
HH_TABLE: dict[str, tuple[int, int, int, int, int, float, float, int, int, float]] = {
    "helpful-base.train": (1210, 1, 5, 0, 3, 239.99, 186.7, 693, 510, 0.5761),
    "helpful-base.test": (289, 0, 0, 0, 0, 260.1, 198.52, 182, 105, 0.6341),
    "harmless-base.train": (1191, 0, 1, 3, 0, 169.67, 215.75, 533, 651, 0.4502),
    "harmless-base.test": (271, 0, 1, 0, 0, 173.47, 214.94, 125, 146, 0.4613),
    "helpful-online": (1137, 2, 0, 0, 3, 653.33, 697.2, 484, 646, 0.4283),
    "helpful-rejection-sampled": (2749, 32, 3, 0, 0, 359.56, 314.3, 1534, 1163, 0.5688),
}


@pytest.mark.skipif(not HH.is_dir(), reason="the HH-RLHF files are not beside this checkout (../shared/data/hh_rlhf)")
@pytest.mark.parametrize("name", HH_TABLE)
def test_inspect_gives_the_published_figures_of_hh_rlhf(name: str, call: Call) -> None:
    ended = call("data", "inspect", HH / f"{name}.jsonl.gz", "--json")
    found = json.loads(ended.out)
    keys = (
        "rows", "identical", "context_differs", "empty_chosen", "empty_rejected", "mean_chars_chosen",
        "mean_chars_rejected", "chosen_longer", "chosen_shorter", "longer_share",
    )  # fmt: skip
    assert tuple(found[key] for key in keys) == HH_TABLE[name]
    assert (found["format"], found["pairs"]) == ("hh_rlhf", found["rows"])
    assert found["turns_max"] == most_human_turns(HH / f"{name}.jsonl.gz")
    assert name != "helpful-base.train" or found["turns_max"] == 25


def most_human_turns(path: Path) -> int:
    """Markers in front of the last answer, counted in the raw text."""
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).split(b"\n") if line]
    texts = [row[side] for row in rows for side in ("chosen", "rejected")]
    return max(text[: text.rfind("\n\nAssistant:")].count("\n\nHuman:") for text in texts)


def test_inspect_prints_one_object_with_the_keys_of_the_contract(call: Call) -> None:
    ended = call("data", "inspect", PAIRS, "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and ended.err == "" and set(CONTRACT) <= found.keys()
    several = json.loads(call("data", "inspect", PAIRS, PAIRS, "--json").out)
    assert several == {"files": [found, found]}


def test_inspect_tells_a_person_the_form_and_the_first_lines(call: Call, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,good_answer,bad_answer,note\nHi,a,b,x\nHi,a,a,x\n")
    ended = call("data", "inspect", tmp_path / "p.csv")
    words = [line.split() for line in ended.out.splitlines()]
    assert ["format", "csv"] in words and ["identical", "1", "lines", "3"] in words
    assert "columns that are not read: note" in ended.out


@pytest.mark.parametrize("verb", data.SUBVERBS)
def test_every_verb_teaches_with_an_example_and_is_listed(verb: str, call: Call) -> None:
    line = data.SUBVERBS[verb][2]
    ended = call("data", verb, "--help")
    assert ended.code == 0 and line in " ".join(ended.out.split()) and f"boresight data {verb} " in ended.out
    listed = call("data", "--help")
    assert f"{verb} " in listed.out and line in listed.out


@pytest.mark.parametrize("verb", data.SUBVERBS)
def test_help_of_every_verb_answers_at_once(verb: str) -> None:
    assert answers_at_once("data", verb, "--help")


def test_data_never_loads_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from boresight.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)\n"
    )
    out = str(tmp_path / "out.jsonl")
    for arguments in (["inspect", str(PAIRS)], ["convert", str(PAIRS), "--to", "trl_explicit", "--out", out]):
        ended = subprocess.run([sys.executable, "-c", program, "data", *arguments], capture_output=True, text=True)
        assert (ended.returncode, ended.stderr.strip()) == (0, "[]"), ended.stderr


def test_convert_there_and_back_gives_the_same_records(call: Call, tmp_path: Path) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.csv.gz"
    assert call("data", "convert", PAIRS, "--to", "boresight", "--out", first).code == 0
    ended = call("data", "convert", first, "--to", "csv", "--out", second, "--json")
    done = json.loads(ended.out)
    assert done["records"] == done["rows"] > 0 and (done["lost"], done["format"]) == ({}, "boresight")
    again = tmp_path / "c.jsonl"
    assert call("data", "convert", second, "--to", "boresight", "--out", again).code == 0
    assert again.read_text() == first.read_text()


def test_convert_says_what_is_lost_and_where_skipped_rows_are(call: Call, tmp_path: Path) -> None:
    rows: list[Any] = [
        {"prompt": "Hi", "chosen": "a", "rejected": "b", "id": "x"},
        {"prompt": "Hi", "chosen": 3, "rejected": "b"},
    ]
    path, out = tmp_path / "p.jsonl", tmp_path / "o.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    stopped = call("data", "convert", path, "--to", "openai", "--out", out)
    assert stopped.code == 2 and not out.exists()
    (told,) = stopped.told
    assert told.startswith(f'data error: {path}:2: "chosen": found a number, expected a list of messages')
    assert told.endswith("--on-error skip.")
    ended = call("data", "convert", path, "--to", "openai", "--out", out, "--on-error", "skip")
    side = tmp_path / "o.jsonl.skipped.jsonl"
    assert ended.code == 0 and "lost in 1 record: id" in ended.out and str(side) in ended.out
    assert [json.loads(line)["line"] for line in side.read_text().splitlines()] == [2]


def test_columns_can_be_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("question,best,worst\nHi,a,b\n")
    named = ["--column", "prompt=question", "--column", "chosen=best", "--column", "rejected=worst"]
    assert json.loads(call("data", "inspect", tmp_path / "p.csv", *named, "--json").out)["pairs"] == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["inspect", "absent.csv"], "absent.csv: no such file"),
        (["inspect", PAIRS, "--format", "alpaka"], "no form 'alpaka'"),
        (["inspect", PAIRS, "--on-error", "ignore"], "'ignore' is neither stop nor skip"),
        (["inspect", PAIRS, "--column", "chosen"], "'chosen' is not PART=NAME"),
        (["convert", PAIRS, "--to", "csv"], "--out"),
        (["convert", PAIRS, "--to", "csv", "--out", "o.jsonl"], ".csv or .tsv"),
        (["inspekt", PAIRS], "inspekt"),
    ],
)
def test_bad_input_and_usage_exit_with_2(arguments: list[Any], part: str, tmp_path: Path, call: Call) -> None:
    ended = call("data", *arguments)
    assert ended.code == 2 and ended.out == ""
    assert any(part in line for line in ended.told)


def test_the_installed_command_has_the_group(tmp_path: Path) -> None:
    ended = boresight("data", "inspect", PAIRS, "--json", cwd=tmp_path)
    assert ended.code == 0 and json.loads(ended.out)["format"] == "csv"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    make_tokenizer("chatml").save_pretrained(folder)
    return folder


def test_show_prints_a_record_for_people(call: Call) -> None:
    ended = call("data", "show", PAIRS, "--count", "2")
    assert ended.code == 0 and ended.out.count("── pairs:") == 2
    assert "prompt\n  user: " in ended.out and "chosen\n  assistant: " in ended.out


def test_show_marks_what_a_model_is_trained_on(call: Call, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "Hi", "chosen": "Hel\x1b[2Jlo.", "rejected": "No."}))
    ended = call("data", "show", path, "--model", model)
    assert ended.code == 0
    assert "⟦Hel\\x1b[2Jlo.<|im_end|>⟧" in ended.out and "⟦No.<|im_end|>⟧" in ended.out
    assert "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" in ended.out
    coloured = call("data", "show", path, "--model", model, "--color", "always").out
    assert "\x1b[32mHel\\x1b[2Jlo.<|im_end|>\x1b[0m" in coloured and "\x1b[31mNo.<|im_end|>\x1b[0m" in coloured
    shown = json.loads(call("data", "show", path, "--model", model, "--template", "llama3", "--json").out)
    titles = [part["title"] for part in shown["records"][0]["rendered"]]
    assert titles == ["prompt", "chosen", "rejected"]
    assert shown["records"][0]["rendered"][1]["segments"] == [{"text": "Hel\x1b[2Jlo.<|eot_id|>", "trained": True}]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--model", "absent"], "absent: no such folder"),
        (["--color", "blue"], "'blue' is not auto, always or never"),
        (["--id", "nobody"], "no record has the id 'nobody'"),
    ],
)
def test_show_refuses_what_it_cannot_do(options: list[str], part: str, call: Call) -> None:
    ended = call("data", "show", PAIRS, *options)
    assert ended.code == 2 and any(part in line for line in ended.told)
