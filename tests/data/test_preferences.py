from boresight.data.preferences import join_pairs, length_counts, longer_share
from boresight.records import Message, PreferencePair


def pair(id: str = "p", prompt: str = "Hi", chosen: str = "Hello.", rejected: str = "No.") -> PreferencePair:
    return PreferencePair(
        id=id,
        prompt=(Message("user", prompt),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
    )


def test_join_keeps_order_and_gives_repeated_ids_their_sources_number() -> None:
    joined = list(join_pairs([[pair("a"), pair("b")], [pair("a", "x"), pair("c")], [pair("a", "y"), pair("a@2")]]))
    assert [p.id for p in joined] == ["a", "b", "a@2", "c", "a@3", "a@2@3"]
    assert [p.prompt[0].content for p in joined] == ["Hi", "Hi", "x", "Hi", "y", "Hi"]


def test_longer_share_leaves_ties_aside() -> None:
    pairs = [pair(chosen="abc", rejected="ab"), pair(chosen="a", rejected="ab"), pair(chosen=" ab\n", rejected="cd")]
    assert length_counts(pairs) == (1, 1, 1)
    assert longer_share(pairs) == 0.5
    assert longer_share(pairs[:1]) == 1.0
    assert longer_share(pairs[2:]) is None


def test_nothing_stays_nothing() -> None:
    assert list(join_pairs([])) == []
