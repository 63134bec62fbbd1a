"""Evaluation prompts that stand in the training data: who learnt the question has not been tested by it.

The rule is that of `boresight data lint`, with the sides exchanged: a prompt is contaminated where a user asks it in
the training data (case, white space and compatible characters aside: exact), or where at least half of its runs of
eight words stand there (near).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from boresight.data.lint.contamination import runs_of
from boresight.data.lint.row import fingerprint, words_of
from boresight.data.readers import read_prompts

How = Literal["exact", "near"]

SHORTEST = 3
"""Words of a prompt that is looked for whole: everybody greets alike."""


def contaminated(prompts: Mapping[str, str], training: Sequence[Path]) -> dict[str, How]:
    """Of evaluation prompts (key -> text) those found in training files of any form that is read, and how.

    Raises DataError for a file that cannot be read.
    """
    whole: set[int] = set()
    runs: set[int] = set()
    for path in training:
        for prompt in read_prompts(path).prompts:
            for message in prompt.messages:
                if message.role == "user":
                    words = words_of(message.content)
                    whole.add(fingerprint(*words))
                    runs.update(runs_of(words))
    found: dict[str, How] = {}
    for key, text in prompts.items():
        words = words_of(text)
        own = runs_of(words)
        if len(words) >= SHORTEST and fingerprint(*words) in whole:
            found[key] = "exact"
        elif own and 2 * sum(run in runs for run in own) >= len(own):
            found[key] = "near"
    return found
