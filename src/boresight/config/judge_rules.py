"""What no single field of a judge can tell: prices, budgets and dry runs that must fit each other."""

from collections.abc import Iterator

from boresight.config.judge_sections import EndpointSection
from boresight.config.problems import Problem
from boresight.config.sections import AILabelsStage, LocalModelJudge, OpenAIJudge, StageSection
from boresight.config.yaml_text import KeyPath


def price_rules(asked: object, path: KeyPath = ("judge",)) -> Iterator[Problem]:
    """Both prices or none, and no budget without them; nothing of what is no endpoint."""
    if isinstance(asked, EndpointSection):
        given = [name for name in ("price_prompt", "price_completion") if getattr(asked, name) is not None]
        if len(given) == 1:
            yield Problem((*path, given[0]), "the other price is missing; give price_prompt and price_completion")
        elif asked.budget is not None and not given:
            yield Problem((*path, "budget"), f"{asked.budget:g} without prices; give price_prompt and price_completion")


def label_rules(stage: StageSection) -> Iterator[Problem]:
    """What does not go together in the settings of an `ai_labels` stage."""
    assert isinstance(stage, AILabelsStage)
    yield from price_rules(stage.judge)
    if stage.ranking and stage.pairs_per_prompt != 1:
        yield Problem(("ranking",), f"true beside pairs_per_prompt: {stage.pairs_per_prompt}; keep one of the two")
    if stage.dry_run and not isinstance(stage.judge, OpenAIJudge | LocalModelJudge):
        yield Problem(("dry_run",), f"true, but a judge of the kind {stage.judge.kind} costs nothing; leave it out")
    if stage.human_share and not stage.human_labels:
        yield Problem(
            ("human_share",), f"{stage.human_share:g}, but where people answer is not said; give human_labels: FILE"
        )
