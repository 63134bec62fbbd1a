"""Best-of-n: of every n responses to a prompt the one that a reward model scores highest."""

from collections.abc import Sequence
from dataclasses import replace

from boresight.config.sections import SampleStage
from boresight.models.loading import default_device
from boresight.models.roles import build_reward_model
from boresight.objectives.best_of_n import best_of_n_kl_bound
from boresight.pipeline.context import StageContext
from boresight.records import Response


def keep_best(
    context: StageContext, config: SampleStage, responses: Sequence[Response]
) -> tuple[list[Response], dict[str, float]]:
    """The best of every `best_of` responses in a row, with the scores of all of them, and what the result says of it.

    Of equal scores the first is kept.
    """
    n = config.best_of
    assert n is not None and config.reward is not None  # config/rules.py asks for both
    scorer = build_reward_model(context.model_path(config.reward), default_device())
    scores = scorer.score([r.prompt.messages for r in responses], [r.text for r in responses]).tolist()
    best = [best_response(responses[i : i + n], scores[i : i + n]) for i in range(0, len(responses), n)]
    return best, {
        "best_of": n,
        "kl_bound_nats": best_of_n_kl_bound(n),
        "mean_score_of_best": sum(max(response.scores) for response in best) / len(best),
        "mean_score_of_all": sum(scores) / len(scores),
    }


def best_response(candidates: Sequence[Response], scores: Sequence[float]) -> Response:
    """The candidate of the highest score, which carries the scores of all in the order in which they were drawn."""
    highest = max(range(len(candidates)), key=lambda i: scores[i])  # the first of equal ones
    return replace(candidates[highest], scores=tuple(scores))
