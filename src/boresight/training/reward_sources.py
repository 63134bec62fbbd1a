"""Everything that may pay a policy, behind two protocols: scorers of texts, and of whole rollouts.

A reward model and a service are given texts, which they write in their own template; never token ids of the policy.
Rules look at more: what a prompt expects, whether a response stopped. Sums and ensembles are made of either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from boresight.config.sections import AnswerReward, EnsembleReward, LengthReward, MatchReward
from boresight.errors import ServiceError, TrainingError
from boresight.feedback.judge import Answer
from boresight.feedback.rubric_judge import RubricJudge
from boresight.feedback.rule_judge import score as rule_score
from boresight.feedback.score_client import ScoreClient
from boresight.feedback.verdicts import HIGHEST, LOWEST
from boresight.feedback.verifiable import expected_answer, gives_answer, matches, words_within
from boresight.objectives.reward_shaping import combine_members
from boresight.records import Messages, Prompt
from boresight.storage import canonical_json, hash_text, read_json, write_json
from boresight.training.rollout import Rollout

SERVICE_FILE = "reward_service.json"
"""In the stage's folder: which model answered behind a service, from its first answer on."""
JUDGE_FILE = "reward_judge_unreadable.json"
"""In the stage's folder: hashes of the responses that a judge gave no readable score."""
MIDDLE = (LOWEST + HIGHEST) / 2
MAY_COME = ("out_of_reach", "broken_answer", "over_budget", "unanswered")
"""Failures that are no answer: the same question may be answered the next time."""


class RewardSource(Protocol):
    """Anything that scores response texts."""

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Tensor:
        """(responses,) scores, higher is better."""
        ...


@runtime_checkable
class RolloutSource(Protocol):
    """Anything that scores what was sampled, by more than its text."""

    def score_rollout(self, rollout: Rollout) -> Tensor:
        """(responses,) scores, higher is better."""
        ...


AnySource = RewardSource | RolloutSource


def scores_of(source: AnySource, rollout: Rollout) -> Tensor:
    """(responses,) float32 scores of a rollout."""
    if isinstance(source, RolloutSource):
        return source.score_rollout(rollout).float()
    return source.score([prompt.messages for prompt in rollout.prompts], rollout.texts).float()


def require_finite_scores(scores: Tensor, rollout: Rollout, when: str) -> None:
    """Raise TrainingError, naming the prompts, for scores (responses,) that are NaN or infinite."""
    bad = [rollout.prompts[int(row)].id for row in (~torch.isfinite(scores)).nonzero().flatten()]
    if bad:
        listed = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise TrainingError(
            f"{when}: the reward of {len(bad)} of {len(scores)} responses is not finite (prompts {listed}). The "
            "weights were not changed; the last checkpoint is sound. Look at what the reward source says to these."
        )


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """sum_i weight_i score_i."""

    parts: Sequence[tuple[float, AnySource]]

    def score_rollout(self, rollout: Rollout) -> Tensor:
        scores = [weight * scores_of(source, rollout) for weight, source in self.parts]
        return torch.stack([score.to(scores[0]) for score in scores]).sum(0)


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Reward models as one; see `objectives.reward_shaping.combine_members`."""

    section: EnsembleReward
    members: Sequence[RewardSource]

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Tensor:
        scores = torch.stack([member.score(prompts, responses) for member in self.members])  # (members, responses)
        return combine_members(scores, self.section.combine, deviation_weight=self.section.deviation_weight)


class PromptRules:
    """The rules in each prompt's `expect`."""

    def score_rollout(self, rollout: Rollout) -> Tensor:
        rows = zip(rollout.prompts, rollout.texts, rollout.stopped.tolist(), strict=True)
        return torch.tensor([rule_score(prompt, text, stopped) for prompt, text, stopped in rows])


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """1 for the answer in the prompt's `expect`, 0 for any other."""

    section: AnswerReward

    def score_rollout(self, rollout: Rollout) -> Tensor:
        given = [
            gives_answer(text, expected_answer(p), extract=self.section.extract, ignore_case=self.section.ignore_case)
            for p, text in zip(rollout.prompts, rollout.texts, strict=True)
        ]
        return torch.tensor(given, dtype=torch.float32)


