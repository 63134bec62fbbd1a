"""The rollout of each step: of the weights as they are, or written ahead by weights that are a fixed number of steps
older, while what lies between is trained.

    rollout k is begun at step max(0, k - staleness), before its update, and learnt from at step k

Which version writes which rollout is counted, never left to who is faster, and its random numbers are those of its
step; so wherever it is written, and whenever a run is resumed, it is the same one (Noukhovitch et al. 2024,
arXiv:2410.18252, and Fu et al. 2025, arXiv:2505.24298, for what age costs).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from boresight.config.sections import PolicyStage
from boresight.errors import TrainingError
from boresight.models.generate import Generation
from boresight.models.roles import Policy
from boresight.records import Prompt
from boresight.training.rollout import Rollout, as_rollout, encoded_prompts, prompts_of_step
from boresight.training.run import Run

BATCH_SIZE = 128  # responses that are written at a time


class Rollouts:
    """Rollouts by step; those under way are part of the checkpoint."""

    def __init__(self, config: PolicyStage, policy: Policy, prompts: Sequence[Prompt], run: Run) -> None:
        self._config = config
        self._policy = policy
        self._prompts = prompts
        self._run = run
        self._begun: dict[int, Callable[[], list[Generation]]] = {}
        self._questions: dict[int, tuple[list[Prompt], list[list[int]]]] = {}

    def of(self, step: int) -> Rollout:
        """What the step learns from, waited for; before that, what has to be begun with the weights of this step is.

        Raises TrainingError where another version has written it than should have: it is not learnt from.
        """
        self._begun = {number: written for number, written in self._begun.items() if number >= step}
        self._policy.version = step
        for number in range(step, min(step + self._config.staleness + 1, self._config.steps)):
            if number not in self._begun:
                self._begun[number] = cache(self._begin(number))
        written = self._begun[step]()
        expected = max(0, step - self._config.staleness)
        if wrong := {one.version for one in written} - {expected}:
            raise TrainingError(
                f"step {step}: {sum(one.version in wrong for one in written)} of {len(written)} responses were written "
                f"by version {sorted(wrong)[0]} of the policy; expected {expected} (staleness "
                f"{self._config.staleness}). Nothing was learnt from them. A sampler answers with other weights than "
                "it was given: see who else uses it, and give the same command, which goes on from the last checkpoint."
            )
        prompts, encoded = self._asked(step)
        del self._questions[step]
        return as_rollout(self._policy, prompts, encoded, written, self._config.stop)

    @property
    def state(self) -> dict[str, "Rollouts"]:
        """What belongs into the checkpoint of a loop: nothing where every rollout is begun in its own step."""
        return {"rollouts": self} if self._config.staleness else {}

    def state_dict(self) -> dict[str, Any]:
        """All that has been begun, once it is there."""
        return {
            str(number): [[one.token_ids, one.logps, one.stopped, one.version] for one in written()]
            for number, written in self._begun.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for number, rows in state.items():
            self._begun[int(number)] = cache(lambda rows=rows: [Generation(*row) for row in rows])

    def _asked(self, step: int) -> tuple[list[Prompt], list[list[int]]]:
        """A prompt for each response of a step, and its token ids; kept until the step learns from them."""
        if step not in self._questions:
            chosen = prompts_of_step(self._prompts, self._config.prompts_per_step, self._run.seed, step)
            repeated = [prompt for prompt in chosen for _ in range(self._config.responses_per_prompt)]
            self._questions[step] = repeated, encoded_prompts(self._policy, repeated)
        return self._questions[step]

    def _begin(self, step: int) -> Callable[[], list[Generation]]:
        _, encoded = self._asked(step)
        return self._policy.begin(
            encoded,
            temperatures=[self._config.temperature] * len(encoded),
            max_new_tokens=self._config.max_new_tokens,
            stop_token_ids=self._policy.chat.stop_token_ids,
            generator=self._run.generator("rollout", step),
            batch_size=BATCH_SIZE,
            stop_strings=self._config.stop,
            tokenizer=self._policy.tokenizer,
        )
