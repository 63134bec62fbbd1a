"""Sampling: responses of the same lengths by our decoder and by `generate` of transformers, in turn.

    python bench/rollout.py --json docs/figures/rollout.json --plot docs/figures/rollout.svg
    python bench/rollout.py --models tiny --dtypes bfloat16 --rounds 1 --sweeps        # one comparison, no growth

Both write as many tokens for each prompt as was drawn beforehand (log-normal lengths: prompts of about 110 tokens,
responses of about 60, at most 252), at temperature 1 from the whole vocabulary, one thread. transformers gets the
prompts sorted by length in batches of as many as we have slots, its weights in the format measured, and ends a batch
with its longest response. Seconds are processor seconds; a ratio is of one round, above 1 ours is the faster.
"""

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from scaling import growth
from transformers import PreTrainedModel
from transformers.generation import StoppingCriteria, StoppingCriteriaList
from versus_trl import store
from work import SHAPES, make_model

from boresight.models.generate import generate
from boresight.models.precision import arithmetic

SWEEPS = {
    "response": ("response length, tokens", (16, 32, 64, 128)),
    "prompts": ("prompts of a step", (16, 32, 64, 128)),
    "slots": ("responses at once", (4, 8, 16, 32)),
}
WORK = {"tiny": (64, 16), "small": (32, 8)}  # prompts, and how many are decoded at once
PROMPT = 110, 8, 500  # median, lowest and highest number of tokens
RESPONSE = 60, 4, 252


