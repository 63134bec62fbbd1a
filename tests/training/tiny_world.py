"""A small real model with an easy task: two-layer Llama, byte vocabulary, answers that are strings of letters."""

import copy
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from boresight.config.sections import (
    DPOStage,
    KTOStage,
    LoRASection,
    ORPOStage,
    PPOStage,
    PretrainStage,
    RewardModelStage,
    RLOOStage,
    SFTStage,
    SimPOStage,
)
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import (
    Encoded,
    EncodedPair,
    EncodedResponse,
    encode_conversation,
    encode_prompt,
    encode_response,
)
from boresight.models.adapters import add_adapter
from boresight.models.backbone import TrunkValue, fresh_value_model
from boresight.models.generate import Generation
from boresight.models.heads import ScalarHeadModel
from boresight.models.loading import save_model, start_reward_model
from boresight.models.roles import FrozenPolicy, Policy, UnadaptedPolicy, ValueModel
from boresight.models.tiny import tiny_llama, tiny_tokenizer
from boresight.records import Message, Messages, Prompt
from boresight.training.ppo import PPORoles
from boresight.training.rollout import Rollout, as_rollout
from boresight.training.run import Run

TOKENIZER = tiny_tokenizer()
CHAT = ChatFormat(TOKENIZER)
LETTERS, LENGTH = "abcd", 6
LORA = LoRASection(rank=2)
PROMPTS = [Prompt(id=f"p{i}", messages=(Message("user", word),)) for i, word in enumerate(("go", "on", "up", "in"))]


def answer(generator: torch.Generator, share_of_a: float = 0.25) -> str:
    """Six letters, each an "a" with the probability given, otherwise one of the others."""
    is_a = torch.rand(LENGTH, generator=generator) < share_of_a
    others = torch.randint(1, len(LETTERS), (LENGTH,), generator=generator)
    return "".join("a" if a else LETTERS[i] for a, i in zip(is_a.tolist(), others.tolist(), strict=True))


def conversations(count: int, seed: int = 0, shares: Sequence[float] = (0.25,) * len(PROMPTS)) -> list[Encoded]:
    """Answers to the prompts in turn, each with its share of the letter "a"."""
    generator = torch.Generator().manual_seed(seed)
    return [
        encode_conversation(
            CHAT,
            (
                *PROMPTS[i % len(PROMPTS)].messages,
                Message("assistant", answer(generator, shares[i % len(PROMPTS)])),
            ),
            record_id=f"c{i}",
        )
        for i in range(count)
    ]


def pairs(count: int, seed: int = 0) -> list[EncodedPair]:
    """The chosen response has more of the letter "a" than the rejected one."""
    generator = torch.Generator().manual_seed(seed)
    made: list[EncodedPair] = []
    while len(made) < count:
        messages = PROMPTS[len(made) % len(PROMPTS)].messages
        worse, better = sorted((answer(generator, 0.4), answer(generator, 0.4)), key=lambda text: text.count("a"))
        if worse.count("a") < better.count("a"):
            sides = [encode_response(CHAT, messages, text) for text in (better, worse)]
            made.append(EncodedPair(encode_prompt(CHAT, messages), *sides, id=f"pair{len(made)}"))
    return made


