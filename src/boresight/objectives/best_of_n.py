"""Best-of-n sampling as an optimiser of the reward: how far from the sampled policy it can lead."""

import math


def best_of_n_kl_bound(n: int) -> float:
    """Most that KL(best of n draws || one draw) can be, nats a response.

    log n - (n - 1) / n: Stiennon et al. 2020 (arXiv:2009.01325, appendix G.3) state it as the KL itself, which it is
    where no two responses have the same score; with ties, or few likely responses, the KL is lower, and this is an
    upper bound (Beirami et al. 2024, arXiv:2401.01879). ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"best of {n}: at least 1 response has to be drawn")
    return math.log(n) - (n - 1) / n
