"""One self-contained HTML page of a data set: what the lint found, with examples, and the pictures behind it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from boresight.data.lint.catalogue import CATALOGUE
from boresight.data.lint.finding import Finding
from boresight.data.lint.profile import Profile
from boresight.data.lint.run import Lint, lint
from boresight.data.wording import counted as counted_text
from boresight.data.wording import percent as percent_text
from boresight.pipeline.data_charts import gap_chart, length_chart
from boresight.pipeline.report_charts import Chart
from boresight.pipeline.report_data import Share
from boresight.pipeline.report_parts import Table
from boresight.pipeline.report_words import count, number, percent
from boresight.records import Demonstration, Messages, PreferencePair, Prompt
from boresight.storage import write_text

PRIVATE = ("personal_data", "secret_key")
"""Findings whose examples are named but not shown."""
SHOWN_CHARACTERS = 600
SERIES = 7

Record = PreferencePair | Demonstration


@dataclass(frozen=True, slots=True)
class Example:
    """A record as the page shows it: the end of the prompt, and each answer with its name."""

    id: str
    prompt: str
    answers: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Told:
    """A finding with its words and examples."""

    finding: Finding
    what: str
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    state: str
    splits: Mapping[str, int]
    told: Sequence[Told]
    lengths: Chart
    gaps: Chart | None
    parts: Sequence[Share]
    lengths_by_part: Table | None
    repetition: Sequence[Share]
    agreement: Sequence[Markup]


def lint_with_report(
    splits: Mapping[str, Iterable[PreferencePair]] | Mapping[str, Iterable[Demonstration]],
    path: Path,
    *,
    evaluation: Sequence[Prompt] = (),
    prompts: Sequence[Prompt] = (),
    progress: Callable[[int], None] = lambda rows: None,
) -> Lint:
    """Lint the records and write the page. They are gone through twice: the second time for the examples alone.

    Raises DataError where there is no record, StorageError where the page cannot be written.
    """
    profile = Profile()
    done = lint(splits, evaluation=evaluation, prompts=prompts, also=(profile,), progress=progress)
    wanted = {record_id for finding in done.findings for record_id in finding.examples}
    records: dict[str, Record] = {}
    for rows in splits.values():
        records.update({record.id: record for record in rows if record.id in wanted})
    write_text(path, render(done, profile, records))
    return done


def render(done: Lint, profile: Profile, records: Mapping[str, Record]) -> str:
    """The page as text; equal data gives equal bytes."""
    environment = Environment(
        loader=PackageLoader("boresight.pipeline"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, code=_with_code)
    return environment.get_template("data_report.html.j2").render(page=_page(done, profile, records))


def _page(done: Lint, profile: Profile, records: Mapping[str, Record]) -> Page:
    counts = {s: sum(f.severity == s for f in done.findings) for s in ("error", "warning", "note")}
    state = "failed" if counts["error"] else "open" if counts["warning"] else "passed"
    title = ", ".join(counted_text(counts[severity], severity) for severity in counts if counts[severity])
    return Page(
        title=title or "Nothing found",
        state=state,
        splits=done.splits,
        told=[_told(finding, records) for finding in done.findings],
        lengths=length_chart(profile),
        gaps=gap_chart(profile) if profile.gap_untied else None,
        parts=_shares({name: rows for name, rows in profile.parts.most_common()}),
        lengths_by_part=_length_table(done),
        repetition=_repetition(done),
        agreement=_agreement(profile),
    )


def _told(finding: Finding, records: Mapping[str, Record]) -> Told:
    loud = finding.severity != "note" and finding.id not in PRIVATE
    examples = [_example(records[record_id]) for record_id in finding.examples if loud and record_id in records]
    return Told(finding, CATALOGUE[finding.id].what, examples)


def _example(record: Record) -> Example:
    if isinstance(record, PreferencePair):
        answers = [("chosen", _text(record.chosen)), ("rejected", _text(record.rejected))]
        return Example(record.id, _text(record.prompt[-1:]), answers)
    return Example(record.id, _text(record.messages[-2:-1]), [("answer", _text(record.messages[-1:]))])


def _text(messages: Messages) -> str:
    text = "\n".join(message.content for message in messages).strip()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS].rstrip() + " …"


def _shares(rows: Mapping[str, int]) -> list[Share]:
    total = sum(rows.values())
    return [
        Share(name, n / total, Markup("{} {}").format(count(n), percent_text(n / total)), (index + 1) % SERIES)
        for index, (name, n) in enumerate(rows.items())
        if n
    ]


def _repetition(done: Lint) -> list[Share]:
    rows = len(done.ids)
    found = {name: done.finding(name) for name in ("exact_duplicate", "near_duplicate")}
    repeated = {name: finding.count if finding else 0 for name, finding in found.items()}
    return _shares(
        {
            "first of its kind": rows - sum(repeated.values()),
            "repeated word for word": repeated["exact_duplicate"],
            "repeated but for small changes": repeated["near_duplicate"],
        }
    )


def _length_table(done: Lint) -> Table | None:
    bias = done.finding("length_bias")
    if bias is None:
        return None
    rows = [
        [name, count(part["untied"]), percent(part["longer_share"]), number(part["standardised_difference"]),
         Markup("{} {}").format(part["rule"], percent(part["rule_accuracy"]))]
        for name, part in bias.effect["parts"].items() if part["untied"]
    ]  # fmt: skip
    headers = [
        "Part",
        "Pairs of unequal length",
        "Chosen is longer",
        "Difference in deviations",
        "Length rule is right",
    ]
    return Table(headers, rows)


def _agreement(profile: Profile) -> list[Markup]:
    if profile.agreement is None:
        return []
    return [
        Markup("{} pairs have two votes or more; all votes agree on {}.").format(
            count(profile.voted), percent(profile.unanimous / profile.voted)
        ),
        Markup("Of two votes on one pair, {} agree.").format(percent(profile.agreement)),
    ]


def _with_code(text: str) -> Markup:
    """What stands between backticks as code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces)
    )