@dataclass(frozen=True, slots=True)
class Form:
    """1 for a response that a pattern matches, or whose words are as many as they should be, 0 for any other."""

    section: MatchReward | LengthReward

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Tensor:
        return torch.tensor([self._holds(text) for text in responses], dtype=torch.float32)

    def _holds(self, text: str) -> bool:
        if isinstance(self.section, MatchReward):
            return matches(text, self.section.pattern, whole=self.section.where == "whole")
        return words_within(text, self.section.min_words, self.section.max_words)


class Service:
    """A scoring service; which model answers is written down at its first answer and must stay the same.

    Raises ServiceError where it is out of reach, breaks the contract, or has changed its model.
    """

    def __init__(self, client: ScoreClient, batch_size: int, folder: Path) -> None:
        self._client = client
        self._batch_size = batch_size
        self._file = folder / SERVICE_FILE

    @property
    def model_hash(self) -> str | None:
        """Of the model that has answered in this stage; None before the first answer."""
        return self._known().get(self._client.url)

    def score(self, prompts: Sequence[Messages], responses: Sequence[str]) -> Tensor:
        self._client.wait_until_ready()
        scores: list[float] = []
        for start in range(0, len(responses), self._batch_size):
            part = slice(start, start + self._batch_size)
            answer = self._client.score(prompts[part], responses[part])
            self._require_same_model(answer.model_hash)
            scores += answer.scores
        return torch.tensor(scores, dtype=torch.float32)

    def _require_same_model(self, model_hash: str) -> None:
        known = self.model_hash
        if known is None:
            write_json(self._file, {**self._known(), self._client.url: model_hash})
        elif known != model_hash:
            raise ServiceError(
                f"{self._client.url}: the reward service now answers with the model {model_hash[:12]}, and did with "
                f"{known[:12]} before; a policy is paid by one. Serve the old model again, or remove the stage's "
                f"folder ({self._file.parent}) to start it anew."
            )

    def _known(self) -> dict[str, str]:
        return dict(read_json(self._file)) if self._file.exists() else {}


class JudgeScores:
    """A judge's scores of single responses, 1 to 9; which of them could not be read is kept in the stage's folder.

    Raises ServiceError, which says what to do, where a score is missing: the judge is out of reach or over its budget,
    or the reply cannot be read and `on_unreadable` is stop.
    """

    def __init__(self, judge: RubricJudge, on_unreadable: Literal["stop", "middle"], folder: Path) -> None:
        self.judge = judge
        self._on_unreadable = on_unreadable
        self._file = folder / JUDGE_FILE

    @property
    def unreadable(self) -> int:
        """Different responses of this stage that were paid the middle score."""
        return len(self._known())

    def score_rollout(self, rollout: Rollout) -> Tensor:
        shown = [
            (prompt, Answer(text, stopped))
            for prompt, text, stopped in zip(rollout.prompts, rollout.texts, rollout.stopped.tolist(), strict=True)
        ]
        found = self.judge.score(shown)
        failed = {place: kind for place, (_, kind) in enumerate(found) if kind}
        if failed:
            self._pay_the_middle(shown, failed)
        return torch.tensor([MIDDLE if kind else score for score, kind in found], dtype=torch.float32)

    def _pay_the_middle(self, shown: Sequence[tuple[Prompt, Answer]], failed: Mapping[int, str]) -> None:
        """Count the responses without a score, or stop."""
        missing = [kind for kind in failed.values() if kind in MAY_COME]
        kind = missing[0] if missing else next(iter(failed.values()))
        if missing or self._on_unreadable == "stop":
            advice = (
                "Nothing is lost: see to it and give the same command, which asks only what is missing (budget and "
                "patience_seconds may be raised)"
                if missing
                else "Set on_unreadable: middle to pay such responses 5 and go on, or take another judge"
            )
            raise ServiceError(
                f"the judge {self.judge.client.name} ({self.judge.client.address}) gave no score for {len(failed)} of "
                f"{len(shown)} responses, for instance: {self.judge.examples.get(kind, kind)}. {advice}."
            )
        texts = {hash_text(canonical_json([shown[place][0].id, shown[place][1].text])) for place in failed}
        write_json(self._file, sorted({*self._known(), *texts}))

    def _known(self) -> list[str]:
        return list(read_json(self._file)) if self._file.exists() else []
