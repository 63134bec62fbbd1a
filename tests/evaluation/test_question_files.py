import json
from collections import Counter
from pathlib import Path

import pytest

from boresight.errors import DataError
from boresight.evaluation.question_files import read_questions


def test_public_question_files(shared_data: Path) -> None:
    bench = read_questions(shared_data / "mt_bench/question.jsonl")
    assert Counter(q.category for q in bench.values()) == dict.fromkeys(
        ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"), 10
    )
    assert bench["81"].text.startswith("Compose an engaging travel blog post")
    hard = read_questions(shared_data / "arena_hard/question_v0.1.jsonl.gz")
    assert len(hard) == 500 and hard["328c149ed45a41c0b9d6f14659e63599"].category == "ABC Sequence Puzzles & Groups"


def test_a_row_without_id_or_text_is_refused(tmp_path: Path) -> None:
    for row in ({"turns": ["a"]}, {"question_id": 1, "turns": []}):
        (tmp_path / "q.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(DataError, match=r"q\.jsonl:1"):
            read_questions(tmp_path / "q.jsonl")
