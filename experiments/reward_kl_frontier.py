"""How much reward a nat of KL buys: SFT, best-of-n, DPO and PPO in one small world, judged by a reward they never saw.

    python experiments/reward_kl_frontier.py --json docs/figures/reward_kl_frontier.json \\
        --plot docs/figures/reward_kl_frontier.svg

The world stands in experiments/topic_world.py; its gold reward labels the pairs (with the noise of a Bradley-Terry
judge), and judges the end. Everything is trained by the loops of boresight. Printed and written: KL to the SFT model
(exact at each token, summed over the response; for best-of-n the bound log n - (n - 1) / n), gold reward with its
standard error, and the reward model's score in deviations of the SFT model's. Exit code 1 where KL does not fall with
every larger beta of PPO, or where one of the tuned policies does not beat SFT in gold reward by two standard errors.
"""

import argparse
import copy
import math
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import torch
from torch import Tensor
from transformers import PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments import topic_world as world

from boresight.config.sections import DPOStage, PPOStage, RewardModelStage, SFTStage
from boresight.data.tokenize import EncodedPair, encode_conversation, encode_prompt, encode_response
from boresight.models.heads import ScalarHeadModel
from boresight.models.loading import save_model, scalar_head, start_reward_model
from boresight.models.roles import FrozenPolicy, Policy, RewardModel, ValueModel
from boresight.objectives.kl import kl_exact
from boresight.records import Message
from boresight.storage import write_json
from boresight.training.dpo import train_dpo
from boresight.training.ppo import PPORoles, train_ppo
from boresight.training.reward_model import score_all, train_reward_model
from boresight.training.reward_scale import RewardScale, measure_reward_scale
from boresight.training.rollout import Rollout, sample
from boresight.training.run import Run
from boresight.training.sft import train_sft

BETAS_PPO = (1.6, 0.8, 0.4, 0.2, 0.1)
BETAS_DPO = (1.0, 0.3, 0.1)
BEST_OF = (2, 4, 8, 16, 32, 64)
JUDGE_SCALE = 2.0  # P(first preferred) = sigmoid(scale (gold of the first - gold of the second))
QUICK = 10  # what --quick divides the work by


class Point(NamedTuple):
    method: str
    setting: float | None  # beta, or n of best-of-n
    kl: float  # nats a response
    gold: float
    gold_error: float  # standard error
    proxy: float  # deviations of the SFT model's scores


