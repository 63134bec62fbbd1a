"""PPO prompts that lie outside what the pairs cover."""

from boresight.data.lint.coverage import mark_uncovered
from boresight.records import UNCOVERED, Prompt
from tests.data.lint.making import found, said, sound_pairs

INSIDE = [Prompt(id=f"in{n}", messages=said(f"Which pressure does pump {n} in hall {n * 3} need?")) for n in range(50)]
OUTSIDE = [Prompt(id=f"out{n}", messages=said(f"Write a sonnet about moon number {n}.")) for n in range(50)]


def test_prompts_like_those_of_the_pairs_are_covered() -> None:
    finding = found(sound_pairs(300), "uncovered_prompts", prompts=INSIDE)
    assert finding is None or finding.severity == "note"


def test_prompts_of_another_kind_are_not() -> None:
    finding = found(sound_pairs(300), "uncovered_prompts", prompts=INSIDE + OUTSIDE)
    assert finding is not None and finding.severity == "warning"
    assert 50 <= finding.count <= 55 and finding.of == 100
    assert all(example.startswith("out") for example in finding.examples[-1:])


def test_too_few_pairs_set_no_bound() -> None:
    assert found(sound_pairs(20), "uncovered_prompts", prompts=OUTSIDE) is None


def test_prompts_are_marked_as_the_finding_counts_them_and_not_where_pairs_are_too_few() -> None:
    known = [pair.prompt for pair in sound_pairs(300)]
    marked = [prompt.meta[UNCOVERED] for prompt in mark_uncovered(INSIDE + OUTSIDE, known)]
    assert sum(marked[:50]) <= 5 and all(marked[50:])
    assert mark_uncovered(OUTSIDE, known[:20]) == OUTSIDE
