"""What the ways around the traps of training on a CPU give, each against the obvious way.

    python bench/traps.py [--json FILE]

Attention: the same packed rows of conversations of changing lengths by four ways, forward and backward; milliseconds a
row, and how much more memory the process holds after rows of many shapes. Products: a layer in bfloat16 on rows as long
as they come, and filled up to a few sizes. Padding: tokens that the reference pass computes by the order of its
batches. Memory: a new table, cast from another, with torch's huge pages and without. Each way is measured in a process
of its own, on one thread.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from work import SHAPES, make_tokenizer, resident_mb
from work import make_pairs as draw_pairs

from boresight.models.block_attention import attend_in_blocks
from boresight.models.precision import QUANTUM
from boresight.models.shared_prompt import Span

HEADS, SIZE, ROW = 8, 64, 1024
ROWS = 60
HIDDEN = SHAPES["small"]["hidden_size"]
BATCH = 8
Inputs = tuple[Tensor, Tensor, Tensor]


def conversations(generator: random.Random) -> list[tuple[int, int, int]]:
    """Lengths of prompt, chosen and rejected response, log-normal, until a row is full."""
    found: list[tuple[int, int, int]] = []
    while True:
        prompt = min(500, round(generator.lognormvariate(4.7, 0.7)))
        chosen, rejected = (min(250, round(generator.lognormvariate(4.1, 0.7))) + 1 for _ in range(2))
        if sum(map(sum, found)) + prompt + chosen + rejected > ROW:
            return found or [(prompt, chosen, rejected)]
        found.append((prompt, chosen, rejected))


def spans_of(lengths: list[tuple[int, int, int]]) -> list[Span]:
    spans, start = [], 0
    for prompt, chosen, rejected in lengths:
        middle = start + prompt + chosen
        spans += [Span(start, middle, start, start), Span(middle, middle + rejected, start, start + prompt)]
        start = middle + rejected
    return spans


def in_blocks(inputs: Inputs, spans: list[Span]) -> Tensor:
    return attend_in_blocks(*inputs, spans, SIZE**-0.5, None)


def by_span(inputs: Inputs, spans: list[Span]) -> Tensor:
    """The public function once for each span, in the format of its inputs."""
    query, key, value = inputs
    pieces = []
    for span in spans:
        seen = [
            torch.cat([t[:, :, span.stem_start : span.stem_end], t[:, :, span.start : span.end]], 2)
            for t in (key, value)
        ]
        bias = None
        if span.stem:
            bias = torch.full((span.length, span.stem + span.length), -torch.inf, dtype=query.dtype).triu(span.stem + 1)
        own = query[:, :, span.start : span.end]
        pieces.append(scaled_dot_product_attention(own, *seen, attn_mask=bias, is_causal=bias is None))
    return torch.cat(pieces, dim=2).transpose(1, 2)


def by_span_wide(inputs: Inputs, spans: list[Span]) -> Tensor:
    query, key, value = (tensor.float() for tensor in inputs)
    return by_span((query, key, value), spans).to(inputs[0].dtype)


def masked_whole(inputs: Inputs, spans: list[Span]) -> Tensor:
    """One call over the whole row with a table of who sees whom: packing without a kernel that knows of lengths."""
    tokens = inputs[0].shape[2]
    seen = torch.zeros(tokens, tokens, dtype=torch.bool)
    for span in spans:
        seen[span.start : span.end, span.stem_start : span.stem_end] = True
        seen[span.start : span.end, span.start : span.end] = torch.ones(span.length, span.length).tril().bool()
    query, key, value = (tensor.float() for tensor in inputs)
    out = scaled_dot_product_attention(query, key, value, attn_mask=seen)
    return out.to(inputs[0].dtype).transpose(1, 2)


ATTENTION: dict[str, Callable[[Inputs, list[Span]], Tensor]] = {
    "blocks of queries, float32 (ours)": in_blocks,
    "a call for each span, float32": by_span_wide,
    "a call for each span, bfloat16": by_span,
    "one masked call over the row, float32": masked_whole,
}


def attention(name: str) -> dict[str, float]:
    generator = random.Random(0)
    seconds: list[float] = []
    started = 0.0
    for number in range(ROWS):
        spans = spans_of(conversations(generator))
        tokens = spans[-1].end
        drawn = torch.randn(3, 1, tokens, HEADS, SIZE).bfloat16().transpose(2, 3)
        inputs = tuple(tensor.detach().requires_grad_() for tensor in drawn)
        clock = time.process_time()
        out = ATTENTION[name](inputs, spans)  # type: ignore[arg-type]
        out.backward(torch.ones_like(out))
        seconds.append((time.process_time() - clock) * ROW / tokens)
        if number == 3:
            started = resident_mb()
    return {"ms": 1000 * sorted(seconds)[len(seconds) // 2], "grown_mb": resident_mb() - started}


def products(quantum: int) -> dict[str, float]:
    layer = torch.nn.Linear(HIDDEN, 3 * HIDDEN).bfloat16()
    generator = random.Random(0)
    started = resident_mb()
    for _ in range(200):
        tokens = generator.randrange(256, ROW)
        tokens += -tokens % quantum
        layer(torch.ones(tokens, HIDDEN, dtype=torch.bfloat16)).sum().backward()
    return {"grown_mb": resident_mb() - started}


def new_table() -> dict[str, float]:
    """A head's matrix cast to the products' format, as every micro-batch does it."""
    matrix = torch.randn(SHAPES["small"]["vocab_size"], HIDDEN)
    seconds = []
    for _ in range(20):
        clock = time.process_time()
        matrix.to(torch.bfloat16)
        seconds.append(time.process_time() - clock)
    return {"ms": 1000 * sorted(seconds)[len(seconds) // 2]}


def padding() -> dict[str, float]:
    """Tokens that are computed over those that are there, prompts counted for each response."""
    tokenizer = make_tokenizer("tiny")
    pairs = [
        [len(tokenizer(pair[key])["input_ids"]) + 2 for key in ("prompt", "chosen", "rejected")]
        for pair in draw_pairs(tokenizer, 256)
    ]
    real = sum(2 * prompt + chosen + rejected for prompt, chosen, rejected in pairs)

    def padded(order: list[list[int]]) -> float:
        batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        return sum(2 * len(b) * max(p + max(c, r) for p, c, r in b) for b in batches) / real

    return {
        "batches as they come": padded(pairs),
        "batches of like length": padded(sorted(pairs, key=sum)),
        "packed, prompts once (ours)": sum(map(sum, pairs)) / real,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        kind, _, name = options.one.partition("/")
        ways = {"attention": lambda: attention(name), "products": lambda: products(int(name)), "table": new_table}
        print(json.dumps(ways[kind]()))
        return

    def apart(kind: str, name: str, **settings: str) -> Any:
        command, environment = [sys.executable, __file__, "--one", f"{kind}/{name}"], os.environ | settings
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return json.loads(done.stdout)

    found = {
        "attention": {name: apart("attention", name) for name in ATTENTION},
        "products": {
            "as they come": apart("products", "1"), f"filled to {QUANTUM}": apart("products", str(QUANTUM)),
        },
        "new table": {
            "huge pages (ours)": apart("table", "", THP_MEM_ALLOC_ENABLE="1"),
            "pages of 4 kB": apart("table", "", THP_MEM_ALLOC_ENABLE="0"),
        },
        "padding": padding(),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
