"""Log-probabilities of preference pairs under a frozen model: computed once, and kept for the next run that asks.

What is kept is found by the content of everything it follows from: the weights, the token ids of every pair (and so the
data, the tokenizer and the template), and the arithmetic. Change one of them and it is another entry.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from boresight.data.batches import collate_pairs
from boresight.data.tokenize import EncodedPair
from boresight.errors import CheckpointError, TrainingError
from boresight.models.precision import is_lowered
from boresight.models.roles import FrozenPolicy, Policy, pair_logps
from boresight.objectives.logprobs import logp_sum
from boresight.storage import canonical_json, write_atomically
from boresight.training.processes import ALONE, Processes

SUMS = "logp_sums"
STEP_ZERO_TOLERANCE = 1e-3  # nats a response; rounding of float32 over a few hundred tokens stays far below
LOWERED_TOLERANCE = 1.0  # the same in bfloat16, where rows of another batch round otherwise


def reference_logp_sums(
    reference: FrozenPolicy, pairs: Sequence[EncodedPair], cache: Path | None, processes: Processes = ALONE
) -> Tensor:
    """(pairs, 2) sums of chosen and rejected responses, nats; taken from the folder `cache` where they are kept there.

    Raises CheckpointError where the kept file is damaged or holds something else.
    """
    if cache is None:
        return pair_logp_sums(reference, pairs, processes=processes)
    key = _key(reference, pairs)
    path = cache / f"{key}.safetensors"
    if processes.agreed(path.exists()):
        return _load(path, len(pairs))
    sums = pair_logp_sums(reference, pairs, processes=processes)
    unmoved = _key(reference, pairs) == key  # one that moved while it was asked voids the run; nothing of it is kept
    if unmoved and processes.first:
        write_atomically(path, lambda temporary: save_file({SUMS: sums}, temporary))
    return sums


@torch.no_grad()
def pair_logp_sums(
    policy: Policy | FrozenPolicy, pairs: Sequence[EncodedPair], batch_size: int = 16, processes: Processes = ALONE
) -> Tensor:
    """(pairs, 2) log-probability sums of chosen and rejected responses, without gradient. On CPUs small batches are the
    faster ones."""
    order = sorted(range(len(pairs)), key=lambda i: (pairs[i].tokens, i))
    result = torch.zeros(len(pairs), 2)
    for rows, counts in processes.turns([order[i : i + batch_size] for i in range(0, len(order), batch_size)]):
        sides = pair_logps(policy, collate_pairs([pairs[row] for row in rows]))
        if counts:
            result[rows] = torch.stack([logp_sum(side.logp, side.mask) for side in sides], dim=1).cpu()
    processes.sum_into(result)  # a pair was computed by one process; the others have 0 in its place
    return result


def refuse_another_start(policy: Tensor, reference: Tensor) -> None:
    """Raise TrainingError where log-probability sums (of any one shape, nats a response) differ before the first update
    of a policy that starts as its reference: the reference is another model, or is asked otherwise."""
    gap = float((policy.detach() - reference).abs().max())
    if gap > (LOWERED_TOLERANCE if is_lowered(policy.device.type) else STEP_ZERO_TOLERANCE):
        raise TrainingError(
            f"step 0: the policy's log-probabilities differ from the reference's by up to {gap:.2g} nats a response, "
            "although both start from the same model; expected 0. The reference was loaded with another template, "
            "dtype or weights: nothing was trained."
            " Give the reference the policy's chat template and dtype."
        )


def _key(reference: FrozenPolicy, pairs: Sequence[EncodedPair]) -> str:
    device = reference.model.device.type
    arithmetic = [device, is_lowered(device), torch.get_num_threads(), torch.__version__]
    digest = hashlib.sha256(canonical_json([reference.fingerprint(), arithmetic]).encode())
    for pair in pairs:
        digest.update(canonical_json([pair.prompt_ids, pair.chosen_ids, pair.rejected_ids]).encode())
    return digest.hexdigest()


def _load(path: Path, pairs: int) -> Tensor:
    try:
        sums: Tensor | None = load_file(path).get(SUMS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: kept log-probabilities of the reference cannot be read ({error}); the file was damaged after it "
            "was written. Remove it: they are computed again."
        ) from error
    if sums is None or sums.shape != (pairs, 2) or not bool(torch.isfinite(sums).all()):
        found = "nothing of that name" if sums is None else f"shape {tuple(sums.shape)}, or numbers that are not finite"
        raise CheckpointError(
            f"{path}: expected finite log-probabilities of shape ({pairs}, 2), found {found}. Somebody else wrote this "
            "file; remove it: they are computed again."
        )
    return sums
