"""A world small enough to know everything: six letters, four of them a response, 1,296 responses in all.

The policy is a table with one row of six logits for each of the 259 prefixes, so it can express any distribution; the
optimum of reward minus KL is known in closed form: reference times e^(reward / beta), normalised.
"""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import LlamaConfig, PreTrainedModel, PreTrainedTokenizerFast

from boresight.config.sections import PPOStage, RLOOStage
from boresight.data.chat_template import ChatFormat
from boresight.data.tokenize import encode_prompt
from boresight.models.roles import FrozenPolicy, Policy, ValueModel
from boresight.records import Message, Prompt
from boresight.training.experience import RewardScale
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.rloo import RLOORoles, train_rloo
from boresight.training.run import Run

LETTERS, LENGTH = "abcdef", 4
PROMPT = Prompt(id="p", messages=(Message("user", "?"),))
RESPONSES = ["".join(letters) for letters in itertools.product(LETTERS, repeat=LENGTH)]
PREFIXES = sum(len(LETTERS) ** n for n in range(LENGTH))


def letter_tokenizer() -> PreTrainedTokenizerFast:
    """A token for each letter and a template of one sign a turn: the narrower the logits, the faster the loops."""
    tokens = ["<pad>", "<end>", ":", "?", *LETTERS]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = (
        "{% for m in messages %}{{ m.content + ('<end>' if m.role == 'assistant' else ':') }}{% endfor %}"
    )
    return wrapped


TOKENIZER = letter_tokenizer()
CHAT = ChatFormat(TOKENIZER)
PROMPT_IDS = encode_prompt(CHAT, PROMPT.messages)
RESPONSE_IDS = [TOKENIZER.encode(text) for text in RESPONSES]
LETTER_IDS = torch.tensor([TOKENIZER.encode(letter)[0] for letter in LETTERS])


def prefix_rows(input_ids: Tensor) -> Tensor:
    """(rows, tokens) ids -> the row of the table for the state after each token; -1 inside the prompt."""
    start = len(PROMPT_IDS)
    code = torch.zeros(len(input_ids), dtype=torch.long)
    rows = torch.full(input_ids.shape, -1)
    offset = 0
    for n in range(LENGTH):
        position = start - 1 + n
        if position >= input_ids.shape[1]:
            break
        if n > 0:
            letter = (input_ids[:, position, None] == LETTER_IDS).long().argmax(dim=1)
            code = code * len(LETTERS) + letter
        rows[:, position] = offset + code
        offset += len(LETTERS) ** n
    return rows


class TabularPolicy(PreTrainedModel):
    """A causal language model whose logits are looked up; it keeps the tokens it has seen in the key-value cache."""

    config_class = LlamaConfig

    def __init__(self, table: Tensor) -> None:
        super().__init__(LlamaConfig(vocab_size=len(TOKENIZER), num_hidden_layers=1, max_position_embeddings=64))
        self.table = nn.Parameter(table.clone())

    def get_output_embeddings(self) -> None:
        return None

    def forward(self, input_ids: Tensor, past_key_values: Any = None, logits_to_keep: int = 0, **_: Any) -> Any:
        seen = input_ids
        if past_key_values is not None:
            keys = input_ids[:, None, :, None].float()
            seen = past_key_values.update(keys, keys, 0)[0][:, 0, :, 0].long()
        rows = prefix_rows(seen)[:, -input_ids.shape[1] :]
        letters = self.table[rows.clamp(min=0)]  # (rows, tokens, 6)
        logits = letters.new_full((*rows.shape, len(TOKENIZER)), -torch.inf)
        logits = logits.scatter(2, LETTER_IDS.expand(*rows.shape, -1), letters)
        return SimpleNamespace(logits=logits[:, -logits_to_keep:])


class TabularValue(nn.Module):
    """One value for each prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(PREFIXES))

    def forward(self, input_ids: Tensor, wanted: Tensor) -> Tensor:
        return self.table[prefix_rows(input_ids)[wanted]]


class TableReward:
    """The score of every response is known."""

    def __init__(self, scores: Tensor) -> None:
        self.scores = dict(zip(RESPONSES, scores.tolist(), strict=True))

    def score(self, prompts: Any, responses: Any) -> Tensor:
        return torch.tensor([self.scores[text] for text in responses])


def world(seed: int) -> tuple[Tensor, Tensor]:
    """Logits of the reference (prefixes, 6) and scores (responses,), drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(PREFIXES, 6, generator=generator) * 0.5, torch.randn(len(RESPONSES), generator=generator)


def policy_of(table: Tensor) -> Policy:
    return Policy(TabularPolicy(table), TOKENIZER, CHAT)


def reference_of(table: Tensor) -> FrozenPolicy:
    return FrozenPolicy(TabularPolicy(table), TOKENIZER, CHAT)


@torch.no_grad()
def response_logps_of(policy: Policy | FrozenPolicy) -> Tensor:
    """(1296,) log-probabilities of all responses, through the code that trains."""
    rows = torch.tensor([[*PROMPT_IDS, *ids] for ids in RESPONSE_IDS])
    mask = torch.zeros(rows.shape, dtype=torch.bool)
    mask[:, len(PROMPT_IDS) :] = True
    return policy.logps(rows, mask).logp.sum(dim=1)


def kl_to_optimum(policy: Policy, reference: FrozenPolicy, scores: Tensor, beta: float) -> float:
    """KL(policy || optimum) in nats, exact over all responses."""
    optimum = torch.log_softmax(response_logps_of(reference) + scores / beta, dim=0)
    logps = response_logps_of(policy)
    return float((logps.exp() * (logps - optimum)).sum())


BETA = 1.0
Method = Literal["ppo", "rloo"]
COMMON: dict[str, Any] = {
    "policy": "start",
    "reference": "start",
    "reward": "table",
    "prompts": "none",
    "max_new_tokens": LENGTH,
    "kl_coefficient": BETA,
    "missing_stop_penalty": None,
    "reward_scale": "none",
    "checkpoint_every": 10_000,
}


def run_in(folder: Path, seed: int = 0) -> Run:
    return Run(folder, title="enumerable", key="k", seed=seed, checkpoint_every=10_000)


def distance_after(method: Method, seed: int, folder: Path) -> float:
    """KL to the optimum, nats, after a training in the world of that seed; its draws follow the same seed."""
    table, scores = world(seed)
    policy, reference, reward, run = policy_of(table), reference_of(table), TableReward(scores), run_in(folder, seed)
    if method == "ppo":
        ppo = PPOStage(
            kind="ppo", steps=60, prompts_per_step=1024, minibatches=4, ppo_epochs=2, learning_rate=0.05,
            value_learning_rate=0.1, gae_lambda=1.0, value_clip_range=10.0, max_grad_norm=100.0, **COMMON,
        )  # fmt: skip
        roles = PPORoles(policy, ValueModel(TabularValue()), reference, reward)
        train_ppo(ppo, roles, RewardScale(0.0, 1.0), [PROMPT], run)
    else:
        rloo = RLOOStage(
            kind="rloo", steps=60, prompts_per_step=1, responses_per_prompt=1024, minibatches=4, rloo_epochs=2,
            learning_rate=0.05, max_grad_norm=100.0, **COMMON,
        )  # fmt: skip
        train_rloo(rloo, RLOORoles(policy, reference, reward), RewardScale(0.0, 1.0), [PROMPT], run)
    return kl_to_optimum(policy, reference, scores, BETA)
