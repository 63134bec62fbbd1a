"""Lint preference pairs or demonstrations in one pass, with a few hundred bytes a row and no more."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from boresight.data.lint.answers import EmptyAnswer, IdenticalAnswers, Refusal, Tie, TruncatedAnswer
from boresight.data.lint.check import Check
from boresight.data.lint.contamination import contamination_by
from boresight.data.lint.contradictions import Contradictions
from boresight.data.lint.coverage import Coverage
from boresight.data.lint.damage import EncodingDamage, SpecialTokens, TurnInAnswer, TurnOrder
from boresight.data.lint.demonstrations import NarrowDemonstrations
from boresight.data.lint.duplicates import Duplicates, minima_by_rensa
from boresight.data.lint.finding import Finding, gravest_first
from boresight.data.lint.language import LanguageMix
from boresight.data.lint.lengths import LengthBias, PaddedChosen
from boresight.data.lint.personal import PersonalData
from boresight.data.lint.relevance import OffTopic
from boresight.data.lint.row import row_of
from boresight.data.lint.style import StyleCues
from boresight.data.lint.sycophancy import Sycophancy
from boresight.errors import DataError
from boresight.records import Demonstration, PreferencePair, Prompt

Records = Iterable[PreferencePair] | Iterable[Demonstration]


@dataclass(frozen=True, slots=True)
class Lint:
    """`ids` are those of all rows in the order they were read, over the splits; findings point into them."""

    ids: Sequence[str]
    splits: dict[str, int]
    findings: list[Finding]

    def finding(self, finding_id: str) -> Finding | None:
        """The finding of that id; None where the data has not got the fault."""
        return next((finding for finding in self.findings if finding.id == finding_id), None)

    @property
    def passed(self) -> bool:
        return all(finding.severity != "error" for finding in self.findings)


def lint(
    splits: Mapping[str, Records],
    *,
    evaluation: Sequence[Prompt] = (),
    prompts: Sequence[Prompt] = (),
    also: Sequence[Check] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> Lint:
    """Findings about the records, gravest first. Records that belong to different splits of one set (train, test) are
    given under their names, so that what stands in two of them is seen.

    `evaluation` are prompts that must not be trained on, `prompts` those that a policy will be rewarded on. `also` are
    more checks to show the rows to. Raises DataError where there is no record at all.
    """
    checks = [*_checks(evaluation, prompts), *also]
    ids: list[str] = []
    counts: dict[str, int] = {}
    for split, records in splits.items():
        before = len(ids)
        for record in records:
            row = row_of(record, len(ids), split)
            ids.append(record.id)
            for check in checks:
                check.see(row)
            progress(len(ids))
        counts[split] = len(ids) - before
    if not ids:
        raise DataError(
            f"lint: {', '.join(splits) or 'nothing'} holds no record; expected at least one. Give a file with rows."
        )
    found = [finding for check in checks for finding in check.findings(ids)]
    return Lint(ids, counts, gravest_first(found))


def _checks(evaluation: Sequence[Prompt], prompts: Sequence[Prompt]) -> list[Check]:
    checks: list[Check] = [
        IdenticalAnswers(), EmptyAnswer(), TruncatedAnswer(), Refusal(), Tie(), LengthBias(), PaddedChosen(),
        Duplicates(minima_by_rensa()), Contradictions(), TurnOrder(), TurnInAnswer(), SpecialTokens(), EncodingDamage(),
        LanguageMix(), OffTopic(), StyleCues(), Sycophancy(), PersonalData(), NarrowDemonstrations(),
    ]  # fmt: skip
    if evaluation:
        checks.append(contamination_by(evaluation))
    if prompts:
        checks.append(Coverage(prompts))
    return checks
