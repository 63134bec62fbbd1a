"""Whatever a file holds: a diagnosis or a reason, never a traceback, and never health where nothing is known."""

import json
import math
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boresight.diagnosis.diagnose import Diagnosis, diagnose
from boresight.diagnosis.readers.folders import read_logs
from boresight.diagnosis.words import as_object, as_text
from boresight.errors import BoresightError

NAMES = st.sampled_from(
    [
        *("loss", "reward", "kl", "grad_norm", "objective/kl", "rewards/chosen", "rewards/margins", "epoch", "step"),
        *("entropy", "completions/clipped_ratio", "reward_std", "eval_loss", "learning_rate", "actor/pg_loss"),
        *("what/ever", "val/num_eos_tokens", "critic/score/mean", "objective/scores", "policy/clipfrac_avg"),
    ]
)
VALUES = st.one_of(
    st.floats(), st.integers(-(10**400), 10**400), st.none(), st.booleans(), st.text(max_size=8),
    st.sampled_from(["nan", "np.float64(1.5)", "-inf", "1e5", "12%"]), st.lists(st.floats(), max_size=2),
    st.dictionaries(st.sampled_from(["mean", "max"]), st.floats(), max_size=2),
)  # fmt: skip
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=6), max_size=30)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def outcome(content: bytes, name: str = "log.txt") -> Diagnosis | None:
    """The diagnosis with both of its forms tried, or None where the file was refused with a reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            (log,) = read_logs(path)
        except BoresightError as error:
            assert name in str(error) and len(str(error)) > 30
            return None
    diagnosis = diagnose(log.run)
    assert json.loads(json.dumps(as_object(log, diagnosis), allow_nan=False))["verdict"] == diagnosis.verdict
    assert diagnosis.verdict.upper() in as_text(log, diagnosis)
    return diagnosis


def lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


@QUICK
@given(rows=ROWS, cut=st.integers(0, 400))
def test_json_lines_of_anything_cut_anywhere(rows: list[dict[str, Any]], cut: int) -> None:
    text = lines(rows)
    outcome(text[: len(text) - cut].encode(), "log.jsonl")


@QUICK
@given(rows=ROWS, cut=st.integers(0, 400))
def test_json_documents_of_anything_cut_anywhere(rows: list[dict[str, Any]], cut: int) -> None:
    text = json.dumps({"log_history": rows}, indent=1)
    outcome(text[: len(text) - cut].encode(), "trainer_state.json")


@QUICK
@given(rows=ROWS)
def test_python_dicts_among_noise(rows: list[dict[str, Any]]) -> None:
    outcome("\r\n\x1b[31m".join(f"  3%| {row} \x1b[0m" for row in rows).encode(errors="replace"))


@QUICK
@given(rows=st.lists(st.lists(st.one_of(st.floats(), st.text(max_size=5)), max_size=5), max_size=20))
def test_tables_with_ragged_rows(rows: list[list[Any]]) -> None:
    body = "\n".join(",".join(str(cell) for cell in row) for row in rows)
    outcome(f"step,loss,reward,kl\n{body}".encode(errors="replace"), "log.csv")


@QUICK
@given(content=st.binary(max_size=300))
def test_bytes(content: bytes) -> None:
    diagnosis = outcome(content, "log.bin")
    assert diagnosis is None or diagnosis.verdict == "unclear"


@QUICK
@given(text=st.text(alphabet="{}[]\"',:-_ .0123456789nafeiloskrwd\n\r|=\x1b[m", max_size=300))
def test_text_that_looks_nearly_like_a_log(text: str) -> None:
    outcome(text.encode())


@QUICK
@given(steps=st.lists(st.integers(0, 50), min_size=1, max_size=80), seed=st.integers(0, 5))
def test_steps_in_any_order(steps: list[int], seed: int) -> None:
    rows = [{"step": s, "loss": 1 / (1 + n + seed), "reward": n * 0.1, "kl": 0.01} for n, s in enumerate(steps)]
    assert outcome(lines(rows).encode(), "log.jsonl") is not None


def test_two_whole_runs_in_one_file_are_not_called_healthy() -> None:
    run = [{"step": n, "loss": 2 - n / 50, "grad_norm": 1, "learning_rate": 1e-5} for n in range(50)]
    diagnosis = outcome(lines(run + run).encode(), "log.jsonl")
    assert diagnosis is not None and diagnosis.verdict == "unclear"
    assert "2 starts" in diagnosis.findings[0].cause


def test_unknown_names_are_unclear() -> None:
    diagnosis = outcome(lines([{"step": n, "temperature": n} for n in range(50)]).encode(), "log.jsonl")
    assert diagnosis is not None and diagnosis.verdict == "unclear"


def test_nan_in_every_row_is_an_error_with_null_as_evidence() -> None:
    diagnosis = outcome(lines([{"step": n, "loss": math.nan, "grad_norm": math.inf} for n in range(20)]).encode())
    assert diagnosis is not None and diagnosis.verdict == "failing" and diagnosis.findings[0].id == "nan_inf"