class Bench:
    """What all methods share: the SFT model, its reward model, prompts to train on and prompts to be judged on."""

    def __init__(self, folder: Path, seed: int, quick: bool) -> None:
        self._folder = folder
        self._seed = seed
        self._share = QUICK if quick else 1
        draw = random.Random(seed)
        self.prompts = world.prompts(self.some(6000), draw)
        self.asked = world.prompts(self.some(512), draw)
        self.sft = self._sft(draw)
        self.reference = FrozenPolicy(copy.deepcopy(self.sft), world.TOKENIZER, world.CHAT)
        self.pairs = self._pairs(draw)
        self.reward, self.accuracy = self._reward_model()
        answers = self.answers(self.policy(), 4, "scale")
        scores = self.scores(answers)
        self.scale = RewardScale(float(scores.mean()), float(scores.std(correction=0)))

    def some(self, count: int) -> int:
        return max(16, count // self._share)

    def run(self, name: str) -> Run:
        return Run(self._folder / name, title=name, key=name, seed=self._seed, checkpoint_every=10_000)

    def policy(self, model: PreTrainedModel | None = None) -> Policy:
        return Policy(copy.deepcopy(self.sft) if model is None else model, world.TOKENIZER, world.CHAT)

    def answers(self, policy: Policy, responses: int, purpose: str) -> Rollout:
        policy.model.eval()
        generator = self.run("answers").generator(purpose)
        return sample(
            policy, self.asked, responses_per_prompt=responses, temperature=1.0, max_new_tokens=world.LONGEST,
            generator=generator, batch_size=512,
        )  # fmt: skip

    def scores(self, rollout: Rollout) -> Tensor:
        return self.reward.score([p.messages for p in rollout.prompts], rollout.texts, batch_size=512)

    def _sft(self, draw: random.Random) -> PreTrainedModel:
        rows = [
            encode_conversation(
                world.CHAT,
                (*prompt.messages, Message("assistant", world.demonstration(prompt, draw))),
                record_id=prompt.id,
            )
            for prompt in self.prompts
        ]
        policy = self.policy(world.fresh_model(self._seed))
        config = SFTStage(
            kind="sft", data="none", steps=self.some(400), batch_size=128, learning_rate=2e-3, micro_batch_tokens=None
        )
        train_sft(config, policy, rows, self.run("sft"))
        return policy.model

    def _pairs(self, draw: random.Random) -> list[EncodedPair]:
        """Two responses of the SFT model to each prompt, as a noisy judge prefers them; equal texts make no pair."""
        rollout = sample(
            self.policy(), self.prompts, responses_per_prompt=2, temperature=1.0, max_new_tokens=world.LONGEST,
            generator=self.run("pairs").generator("pairs"), batch_size=512,
        )  # fmt: skip
        golds = world.golds(rollout.prompts, rollout.texts, rollout.stopped.tolist())
        pairs = []
        for i in range(0, len(golds), 2):
            prompt, texts = rollout.prompts[i], rollout.texts[i : i + 2]
            if texts[0] == texts[1] or not bool(rollout.stopped[i : i + 2].all()):
                continue
            first_wins = draw.random() < 1.0 / (1.0 + math.exp(JUDGE_SCALE * (golds[i + 1] - golds[i])))
            chosen, rejected = texts if first_wins else texts[::-1]
            sides = [encode_response(world.CHAT, prompt.messages, text) for text in (chosen, rejected)]
            pairs.append(EncodedPair(encode_prompt(world.CHAT, prompt.messages), *sides, id=prompt.id))
        return pairs

    def _reward_model(self) -> tuple[RewardModel, float]:
        base = self._folder / "base"
        save_model(base, self.sft, world.TOKENIZER, "")
        model = start_reward_model(base, self._seed)
        held_out = self.pairs[: len(self.pairs) // 8]
        config = RewardModelStage(
            kind="reward_model", data="none", batch_size=64, epochs=2, learning_rate=5e-4, micro_batch_tokens=None
        )
        train_reward_model(config, model, self.pairs[len(held_out) :], self.run("reward"))
        chosen, rejected = (torch.tensor(side) for side in score_all(model, held_out))
        return RewardModel(model, world.TOKENIZER, world.CHAT), float((chosen > rejected).double().mean())

    @torch.no_grad()
    def judged(self, method: str, setting: float | None, policy: Policy) -> Point:
        rollout = self.answers(policy, 4, "judged")
        ids, mask = rollout.input_ids, rollout.response_mask
        places = mask[:, 1:]
        logits = [model(input_ids=ids).logits[:, :-1] for model in (policy.model, self.reference.model)]
        kl = kl_exact(policy_logits=logits[0], reference_logits=logits[1], mask=places).sum(1).double()
        golds = torch.tensor(world.golds(rollout.prompts, rollout.texts, rollout.stopped.tolist()))
        return self._point(method, setting, float(kl.mean()), golds.view(-1, 4), self.scores(rollout))

    def best_of(self, n: int, rollout: Rollout, scores: Tensor, golds: Tensor) -> Point:
        """The best by the reward model of each n responses to a prompt."""
        groups = scores.view(len(self.asked), -1, n)
        chosen = groups.argmax(2, keepdim=True)
        picked = golds.view_as(groups).gather(2, chosen).squeeze(2)
        bound = math.log(n) - (n - 1) / n  # an upper bound: Beirami et al. 2024 (arXiv:2401.01879)
        return self._point("best-of-n", n, bound, picked, groups.gather(2, chosen).flatten())

    def _point(self, method: str, setting: float | None, kl: float, golds: Tensor, scores: Tensor) -> Point:
        by_prompt = golds.double().mean(1)  # (prompts,): responses to one prompt are no independent draws
        error = float(by_prompt.std() / len(by_prompt) ** 0.5)
        proxy = float(self.scale.normalize(scores).double().mean())
        return Point(method, setting, kl, float(by_prompt.mean()), error, proxy)

    def dpo(self, beta: float) -> Policy:
        policy = self.policy()
        config = DPOStage(
            kind="dpo", policy="sft", reference="sft", data="none", beta=beta, epochs=2, batch_size=128,
            learning_rate=3e-4, micro_batch_tokens=None,
        )  # fmt: skip
        train_dpo(config, policy, self.reference, self.pairs, self.run(f"dpo {beta}"))
        return policy

    def ppo(self, beta: float) -> Policy:
        policy, run = self.policy(), self.run(f"ppo {beta}")
        config = PPOStage(
            kind="ppo", policy="sft", reference="sft", reward="reward", prompts="none", steps=self.some(80),
            prompts_per_step=128, max_new_tokens=world.LONGEST, kl_coefficient=beta, ppo_epochs=2, minibatches=2,
            learning_rate=2e-4, value_learning_rate=5e-4, micro_batch_tokens=None, missing_stop_penalty=1.0,
        )  # fmt: skip
        scale = measure_reward_scale(config, self.reference, self.reward, self.prompts, run)
        body = copy.deepcopy(self.reward.model)
        value = ScalarHeadModel.from_reward_model(body, scalar_head(body), scale.mean, scale.deviation)
        value.requires_grad_(True)
        train_ppo(config, PPORoles(policy, ValueModel(value), self.reference, self.reward), scale, self.prompts, run)
        return policy


def frontier(seed: int, quick: bool) -> tuple[list[Point], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed, quick)
        points = [bench.judged("SFT", None, bench.policy())]
        many = bench.answers(bench.policy(), max(BEST_OF), "best of")
        scores, golds = bench.scores(many), torch.tensor(world.golds(many.prompts, many.texts, many.stopped.tolist()))
        points += [bench.best_of(n, many, scores, golds) for n in BEST_OF]
        points += [bench.judged("DPO", beta, bench.dpo(beta)) for beta in BETAS_DPO]
        points += [bench.judged("PPO", beta, bench.ppo(beta)) for beta in BETAS_PPO]
        return points, {"pairs": len(bench.pairs), "reward_model_accuracy": bench.accuracy}


def faults(points: Sequence[Point]) -> list[str]:
    """What was promised and does not hold."""
    found = []
    ppo = sorted((p for p in points if p.method == "PPO"), key=lambda p: -(p.setting or 0.0))
    for larger, smaller in pairwise(ppo):
        if not larger.kl < smaller.kl:
            found.append(f"PPO: KL {larger.kl:.2f} at beta {larger.setting:g}, {smaller.kl:.2f} at {smaller.setting:g}")
    start = points[0]
    for point in points[1:]:
        error = (point.gold_error**2 + start.gold_error**2) ** 0.5
        if not point.gold > start.gold + 2 * error:
            found.append(f"{point.method} {point.setting:g}: gold {point.gold:.2f}, SFT {start.gold:.2f}")
    return found


def table(points: Sequence[Point]) -> str:
    lines = ["| policy | KL, nats a response | gold reward | reward model, deviations |", "|---|---|---|---|"]
    for point in points:
        name = {"SFT": "SFT", "best-of-n": f"best of {point.setting}"}.get(point.method, "")
        name = name or f"{point.method}, beta {point.setting:g}"
        lines.append(f"| {name} | {point.kl:.2f} | {point.gold:.2f} ± {point.gold_error:.2f} | {point.proxy:.2f} |")
    return "\n".join(lines)


def plot(points: Sequence[Point], path: Path) -> None:
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "frontier"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.2))
    colours = {"best-of-n": "#8a8a8a", "DPO": "#b3541e", "PPO": "#1e5fb3"}
    for method, colour in colours.items():
        chosen = sorted((p for p in points if p.method == method), key=lambda p: p.kl)
        axes.errorbar(
            [p.kl for p in chosen], [p.gold for p in chosen], yerr=[2 * p.gold_error for p in chosen], marker="o",
            color=colour, label=method, capsize=2, linewidth=1.4,
        )  # fmt: skip
        for p in chosen:
            axes.annotate(f"{p.setting:g}", (p.kl, p.gold), xytext=(4, -11), textcoords="offset points", fontsize=8,
                          color=colour)  # fmt: skip
    axes.axhline(points[0].gold, color="#444444", linewidth=1, linestyle=":", label="SFT")
    axes.set(xlabel="KL to the SFT model, nats a response", ylabel="gold reward (± 2 standard errors)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here")
    parser.add_argument("--plot", type=Path, default=None, help="also draw them here, as SVG")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    points, facts = frontier(options.seed, options.quick)
    print(table(points))
    print(f"{time.perf_counter() - started:.0f} s; {facts}", file=sys.stderr)
    if options.json:
        write_json(options.json, {"seed": options.seed, **facts, "points": [p._asdict() for p in points],
                                  "table": table(points)})  # fmt: skip
    if options.plot:
        plot(points, options.plot)
    broken = faults(points)
    for fault in broken:
        print(f"not held: {fault}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
