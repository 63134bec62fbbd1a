from hypothesis import given
from hypothesis import strategies as st

from boresight.data.preferences import (
    join_pairs,
    length_counts,
    longer_share,
    prompt_key,
    split_by_prompt,
)
from boresight.records import Message, PreferencePair


def pair(id: str = "p", prompt: str = "Hi", chosen: str = "Hello.", rejected: str = "No.") -> PreferencePair:
    return PreferencePair(
        id=id,
        prompt=(Message("user", prompt),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
    )


def test_join_keeps_order_and_gives_repeated_ids_their_sources_number() -> None:
    joined = join_pairs([[pair("a"), pair("b")], [pair("a", "x"), pair("c")], [pair("a", "y"), pair("a@2")]])
    assert [p.id for p in joined] == ["a", "b", "a@2", "c", "a@3", "a@2@3"]
    assert [p.prompt[0].content for p in joined] == ["Hi", "Hi", "x", "Hi", "y", "Hi"]


@given(
    prompts=st.lists(st.text(max_size=8), max_size=40),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 3),
)
def test_split_loses_nothing_and_leaks_no_prompt(prompts: list[str], fraction: float, seed: int) -> None:
    pairs = [pair(str(i), prompt) for i, prompt in enumerate(prompts)]
    train, held_out = split_by_prompt(pairs, fraction, seed)
    assert sorted([*train, *held_out], key=lambda p: int(p.id)) == pairs
    assert not {prompt_key(p.prompt) for p in train} & {prompt_key(p.prompt) for p in held_out}


def test_split_is_stable_when_pairs_are_added_and_moves_with_the_seed() -> None:
    pairs = [pair(str(i), f"prompt {i}") for i in range(2000)]
    held_out = {p.id for p in split_by_prompt(pairs, 0.1, seed=1)[1]}
    assert 160 < len(held_out) < 240  # 200 expected, three standard deviations of sqrt(2000 * 0.1 * 0.9) = 13.4
    assert {p.id for p in split_by_prompt(pairs[:1000], 0.1, seed=1)[1]} == {i for i in held_out if int(i) < 1000}
    assert {p.id for p in split_by_prompt(pairs, 0.1, seed=2)[1]} != held_out
    assert held_out < {p.id for p in split_by_prompt(pairs, 0.2, seed=1)[1]}
    assert split_by_prompt(pairs, 0.0, 1)[1] == []
    assert split_by_prompt(pairs, 1.0, 1)[0] == []


def test_prompts_that_differ_in_case_and_space_go_the_same_way() -> None:
    pairs = [pair(f"{i}{j}", text) for i in range(200) for j, text in enumerate([f"What is {i}?", f" what  IS {i}?\n"])]
    held_out = {p.id for p in split_by_prompt(pairs, 0.5, seed=0)[1]}
    assert all((f"{i}0" in held_out) == (f"{i}1" in held_out) for i in range(200))
    assert 0 < len(held_out) < 400


def test_longer_share_leaves_ties_aside() -> None:
    pairs = [pair(chosen="abc", rejected="ab"), pair(chosen="a", rejected="ab"), pair(chosen=" ab\n", rejected="cd")]
    assert length_counts(pairs) == (1, 1, 1)
    assert longer_share(pairs) == 0.5
    assert longer_share(pairs[:1]) == 1.0
    assert longer_share(pairs[2:]) is None


def test_nothing_stays_nothing() -> None:
    assert join_pairs([]) == []
    assert split_by_prompt([], 0.5, 1) == ([], [])
