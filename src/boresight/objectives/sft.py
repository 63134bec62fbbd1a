"""Supervised fine-tuning: the likelihood of demonstrated responses, token by token."""

from torch import Tensor

from boresight.objectives.masking import fill_masked


def sft_loss(*, logp: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of each response token, in nats: Radford et al. 2018 (GPT), eq. 1, on the response alone.

        loss_t = -log policy(y_t | x, y_<t)    where the mask is True, else 0

    Shapes: logp (from `token_logps`), mask and result are equal, usually (responses, tokens). The mask holds the
    response and its stop token: a model never shown the stop token in the loss never stops. Unreduced: divide the sum
    by the token count of the whole global batch, since a mean of micro-batch means weighs short ones too heavily.
    """
    return -fill_masked(logp, mask)
