"""`boresight eval`: its contracts against published tables, and what it tells a person."""

import json
from pathlib import Path
from typing import Any

import pytest

from boresight.cli import eval as verbs
from tests.cli.conftest import Call

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
ALPACA = SHARED / "alpaca_eval"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets (../shared/data) are not here")

CONTRACT = {
    "file", "n", "win_rate", "standard_error", "wins", "losses", "ties", "ci95", "discrete_win_rate", "mean_chars",
    "length_controlled_win_rate", "length_controlled_standard_error", "distinct_responses",
}  # fmt: skip

# n, win rate, standard error, wins, losses, ties, discrete win rate, mean characters, length-controlled win rate as
# published on the leaderboard. text_davinci_001's characters are published as 296 over 805 answers; its file lacks the
# two that are empty, and the 803 others have 297.
WEIGHTED: dict[str, tuple[int, float, float, int, int, int, float, int, float]] = {
    "NullModel": (805, 76.919792, 0.909010, 676, 129, 0, 83.975155, 872, 86.457807),
    "FuseChat-Llama-3.2-3B-Instruct": (805, 51.296677, 1.482579, 424, 378, 3, 52.857143, 1976, 53.998837),
    "claude-2": (805, 17.188240, 1.174828, 131, 673, 1, 16.335404, 1069, 28.155196),
    "gpt-3.5-turbo-1106_verbose": (805, 12.763170, 1.044247, 94, 709, 2, 11.801242, 1058, 22.000937),
    "gpt-3.5-turbo-1106": (805, 9.177965, 0.890412, 64, 737, 4, 8.198758, 796, 19.300589),
    "gpt-3.5-turbo-1106_concise": (805, 7.415865, 0.837444, 57, 744, 4, 7.329193, 431, 15.769521),
    "text_davinci_001": (803, 2.764005, 0.517767, 23, 777, 3, 3.051059, 297, 9.025729),
    "vicuna-7b-v1.5": (805, 4.797494, 0.665596, 35, 767, 3, 4.534161, 1083, 7.616893),
}
GPT4_V1 = {
    "claude": (805, 91.552795, 0.980764, 737, 68, 0, 91.552795, 1082),
    "alpaca-7b": (805, 26.459627, 1.535711, 205, 584, 16, 26.459627, 396),
    "text_davinci_001": (804, 15.174129, 1.235108, 112, 672, 20, 15.174129, 296),
}
FIGURES = ("n", "win_rate", "standard_error", "wins", "losses", "ties", "discrete_win_rate", "mean_chars")


def files_of(folder: str) -> list[Path]:
    return sorted((ALPACA / folder).glob("*.jsonl.gz"))


def name_of(block: dict[str, Any]) -> str:
    return Path(block["file"]).name.removesuffix(".jsonl.gz")


@pytest.fixture
def weighted(call: Call) -> list[dict[str, Any]]:
    ended = call("eval", "winrate", *files_of("weighted"), "--json")
    assert ended.code == 0
    return list(json.loads(ended.out)["files"])


@needs_data
def test_winrate_gives_the_published_figures_of_eight_models(weighted: list[dict[str, Any]]) -> None:
    assert [block["file"] for block in weighted] == [str(file) for file in files_of("weighted")]
    for block in weighted:
        assert block.keys() >= CONTRACT
        assert [block[key] for key in FIGURES] == pytest.approx(WEIGHTED[name_of(block)][:8], abs=5e-7)


@needs_data
def test_winrate_gives_the_published_figures_of_the_older_judge(call: Call) -> None:
    for block in json.loads(call("eval", "winrate", *files_of("gpt4_v1"), "--json").out)["files"]:
        assert [block[key] for key in FIGURES] == pytest.approx(GPT4_V1[name_of(block)], abs=5e-7)


