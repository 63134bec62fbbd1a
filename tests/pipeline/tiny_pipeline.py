"""A whole pipeline shrunk to seconds: every kind of stage once, a model of one layer and width 16."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boresight.config.load import load_pipeline
from boresight.config.pipeline import Pipeline

TEXT = """\
run: {name: tiny, seed: 3, threads: 1}
stages:
  base:
    {kind: pretrain, data: docs.txt, vocabulary_size: 300, context_length: 96, hidden_size: 16, intermediate_size: 32,
     layers: 1, heads: 2, sequence_length: 16, steps: 8, batch_size: 8, checkpoint_every: 1}
  demo:
    {kind: sft, start: base, data: demonstrations.jsonl, steps: 8, batch_size: 8, learning_rate: 5e-3,
     checkpoint_every: 1}
  drafts:
    {kind: sample, policy: demo, prompts: prompts.jsonl, responses_per_prompt: 4, temperatures: [0.7, 1.0],
     max_new_tokens: 6, batch_size: 4}
  labels: {kind: ai_labels, responses: drafts, judge: {kind: rules, noise: 0.1}, pairs_per_prompt: 2}
  pairs: {kind: preferences, sources: [pairs.jsonl, labels], held_out_fraction: 0.25}
  scorer:
    {kind: reward_model, start: demo, data: pairs, batch_size: 8, epochs: 2, learning_rate: 1e-3, checkpoint_every: 1}
  ppo:
    {kind: ppo, policy: demo, reference: demo, reward: scorer, prompts: prompts.jsonl, steps: 4, prompts_per_step: 4,
     responses_per_prompt: 2, max_new_tokens: 6, ppo_epochs: 2, missing_stop_penalty: null, learning_rate: 1e-3,
     checkpoint_every: 1}
  dpo: {kind: dpo, policy: demo, reference: demo, data: pairs, batch_size: 8, learning_rate: 1e-3, checkpoint_every: 1}
  orpo: {kind: orpo, start: demo, data: pairs, batch_size: 8, learning_rate: 1e-3, checkpoint_every: 1}
  simpo: {kind: simpo, start: demo, data: pairs, batch_size: 8, learning_rate: 1e-3, checkpoint_every: 1}
  kto:
    {kind: kto, policy: demo, reference: demo, data: rated.jsonl, batch_size: 8, learning_rate: 1e-3,
     checkpoint_every: 1}
  rloo:
    {kind: rloo, policy: demo, reference: demo, reward: scorer, prompts: prompts.jsonl, steps: 4, prompts_per_step: 4,
     responses_per_prompt: 2, max_new_tokens: 6, missing_stop_penalty: null, learning_rate: 1e-3, checkpoint_every: 1}
  compare:
    {kind: evaluate, candidates: [ppo, dpo, orpo, simpo, kto, rloo], baseline: demo, prompts: held_out.jsonl,
     judge: {kind: rules},     temperature: 1.0, max_new_tokens: 6, batch_size: 2}
  gate: {kind: gate, of: compare, candidates: [ppo], min_win_rate: 0.0, min_lower_bound: 0.0}
"""

TRAINED = ("base", "demo", "scorer", "ppo", "dpo", "orpo", "simpo", "kto", "rloo")
WORDS = (
    "list", "pods", "show", "nodes", "get", "logs", "tail", "events", "scale", "down", "roll", "back", "open", "port",
    "drain", "cordon",
)  # fmt: skip


def rules(word: str) -> dict[str, Any]:
    letters = [{"name": "vowels", "weight": 1.0, "contains_any": list("aeiou")}]
    spaces = [{"name": "spaced", "weight": 0.5, "contains": " "}, {"name": "short", "weight": 0.25, "stopped": True}]
    return {"rules": [*letters, *spaces, {"name": "echo", "weight": 2.0, "contains": word}]}


def write_lines(path: Path, rows: list[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_data(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "docs.txt").write_text("\n\n".join(f"How to {a} {b}: run {b} {a}." for a in WORDS for b in WORDS[:4]))
    asked = [(f"{a} {b}", f"{b} {a}") for a in WORDS for b in WORDS[:3] if a != b]
    user = [{"role": "user", "content": question} for question, _ in asked]
    write_lines(
        folder / "demonstrations.jsonl",
        [
            {"id": f"d{i}", "messages": [user[i], {"role": "assistant", "content": answer}]}
            for i, (_, answer) in enumerate(asked)
        ],
    )
    write_lines(
        folder / "pairs.jsonl",
        [
            {
                "id": f"w{i}", "prompt": [user[i]], "chosen": [{"role": "assistant", "content": answer}],
                "rejected": [{"role": "assistant", "content": "no idea"}], "kind": "plain",
            }
            for i, (_, answer) in enumerate(asked)
        ],
    )  # fmt: skip
    write_lines(
        folder / "rated.jsonl",
        [
            {"prompt": question, "completion": answer if i % 3 else "no idea", "label": bool(i % 3)}
            for i, (question, answer) in enumerate(asked)
        ],
    )
    for name, part in (("prompts", range(0, 12)), ("held_out", range(12, 22))):
        write_lines(
            folder / f"{name}.jsonl",
            [
                {"id": f"{name}{i}", "messages": [user[i]], "kind": "plain", "expect": rules(asked[i][1].split()[0])}
                for i in part
            ],
        )


def load(folder: Path, *overrides: str, text: str = TEXT) -> Pipeline:
    """The pipeline over the data in `folder`, which is written where it is not there yet."""
    if not (folder / "docs.txt").exists():
        write_data(folder)
    (folder / "pipeline.yaml").write_text(text, encoding="utf-8")
    return load_pipeline(folder / "pipeline.yaml", overrides)


def artifacts(run: Path) -> dict[str, bytes]:
    """Every file of a run by name, but for those that tell times."""
    return {
        file.relative_to(run).as_posix(): file.read_bytes()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name != "timings.jsonl"
    }
