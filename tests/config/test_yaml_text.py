import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from boresight.config.yaml_text import dump_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-6", 1e-6),
        ("5E3", 5000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-3", -3),
        ("+2.5", 2.5),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'7'", "7"),
        ("!!str 7", "7"),
        ("-.inf", float("-inf")),
    ],
)
def test_scalars_mean_what_the_core_schema_says(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}").value["key"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text", ["on", "off", "yes", "no", "y", "N", "012", "0x1F", "1:30", "1_000", "2024-01-01", "=", "<<"]
)
def test_words_that_yaml_11_turns_into_something_else_stay_text(text: str) -> None:
    assert parse_yaml(f"key: {text}").value == {"key": text}


def test_a_key_that_yaml_11_reads_as_true_keeps_its_name() -> None:
    assert parse_yaml("on: 1\n2: x").value == {"on": 1, "2": "x"}


def test_every_key_and_list_item_has_its_line() -> None:
    document = parse_yaml("a:\n  b: [1,\n      2]\n  c: {d: 5}\n")
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "b", 0): 2,
        ("a", "b", 1): 3,
        ("a", "c"): 4,
        ("a", "c", "d"): 4,
    }


def test_a_key_given_twice_is_a_fault_at_the_second_place() -> None:
    document = parse_yaml("a: 1\nb: 2\na: 3\n")
    assert [(fault.line, fault.path) for fault in document.faults] == [(3, ("a",))]
    assert "first at line 1" in document.faults[0].message
    assert document.value == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        ("a: 1\nb: c: d\n", 2, "mapping values are not allowed"),
        ("a:\n\t- b\n", 2, "indent with spaces"),
        ("a: 1\n---\nb: 2\n", 2, "single document"),
        ("a: [1, 2\n", 2, "not valid YAML"),
        ("a: \x00\n", 1, "special characters"),
        ("[" * 5000, 1, "too deeply"),
    ],
)
def test_text_that_is_not_yaml_has_one_fault_with_its_line(text: str, line: int, part: str) -> None:
    document = parse_yaml(text)
    assert document.value is None
    assert [fault.line for fault in document.faults] == [line]
    assert part in document.faults[0].message


@pytest.mark.parametrize(
    "text", ["a: !!python/object/apply:os.getcwd []", "a: !secret x", "a: !!binary eA==", "a: !m {b: 1}"]
)
def test_tags_are_refused_and_nothing_is_built_from_them(text: str) -> None:
    document = parse_yaml(text)
    assert document.value == {"a": None}
    assert "without a tag" in document.faults[0].message


def test_aliases_are_read_and_those_that_never_end_are_refused() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: *x").value == {"a": {"b": 1}, "c": {"b": 1}}
    assert "alias" in parse_yaml("a: &x [*x]").faults[0].message
    doubled = "\n".join(["a0: &a0 [1, 1]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40)])
    assert "100000 values" in parse_yaml(doubled).faults[0].message


def test_a_character_that_json_spells_as_two_escapes_is_one_and_half_of_one_is_a_fault() -> None:
    assert parse_yaml('"\\ud83d\\ude00": "a\\ud83d\\ude00b\\u00fc"').value == {"\U0001f600": "a\U0001f600b\u00fc"}
    (fault,) = parse_yaml('a: 1\nb: "x\\ud83d"').faults
    assert (fault.line, fault.path) == (2, ("b",)) and "half of a character" in fault.message


def test_a_number_of_more_digits_than_python_reads_is_a_fault() -> None:
    (fault,) = parse_yaml("a: 1\nb: " + "9" * 5000).faults
    assert (fault.line, fault.path) == (2, ("b",)) and "5000 digits" in fault.message


def test_merging_of_keys_is_refused_by_its_name() -> None:
    document = parse_yaml("a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n")
    assert document.value == {"a": {"b": 1}, "c": {"d": 2}}
    assert [(fault.line, fault.path) for fault in document.faults] == [(3, ("c",))]
    assert "write them out" in document.faults[0].message


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
    | st.sampled_from(["on", "no", "1e-6", "1e6", "012", "1:30", "null", "~", ".5", "-", "2024-01-01", "<<"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_dumped_reads_back_equal_here_and_in_yaml_11(value: object) -> None:
    text = dump_yaml({"key": value})
    assert parse_yaml(text).value == {"key": value}
    assert yaml.safe_load(text) == {"key": value}