def rated(count: int, seed: int = 0) -> list[EncodedResponse]:
    """Both sides of pairs, one by one: those with more of the letter "a" are the good ones."""
    return [
        EncodedResponse(pair.prompt_ids, ids, good, f"{pair.id}/{good}")
        for pair in pairs(count // 2, seed)
        for ids, good in ((pair.chosen_ids, True), (pair.rejected_ids, False))
    ]


def ranked(texts: Sequence[str], name: str, prompt: int = 0) -> list[EncodedPair]:
    """All pairs of responses that stand in order, the best first."""
    messages = PROMPTS[prompt].messages
    ids = [encode_response(CHAT, messages, text) for text in texts]
    return [
        EncodedPair(encode_prompt(CHAT, messages), ids[i], ids[j], f"{name}#{i}-{j}", ranking_id=name)
        for i, j in combinations(range(len(texts)), 2)
    ]


def rankings(count: int, seed: int = 0, responses: int = 4) -> list[EncodedPair]:
    """Rankings of different responses by their number of the letter "a"."""
    generator = torch.Generator().manual_seed(seed)
    made: list[EncodedPair] = []
    for number in range(count):
        by_letters = {text.count("a"): text for text in (answer(generator, 0.4) for _ in range(40))}
        order = [by_letters[letters] for letters in sorted(by_letters, reverse=True)][:responses]
        made += ranked(order, f"r{number}", number % len(PROMPTS))
    return made


class LetterShare:
    """A reward source: the share of a response's characters that are "a"."""

    def score(self, prompts: list[Messages], responses: list[str]) -> torch.Tensor:
        return torch.tensor([text.count("a") / max(1, len(text)) for text in responses])


def fresh_model(seed: int = 0, dropout: float = 0.0) -> PreTrainedModel:
    model = tiny_llama(TOKENIZER, seed=seed, context_length=64)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout
    return model


def policy_of(model: PreTrainedModel) -> Policy:
    return Policy(copy.deepcopy(model), TOKENIZER, CHAT)


def adapted_policy_of(model: PreTrainedModel, dropout: float = 0.0) -> Policy:
    model = copy.deepcopy(model)
    adapter = add_adapter(model, LoRASection(rank=2, dropout=dropout), task="CAUSAL_LM", seed=0)
    return Policy(model, TOKENIZER, CHAT, adapter)


def reference_under(policy: Policy) -> UnadaptedPolicy:
    assert policy.adapter is not None
    return UnadaptedPolicy(policy, policy.adapter)


def reference_of(model: PreTrainedModel) -> FrozenPolicy:
    return FrozenPolicy(copy.deepcopy(model), TOKENIZER, CHAT)


def value_of(model: PreTrainedModel) -> ValueModel:
    return ValueModel(ScalarHeadModel.from_language_model(copy.deepcopy(model)))


def shared_roles(model: PreTrainedModel) -> PPORoles:
    """Policy, value model and reference on one base; the reward source is a rule."""
    policy = adapted_policy_of(model)
    assert policy.adapter is not None
    value = fresh_value_model(policy, policy.adapter, LORA, seed=0)
    return PPORoles(policy, value, reference_under(policy), LetterShare())


def trunk_roles(model: PreTrainedModel, adapted: bool = True) -> PPORoles:
    """Policy and value head on one trunk, trained by adapters or all of it."""
    policy = adapted_policy_of(model) if adapted else policy_of(model)
    reference = reference_under(policy) if adapted else reference_of(model)
    return PPORoles(policy, TrunkValue(policy), reference, LetterShare())


def scorer(folder: Path, seed: int = 0) -> PreTrainedModel:
    """A reward model that knows nothing yet, on a fresh body."""
    save_model(folder / "base", fresh_model(seed), TOKENIZER, "")
    return start_reward_model(folder / "base", seed)


def rollout_of(*texts: str, stopped: bool = True, prompts: Sequence[Prompt] = PROMPTS) -> Rollout:
    """A rollout of the given responses, to the prompts in turn; the sampler was sure of every token."""
    asked = [prompts[i % len(prompts)] for i in range(len(texts))]
    ids = [TOKENIZER.encode(text, add_special_tokens=False) + [CHAT.stop_token_id] * stopped for text in texts]
    generations = [Generation(row, [0.0] * len(row), stopped) for row in ids]
    encoded = [encode_prompt(CHAT, prompt.messages) for prompt in asked]
    return as_rollout(policy_of(fresh_model()), asked, encoded, generations)


def run_in(folder: Path, *, key: str = "key", checkpoint_every: int = 1, seed: int = 0) -> Run:
    return Run(folder, title="tiny", key=key, seed=seed, checkpoint_every=checkpoint_every)


class Interrupted(Exception):
    """Stands for a kill between two steps; tests/pipeline/test_resume.py has real ones."""


class InterruptedRun(Run):
    """Stops after a number of steps, when their checkpoint is written."""

    stop_after: int = 0

    def save_if_due(self, step: int) -> None:
        super().save_if_due(step)
        if step + 1 == self.stop_after:
            raise Interrupted


def interrupted_run(folder: Path, stop_after: int) -> InterruptedRun:
    run = InterruptedRun(folder, title="tiny", key="key", seed=0, checkpoint_every=1)
    run.stop_after = stop_after
    return run


POLICY_FIELDS: dict[str, Any] = {
    "policy": "start", "reference": "start", "reward": "rule", "prompts": "none", "max_new_tokens": LENGTH + 2,
    "prompts_per_step": 8, "reward_scale": "none", "missing_stop_penalty": None,
}  # fmt: skip


def pretrain_config(**changes: Any) -> PretrainStage:
    return PretrainStage(**{"kind": "pretrain", "data": "none", "steps": 4, "batch_size": 8} | changes)


def sft_config(**changes: Any) -> SFTStage:
    return SFTStage(**{"kind": "sft", "data": "none", "steps": 4, "batch_size": 8, "learning_rate": 3e-3} | changes)


def reward_config(**changes: Any) -> RewardModelStage:
    return RewardModelStage(
        **{"kind": "reward_model", "data": "none", "batch_size": 8, "learning_rate": 3e-3} | changes
    )


def dpo_config(**changes: Any) -> DPOStage:
    return DPOStage(
        **{
            "kind": "dpo", "policy": "start", "reference": "start", "data": "none", "batch_size": 8,
            "learning_rate": 1e-3, "sft_coefficient": 0.1,
        }
        | changes
    )  # fmt: skip


def orpo_config(**changes: Any) -> ORPOStage:
    return ORPOStage(**{"kind": "orpo", "data": "none", "batch_size": 8, "learning_rate": 1e-3} | changes)


def simpo_config(**changes: Any) -> SimPOStage:
    return SimPOStage(
        **{"kind": "simpo", "start": "start", "data": "none", "batch_size": 8, "learning_rate": 1e-3} | changes
    )


def kto_config(**changes: Any) -> KTOStage:
    return KTOStage(
        **{
            "kind": "kto", "policy": "start", "reference": "start", "data": "none", "batch_size": 8,
            "learning_rate": 1e-3,
        }
        | changes
    )  # fmt: skip


def ppo_config(**changes: Any) -> PPOStage:
    return PPOStage(**POLICY_FIELDS | {"kind": "ppo", "steps": 4, "ppo_epochs": 2, "learning_rate": 1e-3} | changes)


def rloo_config(**changes: Any) -> RLOOStage:
    return RLOOStage(
        **POLICY_FIELDS
        | {"kind": "rloo", "steps": 4, "prompts_per_step": 4, "responses_per_prompt": 2, "learning_rate": 1e-3}
        | changes
    )


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in module.parameters()]


def assert_same_weights(module: nn.Module, before: list[torch.Tensor]) -> None:
    """Bit by bit; a NaN equals a NaN."""
    for now, then in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(now.detach(), then, rtol=0, atol=0, equal_nan=True)
