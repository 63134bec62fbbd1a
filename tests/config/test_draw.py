from collections.abc import Callable
from pathlib import Path

from boresight.config.draw import draw
from boresight.config.load import load_pipeline

SMALL = """\
run: {name: small, seed: 3}
model: {path: owner/name}
stages:
  end: {kind: gate, of: compare}
  demo: {kind: sft, data: [data/demos.jsonl, data/docs.txt], epochs: 1}
  compare:
    {kind: evaluate, candidates: [demo], baseline: base_model, prompts: data/prompts.jsonl, judge: {kind: rules}}
"""


def test_the_text_has_a_line_for_each_stage_in_the_order_they_run(write: Callable[[str], Path]) -> None:
    assert draw(load_pipeline(write(SMALL))) == (
        "small: 3 stages from top to bottom, seed 3; (…) is a file\n"
        "\n"
        "  demo     sft       start <- [owner/name]  data <- (data/demos.jsonl), (data/docs.txt)\n"
        "  compare  evaluate  candidates <- demo  baseline <- [owner/name]  prompts <- (data/prompts.jsonl)\n"
        "  end      gate      of <- compare\n"
    )


def test_mermaid_numbers_its_nodes_and_draws_every_source_once(write: Callable[[str], Path]) -> None:
    lines = draw(load_pipeline(write(SMALL)), "mermaid").splitlines()
    assert lines == [
        "flowchart TD",
        '  s0["demo<br/>sft"]',
        '  s1["compare<br/>evaluate"]',
        '  s2["end<br/>gate"]',
        '  f0[("owner/name")]',
        '  f1[("data/demos.jsonl")]',
        '  f2[("data/docs.txt")]',
        '  f3[("data/prompts.jsonl")]',
        "  f0 -->|start| s0",
        "  f1 -->|data| s0",
        "  f2 -->|data| s0",
        "  s0 -->|candidates| s1",
        "  f0 -->|baseline| s1",
        "  f3 -->|prompts| s1",
        "  s1 -->|of| s2",
    ]