@needs_data
def test_own_length_control_is_near_the_published_one(weighted: list[dict[str, Any]]) -> None:
    ours = {name_of(block): block["length_controlled_win_rate"] for block in weighted}
    errors = [abs(ours[name] - row[8]) for name, row in WEIGHTED.items()]
    assert sum(errors) / len(errors) <= 2.0
    assert rank_correlation([ours[name] for name in WEIGHTED], [row[8] for row in WEIGHTED.values()]) >= 0.97
    raw = relative_spread([row[1] for name, row in WEIGHTED.items() if name.startswith("gpt-3.5")])
    assert relative_spread([rate for name, rate in ours.items() if name.startswith("gpt-3.5")]) < raw


def rank_correlation(first: list[float], second: list[float]) -> float:
    """Spearman's, without ties."""
    ranks = [[sorted(values).index(value) for value in values] for values in (first, second)]
    n = len(first)
    return 1 - 6 * sum((a - b) ** 2 for a, b in zip(*ranks, strict=True)) / (n * (n * n - 1))


def relative_spread(values: list[float]) -> float:
    return (max(values) - min(values)) / (sum(values) / len(values))


@needs_data
def test_published_weights_give_the_published_length_controlled_rates(call: Call) -> None:
    weights = ("--weights", ALPACA / "lc_weights.csv", "--difficulty", ALPACA / "instruction_difficulty.csv.gz")
    found = json.loads(call("eval", "winrate", *files_of("weighted"), *weights, "--json").out)["files"]
    ours = {name_of(block): block["length_controlled_win_rate"] for block in found}
    # Two differ for reasons that the publisher's files show: NullModel was fitted anew after the weights were written,
    # and text_davinci_001's 803 rows were paired with the first 803 difficulties, here each with its own.
    expected = {name: row[8] for name, row in WEIGHTED.items()} | {"text_davinci_001": 9.008617}
    del expected["NullModel"]
    assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert ours["NullModel"] == pytest.approx(86.325, abs=1e-3)
    errors = {name_of(block): block["length_controlled_standard_error"] for block in found}
    assert errors["FuseChat-Llama-3.2-3B-Instruct"] == pytest.approx(0.694505, abs=1e-5)


@needs_data
def test_a_constant_answer_that_wins_is_told_loudly(call: Call) -> None:
    ended = call("eval", "winrate", ALPACA / "weighted/NullModel.jsonl.gz", "--json")
    (block,) = json.loads(ended.out)["files"]
    assert block["distinct_responses"] == 1 and block["warnings"][0]["id"] == "constant_answer"
    assert "1 distinct answer in 805" in ended.err and "the judge is fooled" in ended.err
    others = call("eval", "winrate", ALPACA / "weighted/claude-2.jsonl.gz", "--json")
    assert json.loads(others.out)["files"][0]["warnings"] == [] and others.err == ""


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def comparison(prompt: str, order: str, verdict: float, candidate: str = "dpo") -> dict[str, Any]:
    return {"prompt_id": prompt, "kind": "plain", "candidate": candidate, "order": order, "verdict": verdict}


def test_both_orders_of_a_prompt_are_one_unit_and_ties_are_halves(call: Call, tmp_path: Path) -> None:
    verdicts = {"a": (1, 1), "b": (0, 0), "c": (1, 0), "d": (0.5, 1)}
    orders = ("candidate_first", "baseline_first")
    rows = [comparison(p, o, v) for p, both in verdicts.items() for o, v in zip(orders, both, strict=True)]
    (block,) = json.loads(call("eval", "winrate", write_lines(tmp_path / "c.jsonl", rows), "--json").out)["files"]
    assert (block["n"], block["wins"], block["losses"], block["ties"]) == (4, 1, 1, 2)
    assert block["win_rate"] == pytest.approx(100 * (1 + 0 + 0.5 + 0.75) / 4)
    assert block["discrete_win_rate"] == 50.0 and block["length_controlled_win_rate"] is None


