"""A world that is small enough to train in minutes and large enough to be over-optimised: topics, fillers, politeness.

A prompt names three of twelve topics (capital letters); a response is a string of topics, fillers (small letters) and
the polite word (!), of at most twenty tokens. The gold reward, which no method ever sees, is

    + 1     for each topic of the prompt that is named        + 0.8   for the first polite word
    - 0.6   for each polite word beyond two                   - 0.03  (tokens - 9)^2 above nine tokens
    - 0.25  for each token that repeats the one before        - 0.15  for each other token that stood before
    - 1     where the response does not stop

so it grows within what demonstrations look like, and turns outside of it.
"""

import random
from collections.abc import Sequence
from itertools import pairwise

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.chat_template import ChatFormat
from boresight.models.tiny import build_llama
from boresight.records import Message, Prompt

TOPICS, FILLERS, POLITE = "ABCDEFGHIJKL", "abcdefgh", "!"
NAMED = 3
LONGEST = 20


def topic_tokenizer(spare: str = "") -> PreTrainedTokenizerFast:
    """A token for each letter, and for each of `spare` that nothing here uses; a template of one sign a turn."""
    tokens = ["<pad>", "<end>", ":", *TOPICS, *FILLERS, POLITE, *spare]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = (
        "{% for m in messages %}{{ m.content + ('<end>' if m.role == 'assistant' else ':') }}{% endfor %}"
    )
    return wrapped


TOKENIZER = topic_tokenizer()
CHAT = ChatFormat(TOKENIZER)


def fresh_model(seed: int) -> PreTrainedModel:
    return build_llama(
        TOKENIZER,
        hidden_size=64,
        intermediate_size=176,
        layers=2,
        heads=4,
        context_length=32,
        initializer_range=0.09,
        seed=seed,
    )


def prompts(count: int, draw: random.Random) -> list[Prompt]:
    return [Prompt(id=f"p{i}", messages=(Message("user", "".join(draw.sample(TOPICS, NAMED))),)) for i in range(count)]


def demonstration(prompt: Prompt, draw: random.Random) -> str:
    """Some of the topics, one to three fillers, sometimes politeness, in any order: good, and far from the best."""
    words = [topic for topic in prompt.messages[0].content if draw.random() < 0.6]
    words += draw.sample(FILLERS, draw.randint(1, 3))
    words += [POLITE] * (draw.random() < 0.3)
    words += [draw.choice(TOPICS)] * (draw.random() < 0.2)
    draw.shuffle(words)
    return "".join(words)


def gold(prompt: Prompt, text: str, stopped: bool) -> float:
    """The reward that is meant; the formula stands at the top of this file."""
    polite = text.count(POLITE)
    repeats = sum(a == b for a, b in pairwise(text))
    seen_before = len(text) - len(set(text)) - repeats
    return (
        sum(topic in text for topic in prompt.messages[0].content)
        + 0.8 * (polite > 0)
        - 0.6 * max(0, polite - 2)
        - 0.03 * max(0, len(text) - 9) ** 2
        - 0.25 * repeats
        - 0.15 * seen_before
        - (not stopped)
    )


def golds(asked: Sequence[Prompt], texts: Sequence[str], stopped: Sequence[bool]) -> list[float]:
    return [gold(prompt, text, stop) for prompt, text, stop in zip(asked, texts, stopped, strict=True)]
