import json
from collections import Counter
from pathlib import Path

from boresight.data.tables import iterate_rows
from boresight.evaluation.contamination import contaminated


def pairs(path: Path, *questions: str) -> Path:
    rows = [{"prompt": q, "chosen": "yes", "rejected": "no"} for q in questions]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


LONG = "please tell me how the tides of the sea depend on the moon and the sun"


def test_equal_and_nearly_equal_questions_are_found_and_others_are_not(tmp_path: Path) -> None:
    training = pairs(tmp_path / "pairs.jsonl", "What is the capital of France?", "Hello", f"{LONG}, in short words")
    asked = {
        "same": "what is  the capital of FRANCE",
        "near": f"Now {LONG} today",
        "other": "What is the capital of Spain?",
        "greeting": "hello",
        "long": "an altogether different question with more than eight words in it, about nothing of this",
    }
    assert contaminated(asked, [training]) == {"same": "exact", "near": "near"}
    assert contaminated(asked, []) == {}


def test_earlier_turns_of_a_conversation_count_as_well(tmp_path: Path) -> None:
    messages = [("user", "Who wrote Hamlet, please?"), ("assistant", "Shakespeare."), ("user", "When?")]
    row = {"messages": [{"role": r, "content": c} for r, c in [*messages, ("assistant", "About 1600.")]]}
    (tmp_path / "demos.jsonl").write_text(json.dumps(row) + "\n")
    assert contaminated({"q": "Who wrote Hamlet, please?"}, [tmp_path / "demos.jsonl"]) == {"q": "exact"}


def test_alpacaevals_helpful_base_stands_in_hh_rlhf_and_the_rest_does_not(shared_data: Path) -> None:
    rows = [row for _, row in iterate_rows(shared_data / "alpaca_eval/weighted/claude-2.jsonl.gz")]
    source = {row["instruction"]: row["dataset"] for row in rows}
    found = contaminated({text: text for text in source}, sorted((shared_data / "hh_rlhf").glob("*.jsonl.gz")))
    # Most of the 129 prompts; the files at hand are a part of HH-RLHF.
    assert Counter(source[text] for text in found) == {"helpful_base": 83}
