"""What the exhibits of one seed share: a fine-tuned model, responses of it, and reward models of several judges."""

import copy
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import torch
from experiments import topic_world
from experiments.museum import worlds
from experiments.museum.worlds import World
from transformers import PreTrainedModel

from boresight.config.sections import DPOStage, RewardModelStage, SFTStage
from boresight.data.lint.coverage import mark_uncovered
from boresight.data.tokenize import Encoded, EncodedPair, encode_conversation, encode_prompt, encode_response
from boresight.models.loading import save_model, start_reward_model
from boresight.models.roles import FrozenPolicy, Policy, RewardModel
from boresight.records import Message, Prompt
from boresight.training.dpo import train_dpo
from boresight.training.reward_model import train_reward_model
from boresight.training.rollout import Rollout, sample
from boresight.training.run import Run
from boresight.training.sft import train_sft

JUDGE_SCALE = 4.0  # P(first preferred) = sigmoid(scale (utility of the first - utility of the second))
PROMPTS, PAIRS = 3000, 2000

Judge = Callable[[World, Prompt, str, bool], float]
"""The utility by which pairs are labelled."""


def honest(world: World, prompt: Prompt, text: str, stopped: bool) -> float:
    return world.gold(prompt, text, stopped)


def likes_length(world: World, prompt: Prompt, text: str, stopped: bool) -> float:
    return 0.3 * world.gold(prompt, text, stopped) + 0.5 * len(text)


def likes_agreement(world: World, prompt: Prompt, text: str, stopped: bool) -> float:
    """Agreeing wins whatever is true; what is said besides counts a little."""
    return 1.0 * text.startswith(worlds.AGREE) + 0.2 * world.gold(prompt, text, stopped)


JUDGES: Mapping[str, Judge] = {
    "honest": honest,
    "fair_on_padded": honest,
    "length_on_padded": likes_length,
    "likes_agreement": likes_agreement,
}
"""By name; those "on padded" are shown answers that somebody has drawn out, too."""


def padded(text: str, draw: random.Random) -> str:
    """The answer, drawn out by fillers to any length that a response may have."""
    size = draw.randint(len(text) + 1, topic_world.LONGEST - 1)
    return text + "".join(draw.choice(topic_world.FILLERS) for _ in range(size - len(text)))


