"""Parts of a text as token ids, each read as it is read within the text.

Tokenizers in the way of Llama 2's put a space before every text that they are given. A part from the middle of a
conversation has none there: read with it, an answer would begin with another token than a ready chat model writes.
"""

import json
import re
from typing import Any, Protocol

from tokenizers import Tokenizer


class TextTokenizer(Protocol):
    """What is asked of a tokenizer here."""

    def encode(self, text: Any, *, add_special_tokens: bool) -> list[int]: ...
    def get_added_vocab(self) -> dict[str, int]: ...


class TextParts:
    """Ids of the parts of a text. Where no space is put before texts, that of a part does not depend on its place."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self._bare = _without_space_before(getattr(tokenizer, "backend_tokenizer", None))
        added = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
        self._added = re.compile("|".join(map(re.escape, added)) or "(?!)")

    def ids(self, part: str, before: str = "") -> list[int]:
        """Ids of a part with the part `before` it; nothing merges across the two.

        Added tokens, such as control tokens, cut a text into pieces, and some tokenizers put a space before each piece.
        """
        if self._bare is None or not before:
            return self._encode(part)
        earlier = list(self._added.finditer(before))
        if earlier and earlier[-1].end() == len(before):
            return self._encode(earlier[-1].group() + part)[1:]
        first = self._added.search(part)
        if first is None:
            return list(self._bare.encode(part, add_special_tokens=False).ids)
        piece = self._bare.encode(part[: first.end()], add_special_tokens=False).ids[:-1]
        return [*piece, *self._encode(part[first.start() :])]

    def _encode(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer.encode(text, add_special_tokens=False)]


def _without_space_before(tokenizer: Tokenizer | None) -> Tokenizer | None:
    """The same tokenizer without the space that it puts before a text; None where it puts none."""
    if tokenizer is None or not _puts_space_before(tokenizer):
        return None
    settings = json.loads(tokenizer.to_str())
    for stage in ("normalizer", "pre_tokenizer"):
        settings[stage] = _bare_stage(settings[stage])
    bare = Tokenizer.from_str(json.dumps(settings))
    bare.no_truncation()
    bare.no_padding()
    return None if _puts_space_before(bare) else bare


def _puts_space_before(tokenizer: Tokenizer) -> bool:
    normalizer, pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    text = "a" if normalizer is None else normalizer.normalize_str("a")
    pieces = [(text, None)] if pre_tokenizer is None else pre_tokenizer.pre_tokenize_str(text)
    return not "".join(piece for piece, _ in pieces).startswith("a")


def _bare_stage(stage: Any) -> Any:
    """A stage of a tokenizer's settings, or what is in one, with nothing that puts a space before a text."""
    if isinstance(stage, list):
        return [bare for part in stage if (bare := _bare_stage(part)) is not None]
    if not isinstance(stage, dict):
        return stage
    if stage.get("type") == "Prepend":
        return None
    never = {"prepend_scheme": "never", "add_prefix_space": False}
    return {key: never.get(key, _bare_stage(value)) for key, value in stage.items()}
