"""The data section: rows read, kept and dropped with the reason, kinds, how often the longer response was chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from boresight.data.wording import percent as percent_text
from boresight.pipeline.report_parts import Cell, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_verdict import certificate_sets
from boresight.pipeline.report_words import (
    count,
    counted,
    listing,
    model_name,
    number,
    percent,
    plain,
    sentence,
)


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, as a strip: `fraction` is its width."""

    name: str
    fraction: float
    words: Markup
    series: int


@dataclass(frozen=True, slots=True)
class PairSet:
    """What one preferences stage made of its sources."""

    name: str
    flow: Sequence[tuple[Markup, Cell]]
    dropped: Table | None
    kinds: Sequence[Share]
    longer: Markup | None
    longer_fraction: float


@dataclass(frozen=True, slots=True)
class DataSection:
    sentences: Sequence[Markup]
    pair_sets: Sequence[PairSet]


def build_data(run: RunRecord) -> DataSection:
    """The section on data: what was kept and left out, with reasons."""
    sentences = [
        words + _read_words(stage.outcome) for stage in run.finished() if (words := _sentence(stage)) is not None
    ]
    sentences += [words for stage in run.finished("reward_model") for words in _held_out_sentences(stage)]
    return DataSection(sentences, [_pair_set(stage) for stage in run.finished("preferences")])


def _sentence(stage: StageRecord) -> Markup | None:
    """What a stage other than `preferences` read or made."""
    facts, name = stage.outcome, model_name(stage.name)
    if stage.kind == "pretrain":
        return Markup("{}: {}, {}, vocabulary of {}.").format(
            name,
            counted(facts["documents"], "document"),
            counted(facts["tokens"], "token"),
            count(facts["vocabulary_size"]),
        )
    if stage.kind == "sft":
        return Markup("{}: {}, {} trained on.").format(
            name, counted(facts["conversations"], "conversation"), counted(facts["trained_tokens"], "token")
        )
    if stage.kind == "sample":
        return Markup("{}: {} to {}, {} tokens on average, {} stopped by themselves.").format(
            name,
            counted(facts["responses"], "response"),
            counted(facts["prompts"], "prompt"),
            number(facts["mean_tokens"]),
            percent(facts["stop_rate"]),
        )
    if stage.kind == "ai_labels":
        return Markup(
            "{}: {} from {} to {}; {} without a pair for want of a difference, {} changed with the order.{}"
        ).format(
            name,
            counted(facts["pairs"], "pair"),
            counted(facts["responses"], "response"),
            counted(facts["prompts"], "prompt"),
            count(facts["ties"]),
            counted(facts["verdict_flips"], "verdict"),
            _people_words(facts),
        )
    if stage.kind in ("reward_model", "dpo", "orpo", "simpo"):
        return Markup("{}: {} trained on.").format(name, counted(facts["pairs"], "pair"))
    if stage.kind in ("ppo", "rloo", "kto"):
        return Markup("{}: {}.").format(name, counted(facts["responses"], "response"))
    if stage.kind == "evaluate":
        return Markup("{}: {} answered by each model.").format(name, counted(facts["prompts"], "prompt"))
    return None


def _people_words(facts: Json) -> Markup:
    """What share of the labels people gave, and how often those of the judge are wrong, after a space."""
    people = facts.get("people")
    if not people:
        return Markup("")
    words = Markup(" People labelled {} of these pairs ({}).").format(
        count(people["human"]), percent(people["human_share"])
    )
    if error := people["ai_label_error"]:
        low, high = error["ci95"]
        words += Markup(" Of the judge's labels {} are wrong by people's word ({} to {}), estimated from {}.").format(
            percent(error["value"]), percent(low), percent(high), counted(error["audited"], "audited pair")
        )
    return words


def _held_out_sentences(stage: StageRecord) -> list[Markup]:
    return [
        Markup("{}, held-out pairs “{}”: {} scored{}.{}").format(
            model_name(stage.name),
            plain(name),
            counted(facts["n"] + facts.get("ties", 0), "pair"),
            _tie_words(facts.get("ties", 0)),
            _read_words(facts),
        )
        for name, facts in certificate_sets(stage)
    ]


def _tie_words(ties: int) -> Markup:
    """How many held-out pairs no accuracy is of, after what it tells of all; nothing where there are none."""
    words = Markup(", {} of them without a right order, and so not in the accuracy")
    return words.format(counted(ties, "tie")) if ties else Markup("")


def _read_words(facts: Json) -> Markup:
    """What a result says of rows read and left out, as a sentence after a space; nothing where it is mute."""
    if "dropped" not in facts:
        return Markup("")
    reasons = [Markup("{} ({})").format(count(n), plain(reason)) for reason, n in facts["dropped"].items() if n]
    left_out = Markup("left out: {}").format(listing(reasons)) if reasons else Markup("none left out")
    if side := facts.get("left_out"):
        left_out += Markup(" ({} in <code>{}</code>)").format(counted(side["rows"], "row"), side["file"])
    read: Mapping[str, int] | int = facts.get("read", {})
    if isinstance(read, int):
        return Markup(" Read: {}; {}.").format(counted(read, "row"), left_out)
    if not read:
        return Markup(" {}.").format(sentence(left_out))
    sources = [Markup("{} from {}").format(count(n), source) for source, n in read.items()]
    return Markup(" Read: {}; {}.").format(listing(sources), left_out)


def _dropped_files(facts: Json) -> Markup:
    """What the filters drop lies in one file of the stage's folder, what the reading left out in another."""
    side = facts.get("left_out")
    filtered = sum(facts["dropped"].values()) > (side["rows"] if side else 0)
    names = [*(["dropped.jsonl"] if filtered else []), *([side["file"]] if side else [])]
    return listing([Markup("<code>{}</code>").format(name) for name in names])


def _pair_set(stage: StageRecord) -> PairSet:
    facts = stage.outcome
    read, dropped = sum(facts["read"].values()), sum(facts["dropped"].values())
    flow: list[tuple[Markup, Cell]] = [
        (count(read), Markup("read: {}").format(
            listing([Markup("{} from {}").format(count(n), source) for source, n in facts["read"].items()]))),
        (count(dropped), Markup("dropped (rows in {})").format(_dropped_files(facts)) if dropped else "dropped"),
        (count(facts["kept"]), "kept"),
        (count(facts["train"]), "to train on"),
        (count(facts["held_out"]), "held out, by prompt"),
    ]  # fmt: skip
    rows = [
        [plain(reason), count(n), percent(n / read) if read else "–"] for reason, n in facts["dropped"].items() if n
    ]
    total = sum(facts["kinds"].values())
    kinds = [
        Share(plain(kind) or "no kind", n / total, Markup("{} {}").format(count(n), percent_text(n / total)), index + 1)
        for index, (kind, n) in enumerate(sorted(facts["kinds"].items(), key=lambda item: -item[1]))
        if n
    ]
    longer = facts.get("longer_share")
    return PairSet(
        name=stage.name,
        flow=flow,
        dropped=Table(["Dropped because", "Pairs", "Of those read"], rows) if rows else None,
        kinds=kinds,
        longer=None if longer is None else percent(longer),
        longer_fraction=float(longer or 0),
    )