def test_answers_beside_our_comparisons_give_lengths(call: Call, tmp_path: Path) -> None:
    rows, answers = [], []
    for i in range(30):
        for order in ("candidate_first", "baseline_first"):
            rows.append(comparison(f"p{i}", order, float(i % 3 > 0)))
        texts = {"dpo": {"text": "x" * (10 + i % 5)}, "demo": {"text": "y" * (10 + i % 4)}}
        answers.append({"prompt_id": f"p{i}", "responses": texts})
    write_lines(tmp_path / "responses.jsonl", answers)
    (block,) = json.loads(call("eval", "winrate", write_lines(tmp_path / "comparisons.jsonl", rows), "--json").out)[
        "files"
    ]
    assert (block["baseline"], block["mean_chars"], block["distinct_responses"]) == ("demo", 12, 5)
    assert 0 < block["length_controlled_win_rate"] < 100


def test_games_of_mt_bench_and_arena_hard_are_turned_to_the_model(call: Call, tmp_path: Path) -> None:
    games = [
        {"question_id": q, "model_1": "ours", "model_2": "base", "g1_winner": one, "g2_winner": two, "turn": turn}
        for q, turn, one, two in [
            (81, 1, "model_1", "model_1"), (81, 2, "model_2", "tie"),
            (82, 1, "model_1", "error"), (82, 2, "tie", "tie"),
        ]
    ]  # fmt: skip
    (block,) = json.loads(call("eval", "winrate", write_lines(tmp_path / "mt.jsonl", games), "--json").out)["files"]
    assert (block["candidate"], block["baseline"], block["unreadable"]) == ("ours", "base", 1)
    assert block["win_rate"] == pytest.approx(100 * (1 + 0.25 + 1 + 0.5) / 4)
    assert block["by_kind"]["turn 1"]["win_rate"] == 100.0
    hard = [
        {"question_id": str(i), "model": "ours", "judge": "j", "games": [{"score": a}, {"score": b}]}
        for i, (a, b) in enumerate([("B>A", "A>>B"), ("A>B", "B>A"), ("A=B", None)])
    ]
    (block,) = json.loads(call("eval", "winrate", write_lines(tmp_path / "hard.jsonl", hard), "--json").out)["files"]
    assert block["win_rate"] == pytest.approx(100 * (1 + 0 + 0.5) / 3) and block["unreadable"] == 1


