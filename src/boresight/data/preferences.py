"""Preference pairs as a set: joined, split so that no prompt leaks, and their lengths counted."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace

from boresight.records import Messages, PreferencePair


def join_pairs(sources: Iterable[Sequence[PreferencePair]]) -> list[PreferencePair]:
    """All pairs in order. An id that an earlier source has given already gets its source's number after it
    (`pairs:2` of the second source becomes `pairs:2@2`), so that ids name one pair."""
    joined: list[PreferencePair] = []
    taken: set[str] = set()
    for number, pairs in enumerate(sources, start=1):
        for pair in pairs:
            name = pair.id
            while name in taken:
                name += f"@{number}"
            taken.add(name)
            joined.append(pair if name == pair.id else replace(pair, id=name))
    return joined


def split_by_prompt(
    pairs: Iterable[PreferencePair], fraction: float, seed: int
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Training and held-out pairs; about `fraction` of the prompts are held out, with all of their pairs.

    A prompt's side follows from the seed and its own text alone, so that it stays where it is when pairs are added,
    and a prompt that differs only in case or white space goes the same way.
    """
    train: list[PreferencePair] = []
    held_out: list[PreferencePair] = []
    for pair in pairs:
        digest = hashlib.sha256(f"{seed}\n{prompt_key(pair.prompt)}".encode()).digest()
        side = held_out if int.from_bytes(digest[:8]) < fraction * 2.0**64 else train
        side.append(pair)
    return train, held_out


def prompt_key(prompt: Messages) -> str:
    """One spelling for prompts that read the same: compatible characters, case and white space made equal."""
    return "\n".join(
        f"{m.role}: {' '.join(unicodedata.normalize('NFKC', m.content).casefold().split())}" for m in prompt
    )


def length_counts(pairs: Iterable[PreferencePair]) -> tuple[int, int, int]:
    """Pairs whose chosen response is longer, shorter, equally long, in characters (white space at the ends aside)."""
    longer = shorter = equal = 0
    for pair in pairs:
        chosen, rejected = (len(response_text(side)) for side in (pair.chosen, pair.rejected))
        longer += chosen > rejected
        shorter += chosen < rejected
        equal += chosen == rejected
    return longer, shorter, equal


def longer_share(pairs: Iterable[PreferencePair]) -> float | None:
    """Share of pairs whose chosen response is the longer one, equally long ones left aside; None without any."""
    longer, shorter, _ = length_counts(pairs)
    return longer / (longer + shorter) if longer + shorter else None


def response_text(messages: Messages) -> str:
    """What the assistant says last, without white space at the ends."""
    return messages[-1].content.strip()
