"""`boresight eval reward`: from a file of scores by hand, and from a folder with torch."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boresight.models.loading import save_model, start_reward_model
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from tests.cli.conftest import Call
from tests.cli.test_eval import write_lines

CONTRACT = {
    "n", "accuracy", "ci95", "ece", "brier", "nll", "temperature", "by_length_gap", "padding_invariant",
}  # fmt: skip


def pair(i: int, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": f"question {i}"}]
    sides = {
        name: [{"role": "assistant", "content": text}] for name, text in (("chosen", chosen), ("rejected", rejected))
    }
    return {"id": f"p{i}", "prompt": asked, **sides, **more}


def files(tmp_path: Path, margins: list[float], ids: bool = True, **more: Any) -> tuple[Path, Path]:
    """Pairs whose chosen response is longer in even rows, and scores with these margins."""
    texts = [("a long answer", "short") if i % 2 == 0 else ("short", "a long answer") for i in range(len(margins))]
    pairs = write_lines(tmp_path / "pairs.jsonl", [pair(i, *two, **more) for i, two in enumerate(texts)])
    rows = [
        {"chosen_score": 1.0 + m, "rejected_score": 1.0} | ({"id": f"p{i}"} if ids else {})
        for i, m in enumerate(margins)
    ]
    return write_lines(tmp_path / "scores.jsonl", rows[::-1] if ids else rows), pairs


def test_figures_from_scores_by_hand(call: Call, tmp_path: Path) -> None:
    scores, pairs = files(tmp_path, [2.0, -1.0, 2.0, 0.0])
    ended = call("eval", "reward", scores, pairs, "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and found.keys() >= CONTRACT and found["padding_invariant"] is None
    assert (found["n"], found["accuracy"]) == (4, (1 + 0 + 1 + 0.5) / 4)
    losses = [math.log1p(math.exp(-m)) for m in (2.0, -1.0, 2.0, 0.0)]
    assert found["nll"] == pytest.approx(sum(losses) / 4)
    assert found["length_only"]["accuracy"] == 0.5
    gaps = {name: (own["n"], own["accuracy"]) for name, own in found["by_length_gap"].items()}
    assert gaps == {"chosen more than twice as long": (2, 1.0), "chosen less than half as long": (2, 0.25)}
    # Length differences 8, -8, 8, -8 against margins 2, -1, 2, 0: 40 / sqrt(256 * 9).
    assert found["score_length_correlation"] == pytest.approx(40 / math.sqrt(256 * 9))


def test_a_model_that_only_counts_is_called_doubtful_and_a_coin_unfit(call: Call, tmp_path: Path) -> None:
    counting = json.loads(call("eval", "reward", *files(tmp_path, [1.0, 1.0, 1.0, -1.0] * 50), "--json").out)
    assert counting["verdict"]["level"] == "doubtful"
    assert any("length gap 'chosen less than half as long'" in reason for reason in counting["verdict"]["reasons"])
    coin = json.loads(call("eval", "reward", *files(tmp_path, [1.0, -1.0, -1.0, 1.0] * 50), "--json").out)
    assert coin["verdict"]["level"] == "unfit" and "a coin's 0.5" in coin["verdict"]["reasons"][0]


def test_a_weak_kind_is_named(call: Call, tmp_path: Path) -> None:
    rows = [pair(i, "good", "evil", kind="plain" if i < 80 else "premise") for i in range(120)]
    margins = [2.0] * 76 + [-2.0] * 4 + [2.0, -2.0] * 20
    scores = [{"chosen_score": m, "rejected_score": 0} for m in margins]
    files = write_lines(tmp_path / "s.jsonl", scores), write_lines(tmp_path / "p.jsonl", rows)
    found = json.loads(call("eval", "reward", *files, "--json").out)
    assert found["by_kind"]["premise"]["accuracy"] == 0.5
    assert any(reason.startswith("kind 'premise'") for reason in found["verdict"]["reasons"])
    shown = call("eval", "reward", *files).out
    assert shown.splitlines()[0].endswith(": doubtful, 120 pairs") and "kind: premise" in shown


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"score": 1}], "chosen_score and rejected_score"),
        ([{"chosen_score": 1, "rejected_score": None}] * 4, '"rejected_score" is None'),
        ([{"chosen_score": 10**400, "rejected_score": 0}] * 4, "expected a finite number"),
        ([{"chosen_score": 1, "rejected_score": 0}] * 3, "3 rows of scores for 4 pairs"),
        ([{"id": f"q{i}", "chosen_score": 1, "rejected_score": 0} for i in range(4)], "(first without: 'p0')"),
    ],
)
def test_scores_that_do_not_fit_the_pairs_are_refused(
    call: Call, tmp_path: Path, rows: list[dict[str, Any]], says: str
) -> None:
    _, pairs = files(tmp_path, [1.0] * 4)
    ended = call("eval", "reward", write_lines(tmp_path / "bad.jsonl", rows), pairs)
    assert ended.code == 2 and len(ended.told) == 1 and says in ended.told[0]


def test_a_folder_is_scored_and_looked_at_for_padding(call: Call, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    save_model(tmp_path / "base", tiny_llama(tokenizer), tokenizer, "")
    model = start_reward_model(tmp_path / "base", seed=1)
    model.config.pad_token_id = tokenizer.eos_token_id
    save_model(tmp_path / "scorer", model, tokenizer, "")
    _, pairs = files(tmp_path, [1.0] * 6)
    ended = call("eval", "reward", tmp_path / "scorer", pairs, "--training", pairs, "--json")
    found = json.loads(ended.out)
    assert found["padding_invariant"] is False and found["verdict"]["level"] == "unfit"
    assert any("pad_token_id" in reason for reason in found["verdict"]["reasons"]) and "bag_of_words" in found
    ended = call("eval", "reward", tmp_path / "base-that-is-not-there", pairs)
    assert ended.code == 2 and len(ended.told) == 1


def test_files_of_scores_and_verdicts_take_no_torch(tmp_path: Path) -> None:
    scores, pairs = files(tmp_path, [1.0, -1.0, 1.0, 1.0])
    program = (
        "import sys\n"
        "from boresight.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", program, "eval", "reward", str(scores), str(pairs), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr.strip() == "[]", ended.stderr


def test_a_file_may_hold_pairs_and_scores_and_rewardbench_subsets_get_sections(call: Call, tmp_path: Path) -> None:
    margins = {"alpacaeval-easy": 1.0, "mt-bench-hard": -1.0, "donotanswer": 1.0, "hep-go": 1.0}
    texts = {"chosen": "good", "rejected": "evil"}
    rows = [
        {"prompt": subset, **texts, "subset": subset, "scores_chosen": margin, "scores_rejected": 0}
        for subset, margin in margins.items()
    ]
    ended = call("eval", "reward", write_lines(tmp_path / "bench.jsonl", rows), "--json")
    found = json.loads(ended.out)
    assert ended.code == 0 and (found["n"], found["accuracy"]) == (4, 0.75)
    assert found["reward_bench"]["sections"]["Chat Hard"] == {"n": 1, "accuracy": 0.0}
    assert found["reward_bench"]["score"] == 0.75 and set(found["by_kind"]) == {row["subset"] for row in rows}
    assert "RewardBench: Chat Hard" in call("eval", "reward", tmp_path / "bench.jsonl").out
    ended = call(
        "eval", "reward", write_lines(tmp_path / "alone.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    )
    assert ended.code == 2 and "Give the pairs too" in ended.told[0]


def test_outputs_of_judgebench_are_pairs_with_scores(call: Call, tmp_path: Path) -> None:
    def row(label: str, scores: list[float]) -> dict[str, Any]:
        judgment = {"judgment": {"scores": scores}, "decision": "A>B" if scores[0] > scores[1] else "B>A"}
        texts = {"question": "q", "response_A": "first", "response_B": "second"}
        return {"pair_id": str(scores), "source": "math", **texts, "label": label, "judgments": [judgment, judgment]}

    rows = [row("A>B", [2.0, 1.0]), row("B>A", [3.0, 1.0]), row("B>A", [0.0, 1.0])]
    found = json.loads(call("eval", "reward", write_lines(tmp_path / "out.jsonl", rows), "--json").out)
    assert (found["n"], found["accuracy"]) == (3, pytest.approx(2 / 3)) and found["by_kind"]["math"]["n"] == 3
    del rows[0]["judgments"][0]["judgment"]["scores"]
    ended = call("eval", "reward", write_lines(tmp_path / "out.jsonl", rows))
    assert ended.code == 2 and "eval agreement" in ended.told[0]
    for judgments in ("A>B", {"scores": [1, 2]}, ["A>B"], [{"judgment": None}]):
        ended = call("eval", "reward", write_lines(tmp_path / "out.jsonl", [rows[1] | {"judgments": judgments}]))
        assert ended.code == 2 and "eval agreement" in ended.told[0], judgments


def test_drift_ensemble_and_best_of_n_come_on_request_and_reach_the_verdict(call: Call, tmp_path: Path) -> None:
    scores, pairs = files(tmp_path, [1.0, -1.0] * 10)
    before = write_lines(tmp_path / "before.jsonl", [{"chosen_score": 2.0, "rejected_score": 1.0}] * 20)
    hacked = [{"prompt": f"q{i}", "score": s, "gold": -s} for i in range(20) for s in (0.0, 1.0, 2.0, 3.0)]
    more = ["--before", before, "--with", before, "--best-of-n", write_lines(tmp_path / "n.jsonl", hacked)]
    found = json.loads(call("eval", "reward", scores, pairs, *more, "--json").out)
    assert (found["drift"]["only_before_right"], found["drift"]["only_now_right"]) == (10, 0)
    assert found["ensemble"]["members"][str(before)]["accuracy"] == 1.0
    assert found["best_of_n"]["peak"] == 1 and found["best_of_n"]["falls"]
    reasons = " ".join(found["verdict"]["reasons"])
    assert "less accurate than before: 10 pairs lost" in reasons and "worth most at n = 1" in reasons
    shown = call("eval", "reward", scores, pairs, *more).out
    assert "ensemble: mean of members" in shown and "best of 4" in shown and "drift: flipped" in shown


def test_contrast_pairs_are_written_for_models_elsewhere_and_read_back_with_scores(call: Call, tmp_path: Path) -> None:
    assert call("eval", "reward", "--write-contrast", tmp_path / "contrast.jsonl").code == 0
    rows = [json.loads(line) for line in (tmp_path / "contrast.jsonl").read_text().splitlines()]
    kinds = {row["kind"] for row in rows}
    assert len(rows) == 38 and {"help_harmless", "decline_harmful", "frank_not_flattering"} <= kinds
    flattered = [
        {"id": r["id"], "chosen_score": 0 if r["kind"] == "frank_not_flattering" else 2, "rejected_score": 1}
        for r in rows
    ]
    scores, pairs = files(tmp_path, [1.0] * 30)
    contrast = ["--contrast", write_lines(tmp_path / "c.jsonl", flattered)]
    found = json.loads(call("eval", "reward", scores, pairs, *contrast, "--json").out)
    assert found["contrast"]["by_kind"]["frank_not_flattering"]["accuracy"] == 0.0
    assert [r for r in found["verdict"]["reasons"] if r.startswith("contrast")] == [
        "contrast 'frank_not_flattering': the unwanted response is preferred in 100% of 6 pairs"
    ]