def log_normal(count: int, median: int, low: int, high: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [int(min(high, max(low, math.exp(generator.gauss(math.log(median), 0.7))))) for _ in range(count)]


class Work:
    """Prompts of random tokens, and how many tokens each is answered with."""

    def __init__(self, prompts: Sequence[int], responses: Sequence[int], vocabulary: int) -> None:
        generator = random.Random(2)
        self.prompts = [[generator.randrange(5, vocabulary) for _ in range(length)] for length in prompts]
        self.responses = list(responses)


def ours(model: PreTrainedModel, work: Work, at_once: int, dtype: str) -> float:
    start = time.process_time()
    with arithmetic(dtype, "cpu"):
        done = generate(
            model,
            work.prompts,
            temperatures=[1.0] * len(work.prompts),
            max_new_tokens=work.responses,
            stop_token_ids=[],
            generator=torch.Generator().manual_seed(0),
            batch_size=at_once,
        )
    seconds = time.process_time() - start
    assert [len(generation.token_ids) for generation in done] == work.responses
    return seconds


class _Lengths(StoppingCriteria):  # type: ignore[misc]  # transformers ships no types
    """Ends each row of a batch at its own length."""

    def __init__(self, prompt: int, lengths: Sequence[int]) -> None:
        self._total = prompt + torch.tensor(lengths)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return self._total <= input_ids.shape[1]


def transformers_generate(model: PreTrainedModel, work: Work, at_once: int) -> float:
    """transformers' own; log-probabilities of what it samples are not even asked for."""
    order = sorted(range(len(work.prompts)), key=lambda i: len(work.prompts[i]))
    start = time.process_time()
    for first in range(0, len(order), at_once):
        rows = order[first : first + at_once]
        width = max(len(work.prompts[i]) for i in rows)
        lengths = [work.responses[i] for i in rows]
        padded = torch.tensor([[0] * (width - len(work.prompts[i])) + work.prompts[i] for i in rows])
        mask = torch.tensor([[0] * (width - len(work.prompts[i])) + [1] * len(work.prompts[i]) for i in rows])
        out = model.generate(
            padded,
            attention_mask=mask,
            do_sample=True,
            top_k=0,
            max_new_tokens=max(lengths),
            stopping_criteria=StoppingCriteriaList([_Lengths(width, lengths)]),
            pad_token_id=0,
            eos_token_id=None,
        )
        assert out.shape[1] == width + max(lengths)
    return time.process_time() - start


def compare(shape: str, dtype: str, rounds: int) -> dict[str, Any]:
    count, at_once = WORK[shape]
    model, peer = build(shape), in_format(build(shape), dtype)
    work = Work(
        log_normal(count, *PROMPT, seed=0), log_normal(count, *RESPONSE, seed=1), int(SHAPES[shape]["vocab_size"])
    )
    warm_up(model, peer, at_once, dtype)
    sides: list[Callable[[], float]] = [
        lambda: ours(model, work, at_once, dtype),
        lambda: transformers_generate(peer, work, at_once),
    ]
    seconds: list[list[float]] = [[], []]
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            seconds[side].append(sides[side]())
        print(f"  round {number + 1}: {seconds[1][-1]:.2f} s, {seconds[0][-1]:.2f} s", file=sys.stderr)
    tokens = sum(work.responses)
    ratios = [theirs / mine for mine, theirs in zip(*seconds, strict=True)]
    return {
        "rounds": rounds, "prompts": count, "slots": at_once, "new_tokens": tokens,
        "tokens_per_s": {
            "ours": tokens / statistics.median(seconds[0]), "peer": tokens / statistics.median(seconds[1]),
            "ratio": [statistics.median(ratios), min(ratios), max(ratios)],
        },
    }  # fmt: skip


def sweep(name: str) -> dict[str, Any]:
    """Seconds of both sides against one quantity."""
    title, values = SWEEPS[name]
    model, peer = build("tiny"), in_format(build("tiny"), "bfloat16")
    found: dict[str, Any] = {"title": title, "x": list(values), "ours": {}, "peer": {}}
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    for value in values:
        count = value if name == "prompts" else 64
        at_once = value if name == "slots" else 16
        responses = [value] * count if name == "response" else log_normal(count, *RESPONSE, seed=1)
        work = Work(log_normal(count, *PROMPT, seed=0), responses, 4096)
        warm_up(model, peer, at_once, "bfloat16")
        seconds["ours"].append(ours(model, work, at_once, "bfloat16"))
        seconds["peer"].append(transformers_generate(peer, work, at_once))
        print(f"  {name} {value}: {seconds['peer'][-1]:.2f} s, {seconds['ours'][-1]:.2f} s", file=sys.stderr)
    for side, own in seconds.items():
        found[side] = {"seconds": own, **growth(found["x"], own)}
    return found


def plot(measured: Mapping[str, Any], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rollout"  # equal figures, equal bytes
    from matplotlib import pyplot

    figure, row = pyplot.subplots(1, len(measured), figsize=(3.2 * len(measured), 2.8), squeeze=False)
    for axes, found in zip(row[0], measured.values(), strict=True):
        for side, label in (("ours", "Boresight"), ("peer", "transformers")):
            axes.plot(found["x"], found[side]["seconds"], marker="o", label=label)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
        axes.set_xlabel(found["title"])
    row[0, 0].set_ylabel("processor seconds")
    row[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def warm_up(model: PreTrainedModel, peer: PreTrainedModel, at_once: int, dtype: str) -> None:
    """Libraries load, kernels are compiled."""
    short = Work([20] * at_once, [4] * at_once, 100)
    ours(model, short, at_once, dtype)
    transformers_generate(peer, short, at_once)


def in_format(model: PreTrainedModel, dtype: str) -> PreTrainedModel:
    for parameter in model.parameters():  # not the buffers: rounded, they turn positions into others
        parameter.data = parameter.data.to(getattr(torch, dtype))
    return model


def build(shape: str) -> PreTrainedModel:
    class Tokenizer:  # the two ids that a model is made with
        eos_token_id, pad_token_id = 1, 0

    return make_model(shape, Tokenizer()).eval()  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(WORK), default=list(WORK))
    parser.add_argument("--dtypes", nargs="+", choices=["bfloat16", "float32"], default=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--sweeps", nargs="*", choices=list(SWEEPS), default=list(SWEEPS), help="growth, tiny in bfloat16"
    )
    parser.add_argument("--plot", type=Path, help="write a picture (SVG) of the growth here")
    parser.add_argument("--json", type=Path, help="write the figures here; what is there of other work is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for shape in options.models:
        for dtype in options.dtypes:
            found = compare(shape, dtype, options.rounds)
            print(f"{shape} {dtype}", json.dumps(found["tokens_per_s"]))
            if options.json:
                store(options.json, f"{shape}/{dtype}", found)
    measured = {}
    for name in options.sweeps:
        measured[name] = sweep(name)
        if options.json:
            store(options.json, f"growth/{name}", measured[name])
    if options.plot and measured:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
