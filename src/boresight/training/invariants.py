"""What must hold while a policy is trained, looked at in every run on a few responses: cheap, and never wrong quietly.

KL 0 and ratio 1 at the start are looked at by `training.experience`; the fingerprints of frozen roles, before and
after, by the stage.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from boresight.errors import ServiceError, TrainingError
from boresight.models.precision import is_lowered
from boresight.models.roles import FrozenPolicy, Policy
from boresight.training.reward_sources import AnySource, scores_of
from boresight.training.rollout import Rollout
from boresight.training.run import Run

PROBED = 4  # responses: the shortest and the longest of the first batch, and two more
LOGP_TOLERANCE = 1e-4  # nats a token
SCORE_TOLERANCE = 1e-3  # of the score, or of 1 where it is smaller
LOWERED_TOLERANCE = 0.1  # of both in bfloat16, where rows of another batch round otherwise
MOVED_TOLERANCE = 1e-5  # nats a token, of the reference on the very same batch


class Watch:
    """The invariants of one run of a training loop; `check` each rollout before anything is learnt from it."""

    def __init__(
        self,
        policy: Policy,
        reference: FrozenPolicy,
        reward: AnySource,
        *,
        temperature: float,
        max_new_tokens: int,
        stop: Sequence[str] = (),
    ) -> None:
        self._policy = policy
        self._reference = reference
        self._reward = reward
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self._stop = stop
        self._probe: tuple[Rollout, Tensor] | None = None  # a fixed batch, and the reference's log-probabilities of it

    def check(self, rollout: Rollout, scores: Tensor, run: Run, step: int) -> None:
        """Raises TrainingError for a fault; `scores` are (responses,), as the reward source gave them."""
        strings = string_ends(rollout, self._stop, self._policy.tokenizer) if self._stop else None
        check_responses_end(rollout, self._policy.chat.stop_token_ids, self._max_new_tokens, step, strings)
        if self._probe is not None:
            self._check_reference(step)
            return
        rows = _probed_rows(rollout)
        check_padding(self._policy, part_of(rollout, rows), step)
        with run.saved_before(ServiceError, step):
            check_members(self._reward, rollout, scores, rows, step)
        probe = part_of(rollout, rows)
        self._probe = probe, self._reference_logps(probe)

    def _reference_logps(self, probe: Rollout) -> Tensor:
        return self._reference.logps(probe.input_ids, probe.response_mask, temperature=self._temperature).logp

    def _check_reference(self, step: int) -> None:
        assert self._probe is not None
        probe, before = self._probe
        moved = float((self._reference_logps(probe) - before).abs().max())
        if moved > MOVED_TOLERANCE:
            raise TrainingError(
                f"step {step}: the reference gives other log-probabilities to a fixed batch than at the start (by up "
                f"to {moved:.2g} nats a token); expected the same. It has moved: it shares weights with the policy, or "
                "an adapter was left on. The step was not trained; every KL since the start is void."
            )


def part_of(rollout: Rollout, rows: Tensor) -> Rollout:
    """Some responses of a rollout, cut to the longest of them."""
    input_ids, response_mask = rollout.rows(rows)
    chosen = rows.tolist()
    lengths = rollout.lengths[rows]
    return replace(
        rollout,
        prompts=tuple(rollout.prompts[row] for row in chosen),
        texts=tuple(rollout.texts[row] for row in chosen),
        input_ids=input_ids,
        response_mask=response_mask,
        stopped=rollout.stopped[rows],
        lengths=lengths,
        sampler_logp=rollout.sampler_logp[rows, : int(lengths.max())],
        versions=rollout.versions[rows],
    )


def _probed_rows(rollout: Rollout) -> Tensor:
    tokens = rollout.row_tokens.tolist()
    wanted = [tokens.index(min(tokens)), tokens.index(max(tokens)), *range(len(tokens))]
    return torch.tensor(sorted(list(dict.fromkeys(wanted))[:PROBED]), device=rollout.input_ids.device)


def string_ends(rollout: Rollout, stop: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[Tensor, Tensor]:
    """(responses,) bool each: a stop string stands in the response; one stood there before its last token."""
    rows = zip(rollout.input_ids, rollout.response_mask, strict=True)
    tokens = [ids[mask].tolist() for ids, mask in rows]
    held, early = (
        [any(string in text for string in stop) for text in map(str, map(tokenizer.decode, part))]
        for part in (tokens, [row[:-1] for row in tokens])
    )
    device = rollout.response_mask.device
    return torch.tensor(held, device=device), torch.tensor(early, device=device)


def check_responses_end(
    rollout: Rollout,
    stop_token_ids: tuple[int, ...],
    max_new_tokens: int,
    step: int,
    strings: tuple[Tensor, Tensor] | None = None,
) -> None:
    """A response ends with its first stop token, with the token that completes its first stop string (`strings` tells,
    see `string_ends`), or at the limit without either; its mask is one stretch of tokens."""
    mask = rollout.response_mask
    stops = torch.isin(rollout.input_ids, torch.tensor(stop_token_ids, device=mask.device)) & mask
    first, last = mask.int().argmax(1), rollout.row_tokens - 1
    ends_with_stop = stops.gather(1, last[:, None]).squeeze(1)
    whole = (last - first + 1 == mask.sum(1)) & (mask.sum(1) == rollout.lengths)
    at_limit = rollout.lengths == max_new_tokens
    held, early = strings or (torch.zeros_like(rollout.stopped), torch.zeros_like(rollout.stopped))
    by_token, by_string = ends_with_stop & (stops.sum(1) == 1), held & ~stops.any(1)
    right = whole & torch.where(rollout.stopped, (by_token | by_string) & ~early, ~stops.any(1) & ~held & at_limit)
    if not bool(right.all()):
        row = int((~right).nonzero()[0])
        raise TrainingError(
            f"step {step}: the response mask of prompt {rollout.prompts[row].id!r} does not end where the response "
            f"does: {int(mask[row].sum())} tokens are marked, {int(stops[row].sum())} stop tokens among them, and the "
            f"response {'stopped' if bool(rollout.stopped[row]) else 'did not stop'}. Expected one stretch that ends "
            f"with its only stop token (or completes its only stop string), or has {max_new_tokens} tokens and none. "
            "Nothing of the step was trained."
        )


@torch.no_grad()
def check_padding(policy: Policy, part: Rollout, step: int) -> None:
    """What stands behind a row's last token changes none of its log-probabilities."""
    inside = torch.arange(part.input_ids.shape[1], device=part.input_ids.device) < part.row_tokens[:, None]
    other = part.input_ids.where(inside, policy.chat.stop_token_id)
    other = torch.nn.functional.pad(other, (0, 2), value=policy.chat.stop_token_id)
    mask = torch.nn.functional.pad(part.response_mask, (0, 2))
    before = policy.logps(part.input_ids, part.response_mask)
    after = policy.logps(other, mask)
    gap = float((before.logp - after.logp).abs().max())
    if gap > _tolerance(LOGP_TOLERANCE, before.logp):
        raise TrainingError(
            f"step {step}: log-probabilities of responses change by up to {gap:.2g} nats a token with what stands "
            "behind them in the batch; expected no change. The model looks at padding: its attention or positions do "
            "not follow the mask. Nothing was trained."
        )


def check_members(reward: AnySource, rollout: Rollout, scores: Tensor, rows: Tensor, step: int) -> None:
    """The reward of a response is the same by itself as in its batch."""
    for row in rows.tolist():
        alone = float(scores_of(reward, part_of(rollout, torch.tensor([row], device=rows.device)))[0])
        batched = float(scores[row])
        if abs(alone - batched) > _tolerance(SCORE_TOLERANCE, scores) * max(1.0, abs(batched)):
            raise TrainingError(
                f"step {step}: the response to prompt {rollout.prompts[row].id!r} is worth {alone:.6g} by itself and "
                f"{batched:.6g} in its batch; expected one reward. The reward source looks at padding, at the order or "
                "at other responses, or draws at random. Nothing was trained."
            )


def _tolerance(exact: float, values: Tensor) -> float:
    return LOWERED_TOLERANCE if is_lowered(values.device.type) else exact