def test_battles_of_many_models_are_rated(call: Call, tmp_path: Path) -> None:
    battles = [
        {"question_id": str(i), "model_a": a, "model_b": b, "winner": "model_a" if i % 4 else "model_b"}
        for i in range(40)
        for a, b in (("best", "middle"), ("middle", "worst"), ("best", "worst"))
    ]
    path = write_lines(tmp_path / "battles.jsonl", battles)
    found = json.loads(call("eval", "winrate", path, "--json").out)
    assert [one["model"] for one in found["ratings"]] == ["best", "middle", "worst"]
    assert {block["candidate"]: block["win_rate"] for block in found["files"]} == {
        "best": 75.0, "middle": 50.0, "worst": 25.0,
    }  # fmt: skip
    against = json.loads(call("eval", "winrate", path, "--baseline", "worst", "--json").out)["files"]
    assert {block["baseline"] for block in against} == {"worst"} and len(against) == 2
    assert "Elo" in call("eval", "winrate", path).out


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"a": 1}], "columns a; expected AlpacaEval annotations"),
        ([{"instruction": "i", "output_1": "a", "output_2": "b", "preference": 3}] * 2, "expected a number from 1"),
        ([{"instruction": "i", "output_1": "a", "output_2": "b", "preference": 2}] * 2, "was judged twice"),
        ([{"instruction": "i", "output_1": "a", "output_2": "b", "preference": None}] * 2, "0 judged prompts and 2"),
        (
            [{"instruction": "i", "output_1": "a", "output_2": "b", "preference": 2}, {"instruction": "i"}],
            "must be texts",
        ),
        ([{"model_a": "x", "model_b": "y", "winner": ["z"]}], "\"winner\" is ['z']"),
        ([{"model_a": "x", "model_b": "y", "winner": "z"}], "\"winner\" is 'z'"),
    ],
)
def test_verdicts_that_cannot_be_read_are_told_in_one_line(
    call: Call, tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    ended = call("eval", "winrate", write_lines(tmp_path / "v.jsonl", rows))
    assert ended.code == 2 and len(ended.told) == 1 and says in ended.told[0]


def test_one_half_of_the_published_coefficients_is_refused(call: Call, tmp_path: Path) -> None:
    ended = call("eval", "winrate", tmp_path / "x.jsonl", "--weights", tmp_path / "w.csv")
    assert ended.code == 2 and "--difficulty" in ended.err


@pytest.mark.parametrize("verb", verbs.SUBVERBS)
def test_every_verb_teaches_with_an_example_and_is_listed(verb: str, call: Call) -> None:
    line = verbs.SUBVERBS[verb][2]
    ended = call("eval", verb, "--help")
    assert ended.code == 0 and line in " ".join(ended.out.split()) and f"boresight eval {verb} " in ended.out
    assert verb in call("eval", "--help").out


def mt_bench(tmp_path: Path) -> tuple[Path, Path]:
    """Judgments on twelve questions of two categories: one model wins all mathematics, the other all writing."""
    kinds = ("math", "writing")
    questions = [
        {"question_id": i, "category": kinds[i % 2], "turns": [f"Please answer question number {i}.", "And?"]}
        for i in range(12)
    ]
    rows = [
        {"question_id": i, "model_1": "new", "model_2": "old", "g1_winner": w, "g2_winner": w, "turn": turn}
        for i, turn in ((i, turn) for i in range(12) for turn in (1, 2))
        for w in [("model_1", "model_2")[i % 2] if turn == 1 else "tie"]
    ]
    return write_lines(tmp_path / "judgments.jsonl", rows), write_lines(tmp_path / "question.jsonl", questions)


def test_categories_and_turns_of_mt_bench(call: Call, tmp_path: Path) -> None:
    judgments, questions = mt_bench(tmp_path)
    ended = call("eval", "winrate", judgments, "--questions", questions, "--json")
    (block,) = json.loads(ended.out)["files"]
    rates = {name: (own["n"], own["win_rate"]) for name, own in block["by_category"].items()}
    assert rates == {"math": (12, 75.0), "writing": (12, 25.0)}
    assert {name: own["win_rate"] for name, own in block["by_kind"].items()} == {"turn 1": 50.0, "turn 2": 50.0}
    shown = call("eval", "winrate", judgments, "--questions", questions).out
    assert "category" in shown and "math" in shown and "turn 2" in shown


def test_prompts_that_stand_in_the_training_data_are_counted_and_left_out_of_a_second_rate(
    call: Call, tmp_path: Path
) -> None:
    judgments, questions = mt_bench(tmp_path)
    learnt = [{"prompt": f"please answer question number {i}", "chosen": "a", "rejected": "b"} for i in (0, 2, 4)]
    training = ["--training", write_lines(tmp_path / "pairs.jsonl", learnt)]
    (block,) = json.loads(call("eval", "winrate", judgments, "--questions", questions, *training, "--json").out)[
        "files"
    ]
    found = block["contamination"]
    assert (found["looked_for"], found["exact"], found["near"], found["without"]["n"]) == (12, 3, 0, 18)
    # Without three of the six won questions: turn 1 is 3 of 9, turn 2 is even.
    assert found["without"]["win_rate"] == pytest.approx(100 * (3 + 4.5) / 18)
    assert "3 of 12" in call("eval", "winrate", judgments, "--questions", questions, *training).out
    assert "give --questions" in call("eval", "winrate", judgments, *training).out


def test_the_page_of_win_rates_loads_nothing_and_has_every_figure(call: Call, tmp_path: Path) -> None:
    judgments, questions = mt_bench(tmp_path)
    page = tmp_path / "page.html"
    assert call("eval", "winrate", judgments, "--questions", questions, "--report", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "Win rates against old" in text and "By category" in text and text.count("<svg") >= 5
    assert "<script" not in text and "http://" not in text and "https://" not in text