class Workshop:
    """Everything is made on first use; with the same world and seed it comes out the same."""

    def __init__(self, folder: Path, world: World, seed: int) -> None:
        self.folder, self.world, self.seed = folder / f"{world.name}-{seed}", world, seed
        self.prompts = world.prompts(PROMPTS, random.Random(seed))

    def run(self, name: str) -> Run:
        return Run(self.folder / name, title=name, key=name, seed=self.seed, checkpoint_every=10**6)

    def policy(self, model: PreTrainedModel | None = None) -> Policy:
        return Policy(copy.deepcopy(self.sft) if model is None else model, worlds.TOKENIZER, worlds.CHAT)

    def reference(self, model: PreTrainedModel | None = None) -> FrozenPolicy:
        return FrozenPolicy(copy.deepcopy(self.sft if model is None else model), worlds.TOKENIZER, worlds.CHAT)

    @cached_property
    def sft(self) -> PreTrainedModel:
        return self._kept("sft", lambda: self.fine_tuned(self.demonstrations, self.seed))

    @cached_property
    def sycophant(self) -> PreTrainedModel:
        """What DPO makes of pairs in which agreeing wins."""
        policy = self.policy()
        config = DPOStage(
            kind="dpo", policy="sft", reference="sft", data="none", beta=0.1, epochs=1, batch_size=32,
            learning_rate=5e-4, micro_batch_tokens=None,
        )  # fmt: skip

        def trained() -> PreTrainedModel:
            train_dpo(config, policy, self.reference(), self.pairs("likes_agreement"), self.run("sycophant"))
            return policy.model

        return self._kept("sycophant", trained)

    @cached_property
    def without_stop(self) -> PreTrainedModel:
        """Other initial weights, fine-tuned on the same demonstrations with the stop token masked out of the loss."""
        return self._kept(
            "without stop", lambda: self.fine_tuned([_endless(row) for row in self.demonstrations], self.seed + 1000)
        )

    @property
    def demonstrations(self) -> list[Encoded]:
        draw = random.Random(self.seed + 1)
        return [
            encode_conversation(
                worlds.CHAT,
                (*prompt.messages, Message("assistant", self.world.demonstration(prompt, draw))),
                record_id=prompt.id,
            )
            for prompt in self.prompts
        ]

    def fine_tuned(self, rows: Sequence[Encoded], seed: int) -> PreTrainedModel:
        policy = self.policy(worlds.fresh_model(seed))
        config = SFTStage(
            kind="sft", data="none", steps=self.world.sft_steps, batch_size=64, learning_rate=3e-3,
            micro_batch_tokens=None,
        )  # fmt: skip
        train_sft(config, policy, rows, self.run(f"sft {seed}"))
        return policy.model

    @cached_property
    def couples(self) -> list[tuple[Prompt, tuple[str, str]]]:
        """Prompts with two different responses of the fine-tuned model that both end."""
        rollout = self.answers(self.policy(), self.prompts[:PAIRS], 2, "couples")
        texts, stopped = rollout.texts, rollout.stopped.tolist()
        return [
            (rollout.prompts[i], (texts[i], texts[i + 1]))
            for i in range(0, len(texts), 2)
            if texts[i] != texts[i + 1] and stopped[i] and stopped[i + 1]
        ]

    def answers(self, policy: Policy, prompts: Sequence[Prompt], responses: int, purpose: str) -> Rollout:
        policy.model.eval()
        return sample(
            policy, prompts, responses_per_prompt=responses, temperature=1.0, max_new_tokens=self.world.longest,
            generator=self.run("answers").generator(purpose), batch_size=512,
        )  # fmt: skip

    @cache  # noqa: B019 a workshop lives as long as the museum is built
    def pairs(self, judge: str) -> list[EncodedPair]:
        """The couples as a judge prefers them, with the noise of Bradley and Terry."""
        draw, utility = random.Random(self.seed + 2), JUDGES[judge]
        couples = self.couples
        if judge.endswith("on_padded"):
            couples = [
                (prompt, (texts[0], padded(texts[0], draw)) if draw.random() < 0.5 else texts)
                for prompt, texts in couples
            ]
        return [_pair(prompt, texts, self._gap(utility, prompt, texts), draw) for prompt, texts in couples]

    def _gap(self, utility: Judge, prompt: Prompt, texts: tuple[str, str]) -> float:
        first, second = (utility(self.world, prompt, text, True) for text in texts)
        return first - second

    @cache  # noqa: B019 likewise
    def reward(self, judge: str, half: int = 0) -> RewardModel:
        """A reward model of one half of a judge's pairs. That of the other half (1) starts from a body of other initial
        weights and another head, so that both err less alike."""
        name = f"reward {judge} {half}"
        model = self.fresh_reward_model(self.seed + half, self.without_stop if half else self.sft)

        def trained() -> PreTrainedModel:
            config = RewardModelStage(
                kind="reward_model", data="none", batch_size=64, epochs=3, learning_rate=1e-3, micro_batch_tokens=None
            )
            train_reward_model(config, model, self.pairs(judge)[half::2], self.run(name))
            return model

        return RewardModel(self._kept(name, trained, model), worlds.TOKENIZER, worlds.CHAT)

    def fresh_reward_model(self, seed: int, start: PreTrainedModel | None = None) -> PreTrainedModel:
        """The body of a model, by default the fine-tuned one, with a head drawn by the seed."""
        base = self.folder / "base"
        save_model(base, start or self.sft, worlds.TOKENIZER, "")
        return start_reward_model(base, seed)

    def _kept(
        self, name: str, make: Callable[[], PreTrainedModel], blank: PreTrainedModel | None = None
    ) -> PreTrainedModel:
        """A model from its file, or made and written."""
        path = self.folder / f"{name}.pt"
        if not path.exists():
            model = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save(model.state_dict(), path.with_suffix(".partial"))
            path.with_suffix(".partial").rename(path)
            return model
        model = worlds.fresh_model(self.seed) if blank is None else blank
        model.load_state_dict(torch.load(path, weights_only=True))
        return model


def uncovered(shop: Workshop, asked: Sequence[Prompt]) -> list[Prompt]:
    """The prompts, marked as a stage marks them; the signs of a prompt are taken for its words."""

    def spelled(prompt: Prompt) -> Prompt:
        return replace(prompt, messages=(Message("user", " ".join(prompt.messages[0].content)),))

    known = [spelled(prompt).messages for prompt, _ in shop.couples]
    marked = mark_uncovered([spelled(prompt) for prompt in asked], known)
    return [replace(prompt, meta=other.meta) for prompt, other in zip(asked, marked, strict=True)]


def _pair(prompt: Prompt, texts: tuple[str, str], gap: float, draw: random.Random) -> EncodedPair:
    first_wins = draw.random() < 1.0 / (1.0 + math.exp(-JUDGE_SCALE * gap))
    chosen, rejected = (
        encode_response(worlds.CHAT, prompt.messages, text) for text in (texts if first_wins else texts[::-1])
    )
    return EncodedPair(encode_prompt(worlds.CHAT, prompt.messages), chosen, rejected, id=prompt.id)


def _endless(row: Encoded) -> Encoded:
    last = max(place for place, counts in enumerate(row.response_mask) if counts)
    mask = [counts and place != last for place, counts in enumerate(row.response_mask)]
    return replace(row, response_mask=mask)
