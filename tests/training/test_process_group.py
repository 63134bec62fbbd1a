"""Two processes that share every batch and the weights learn what one does, and go on from each other's checkpoints."""

import multiprocessing
import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from boresight.runlog.reader import read_metrics
from boresight.training.processes import ALONE, Processes
from boresight.training.step import MetricSums

from .shared_loops import LOOPS, POLICY_SETTINGS, train

DEADLINE = 400.0  # seconds, for all loops together; on an idle core they take some twenty
SCRIPT = Path(__file__).with_name("shared_loops.py")
SHARE = 2  # steps before the interruption
STEPS = {name: POLICY_SETTINGS["steps"] for name in LOOPS if name.startswith(("ppo", "rloo"))}  # of the others: 6
MOVED = ("sft", "reward model with adapters")
"""Loops that are also handed on from one process to two, to three, and back to one, a checkpoint each time."""
WAYS = [(name, way) for name in LOOPS for way in ("two", "one-two", "two-one")] + [(name, "moved") for name in MOVED]


def together(folder: Path, jobs: list[tuple[str, Path, int | None]], count: int) -> None:
    """Run jobs one after another, each by `count` processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["boresight.pipeline.run"])
    given = {"count": count, "meeting": folder / f"meeting of {count}", "jobs": jobs}
    started = [
        context.Process(
            target=runpy.run_path, args=(str(SCRIPT), {"rank": rank, **given}), kwargs={"run_name": "__main__"}
        )
        for rank in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(DEADLINE)
    codes = [process.exitcode for process in started]
    for process in started:
        process.kill()
    assert codes == [0] * count


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ONE, TWO (whole runs), ONE-TWO, TWO-ONE (interrupted, ended by the other number of processes), MOVED."""
    folder = tmp_path_factory.mktemp("runs")
    for name in LOOPS:
        train(name, folder / name / "one", ALONE, None)
        train(name, folder / name / "one-two", ALONE, SHARE)
    jobs: list[tuple[str, Path, int | None]] = []
    for name in LOOPS:
        jobs += [(name, folder / name / "two", None), (name, folder / name / "one-two", None)]
        jobs += [(name, folder / name / "two-one", SHARE)]
    for name in MOVED:
        train(name, folder / name / "moved", ALONE, 1)
    together(folder, jobs + [(name, folder / name / "moved", 2) for name in MOVED], 2)
    together(folder, [(name, folder / name / "moved", 4) for name in MOVED], 3)
    for name in MOVED:
        assert [saved.name for saved in (folder / name / "moved/checkpoint").iterdir()] == ["4"]
        train(name, folder / name / "moved", ALONE, None)
    for name in LOOPS:
        assert not (folder / name / "two-one" / "checkpoint.pt").exists()
        train(name, folder / name / "two-one", ALONE, None)
    return folder


def relative_difference(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    assert first.keys() == second.keys()
    gap = sum(float((first[key] - second[key]).double().square().sum()) for key in first)
    return float((gap / sum(float(value.double().square().sum()) for value in first.values())) ** 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), WAYS)
def test_every_metric_and_the_weights_are_those_of_one_process(name: str, way: str, runs: Path) -> None:
    one, other = (read_metrics(runs / name / number / "metrics.jsonl") for number in ("one", way))
    assert one.names == other.names
    for metric in one.names:
        for split in ("train", "held_out"):
            expected, found = one.series(metric, split), other.series(metric, split)
            assert [row.step for row in found] == [row.step for row in expected]
            assert [row.value for row in found] == pytest.approx(
                [row.value for row in expected], rel=1e-4, abs=2e-6
            ), (metric, split)  # fmt: skip
    weights = (torch.load(runs / name / number / "weights.pt", weights_only=True) for number in ("one", way))
    assert relative_difference(*weights) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", LOOPS)
def test_only_the_last_checkpoint_is_kept_in_the_form_of_who_wrote_it(name: str, runs: Path) -> None:
    for way in ("one", "two-one"):
        assert (runs / name / way / "checkpoint.pt").exists() and not (runs / name / way / "checkpoint").exists()
    for way in ("two", "one-two"):
        last = str(STEPS.get(name, 6))
        assert [folder.name for folder in (runs / name / way / "checkpoint").iterdir()] == [last]
        assert not (runs / name / way / "checkpoint.pt").exists()


class Second(Processes):
    """The second of three, by itself."""

    rank, count = 1, 3


@given(count=st.integers(0, 40), processes=st.integers(1, 9))
def test_an_even_cut_gives_every_row_to_one_process_in_order_and_the_first_has_some(count: int, processes: int) -> None:
    parts = [range(count)[one_of(rank, processes).part(count)] for rank in range(processes)]
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1 and len(parts[0]) == max(map(len, parts))


def one_of(rank: int, count: int) -> Processes:
    found = Processes()
    found.rank, found.count = rank, count
    return found


def test_rows_are_dealt_out_and_who_has_one_less_repeats_one_that_does_not_count() -> None:
    assert ALONE.share("abcdefg") == list("abcdefg") and Second().share("abcdefg") == ["b", "e"]
    assert Second().share("a") == []
    assert Second().turns("abcdefg") == [("b", True), ("e", True), ("g", False)]
    assert ALONE.turns("ab") == [("a", True), ("b", True)]


def test_a_process_without_rows_has_the_others_metrics() -> None:
    class Others(Second):
        def agreed(self, value: object) -> object:  # type: ignore[override]
            return ["loss/total"]

        def sums(self, values: list[float]) -> list[float]:  # type: ignore[override]
            return [value + 6.0 for value in values]

    assert MetricSums(Others()).means() == {"loss/total": 1.0}
