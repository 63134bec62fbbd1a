"""A page for each kind of stage: what it does, an example that a test loads, what it shows, and all of its settings."""

import inspect
import re
from collections.abc import Callable

from boresight.config.sections import STAGE_CLASSES, Section

EXAMPLES = {
    "pretrain": "base: {kind: pretrain, data: docs.txt, vocabulary_size: 1536, steps: 520}",
    "sft": "demo: {kind: sft, data: demonstrations.jsonl, epochs: 3, learning_rate: 2e-5}",
    "sample": (
        "drafts: {kind: sample, policy: demo, prompts: prompts.jsonl, responses_per_prompt: 4, "
        "temperatures: [0.7, 1.0]}"
    ),
    "ai_labels": (
        "labels:\n  kind: ai_labels\n  responses: drafts\n"
        '  judge: {kind: openai, base_url: "http://127.0.0.1:8000/v1", model: NAME, rubric: helpful}'
    ),
    "preferences": "pairs: {kind: preferences, sources: [pairs.csv], filters: {max_length_ratio: 2.0}}",
    "reward_model": "scorer: {kind: reward_model, start: demo, data: pairs, epochs: 1}",
    "ppo": (
        "ppo:\n  kind: ppo\n  policy: demo\n  reference: demo\n  reward: scorer\n  prompts: prompts.jsonl\n"
        "  steps: 200\n  kl_coefficient: 0.05"
    ),
    "rloo": (
        "rloo:\n  kind: rloo\n  policy: demo\n  reference: demo\n  reward: scorer\n  prompts: prompts.jsonl\n"
        "  steps: 200\n  responses_per_prompt: 4"
    ),
    "dpo": "dpo: {kind: dpo, policy: demo, reference: demo, data: pairs, beta: 0.1}",
    "orpo": "orpo: {kind: orpo, start: demo, data: pairs, odds_ratio_coefficient: 0.1}",
    "simpo": "simpo: {kind: simpo, start: demo, data: pairs}",
    "kto": "kto: {kind: kto, policy: demo, reference: demo, data: rated.jsonl}",
    "evaluate": (
        "compare:\n  kind: evaluate\n  candidates: [ppo, dpo]\n  baseline: demo\n  prompts: held_out.jsonl\n"
        "  judge: {kind: reward_model, model: scorer}"
    ),
    "gate": (
        "compare:\n  kind: evaluate\n  candidates: [ppo, dpo]\n  baseline: demo\n  prompts: held_out.jsonl\n"
        "  judge: {kind: reward_model, model: scorer}\n"
        "gate: {kind: gate, of: compare, min_win_rate: 0.60, min_lower_bound: 0.50}"
    ),
}

SHOWN = {
    "pretrain": "`loss/total` falls from log of the vocabulary; the folder holds a model to start from.",
    "sft": "`loss/total` in nats a trained token; the mask is checked before the first step.",
    "sample": "`responses.jsonl`: each response with its log-probability, its length, and whether it ended by itself.",
    "ai_labels": "How often the judge turned with the order, preferred the longer one, or gave no verdict.",
    "preferences": "Every row that was left out, counted with its reason; length balance; the split by prompt.",
    "reward_model": "The certificate: accuracy with an interval, by kind of prompt, and what length alone would get.",
    "ppo": "Score, KL to the reference, entropy and clip fraction, each step; responses as they were sampled.",
    "rloo": "Score, KL to the reference and entropy, each step; no value model is there to be looked at.",
    "dpo": "Margin and accuracy, and both rewards: that both fall is no fault by itself.",
    "orpo": "The likelihood and the odds ratio, apart.",
    "simpo": "The margin in mean log-probabilities; nothing but the learning rate holds the policy back.",
    "kto": "Rewards of good and bad responses, and the reference point z.",
    "evaluate": "Win rates with intervals over prompts, the judge's preference for the first place, canaries.",
    "gate": "Which checks hold; the exit code of `boresight run` is 1 where one does not.",
}

MORE = {
    "pretrain": "[the embedded example](../example.md)",
    "sft": "[supervised fine-tuning](../concepts.md#supervised-fine-tuning)",
    "sample": "[AI feedback](../ai_feedback.md)",
    "ai_labels": "[AI feedback](../ai_feedback.md)",
    "preferences": "[data](../data.md), [data quality](../data_quality.md)",
    "reward_model": "[the reward model](../concepts.md#reward-model), [its service](../reward_service.md)",
    "ppo": "[PPO](../concepts.md#ppo), [rewards and what is looked after](../ppo.md), [why KL](../questions.md)",
    "rloo": "[PPO and RLOO](../ppo.md)",
    "dpo": "[DPO](../concepts.md#dpo), [why both rewards may fall](../questions.md)",
    "orpo": "[ORPO](../concepts.md#orpo)",
    "simpo": "[SimPO](../concepts.md#simpo)",
    "kto": "[KTO](../concepts.md#kto)",
    "evaluate": "[evaluation](../evaluation.md), [what a win rate needs](../questions.md)",
    "gate": "[evaluation and gate](../concepts.md#evaluation-and-gate)",
}

NAMED = {kind: re.findall(r"^(\w+):", example, flags=re.MULTILINE)[-1] for kind, example in EXAMPLES.items()}
"""The stage of each example that is of the kind; others above it are what it names."""


CHANGED = {
    "pretrain": "steps=1000",
    "sft": "learning_rate=1e-5",
    "sample": "responses_per_prompt=8",
    "ai_labels": "pairs_per_prompt=2",
    "preferences": "on_identical=drop",
    "reward_model": "centering_coefficient=0.01",
    "ppo": "kl_coefficient=0.1",
    "rloo": "kl_coefficient=0.1",
    "dpo": "beta=0.2",
    "orpo": "odds_ratio_coefficient=0.2",
    "simpo": "beta=2.5",
    "kto": "desirable_weight=1.2",
    "evaluate": "temperature=0.7",
    "gate": "min_win_rate=0.55",
}
"""A setting of each kind that people come back to."""


def stage_page(kind: str, settings: Callable[[str, type[Section]], list[str]]) -> str:
    """`settings` writes the table of a section."""
    section = STAGE_CLASSES[kind]
    table = settings("Settings", section)
    told = inspect.cleandoc(section.__doc__ or "")
    head = [
        f"# {kind}",
        "",
        "Made from the code by `docs/generate.py`.",
        "",
        told,
        "",
        "```yaml",
        EXAMPLES[kind],
        "```",
        "",
        "Look before it runs, here with another setting; `boresight run` takes the same:",
        "",
        "```console",
        f"boresight check pipeline.yaml --set stages.{NAMED[kind]}.{CHANGED[kind]}",
        "```",
        "",
        f"**It shows:** {SHOWN[kind]}",
        "",
        f"More: {MORE[kind]}.",
        *(line for line in table if line != told),
    ]
    return "\n".join(head).replace("\n\n\n", "\n\n") + "\n"
