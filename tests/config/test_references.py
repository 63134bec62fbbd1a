from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boresight.config.references import (
    FITTING_KINDS,
    circles,
    dependency_order,
    entries,
    file_entries,
    resolve,
    stage_entries,
)
from boresight.config.sections import STAGE_CLASSES, EvaluateStage, RewardModelJudge, RewardModelStage, RulesJudge


def test_every_reference_field_of_every_kind_says_which_kinds_fit() -> None:
    fields = {field for stage in STAGE_CLASSES.values() for field in stage.REFERENCES}
    assert fields == set(FITTING_KINDS)
    assert {kind for kinds in FITTING_KINDS.values() for kind in kinds} <= set(STAGE_CLASSES)


def test_reference_and_path_fields_exist_in_their_classes() -> None:
    for stage in STAGE_CLASSES.values():
        for field in (*stage.REFERENCES, *stage.PATHS):
            assert field.partition(".")[0] in stage.model_fields, (stage.__name__, field)


def test_entries_are_found_in_text_lists_mappings_and_inner_sections() -> None:
    stage = RewardModelStage(kind="reward_model", start="demo", data="pairs", held_out={"a": "x.csv", "b": "pairs"})
    assert [entry.path for entry in entries(stage, "held_out")] == [("held_out", "a"), ("held_out", "b")]
    assert [entry.text for entry in stage_entries(stage, ["demo", "pairs"])] == ["demo", "pairs", "pairs"]
    assert [entry.text for entry in file_entries(stage, ["demo", "pairs"])] == ["x.csv"]

    judge = RewardModelJudge(kind="reward_model", model="scorer")
    compare = EvaluateStage(kind="evaluate", candidates=["a", "b"], baseline="c", prompts="p", judge=judge)
    assert [entry.path for entry in entries(compare, "candidates")] == [("candidates", 0), ("candidates", 1)]
    assert [entry.text for entry in entries(compare, "judge.model")] == ["scorer"]
    assert entries(compare.model_copy(update={"judge": RulesJudge(kind="rules")}), "judge.model") == []


def test_a_path_field_that_takes_no_stage_is_a_path_even_where_a_stage_bears_its_name() -> None:
    judge = RulesJudge(kind="rules")
    stage = EvaluateStage(kind="evaluate", candidates=["a"], baseline="b", prompts="a", judge=judge)
    assert [entry.field for entry in file_entries(stage, ["a", "b"])] == ["prompts"]


def test_order_keeps_the_given_one_where_nothing_speaks_against_it() -> None:
    assert dependency_order({"c": ["a"], "b": [], "a": []}) == ["b", "a", "c"]


@given(st.data())
def test_in_the_order_every_name_follows_all_that_it_needs(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    names = [f"s{number}" for number in range(count)]
    later = {
        name: data.draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)
    }
    needs = {name: later[name] for name in data.draw(st.permutations(names))}
    order = dependency_order(needs)
    assert sorted(order) == sorted(names) and not circles(needs)
    assert all(order.index(need) < order.index(name) for name in names for need in needs[name])


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ({"a": ["a"]}, [["a"]]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, [["a", "b", "c"]]),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [["a", "b"], ["c", "d"]]),
        ({"behind": ["a"], "a": ["b"], "b": ["a"], "free": []}, [["a", "b"]]),
    ],
)
def test_circles_are_named_once_without_the_stages_behind_them(
    needs: dict[str, list[str]], found: list[list[str]]
) -> None:
    assert circles(needs) == found


def test_relative_paths_start_from_the_folder_and_absolute_ones_stay() -> None:
    assert resolve("b/../c.txt", Path("/a")) == Path("/a/c.txt")
    assert resolve("/x/y", Path("/a")) == Path("/x/y")
    assert resolve("~/y", Path("/a")) == (Path.home() / "y").resolve()


def test_what_can_be_no_place_is_a_path_where_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for text in ("~nobody-of-that-name/x", "a\0b", "loop"):
        assert resolve(text, tmp_path) == tmp_path / text
        assert not resolve(text, tmp_path).exists()
