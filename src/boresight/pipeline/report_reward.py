"""The reward model's chapter: how often it is right, on what kind of pair, how sure it may be, what it looks at."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from boresight.pipeline.report_charts import (
    BOUND,
    DASHES,
    SURFACE,
    IntervalGroup,
    IntervalRow,
    Mark,
    blank_figure,
    interval_chart,
    pixel_axes,
    series_colour,
    series_marker,
    to_chart,
)
from boresight.pipeline.report_parts import BASE_SERIES, REWARD_SERIES, Cell, Chapter, Figure, Part, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_verdict import certificate_sets
from boresight.pipeline.report_words import Rate, count, counted, model_name, number, percent, plain, rate, sentence

_SET_SERIES = (REWARD_SERIES, 0, 1, 2, 3, 4)
"""Colours of the held-out sets; more than these are in the tables only."""


def reward_chapters(run: RunRecord) -> list[Chapter]:
    """A chapter for each reward model: its certificate beside the cheap rules."""
    return [_chapter(stage) for stage in run.finished("reward_model") if stage.outcome["certificate"]]


def _chapter(stage: StageRecord) -> Chapter:
    sets = certificate_sets(stage)
    first_name, first = sets[0]
    title = Markup("{} orders {} of {} pairs as preferred").format(
        model_name(stage.name),
        percent(first["accuracy"]),
        "held-out" if first_name == "held_out" else plain(first_name),
    )
    paragraphs = [
        Markup("{} learnt from {} in {}. Its certificate is taken on pairs that it never saw.").format(
            model_name(stage.name), counted(stage.outcome["pairs"], "pair"), counted(stage.outcome["steps"], "step")
        )
    ]
    parts: list[Part] = []
    for name, facts in sets:
        paragraphs.append(_set_sentence(name, facts))
        parts.append(_accuracy_figure(stage, name, facts))
    parts.append(_calibration_figure(stage, sets))
    return Chapter(title, paragraphs, parts)


def _set_sentence(name: str, facts: Json) -> Markup:
    text = Markup("{}: accuracy {}; a rule that looks at length alone reaches {}, a bag of words {}.").format(
        sentence(plain(name)),
        rate(Rate.read(facts, "accuracy")),
        rate(Rate.read(facts["length_only"], "accuracy")),
        rate(Rate.read(facts["bag_of_words"], "accuracy")),
    )
    for key, words in (("length_only", "length alone"), ("bag_of_words", "a bag of words")):
        if facts[key]["accuracy"] >= facts["ci95"][0]:
            text += Markup(" <strong>This is not clearly better than {}.</strong>").format(words)
    if facts["ci95"][0] <= max(float(facts[rule]["accuracy"]) for rule in ("length_only", "bag_of_words")):
        text += Markup(" Its interval does not lie above the better of these rules: it may know no more than they do.")
    by_kind: Mapping[str, Json] = facts.get("by_kind", {})
    if len(by_kind) > 1:
        weakest = min(by_kind, key=lambda kind: float(by_kind[kind]["accuracy"]))
        text += Markup(" Weakest kind: {}, {}.").format(plain(weakest), rate(Rate.read(by_kind[weakest], "accuracy")))
    if facts.get("decided_early_stopping"):
        text += Markup(" These pairs decided when training stopped, so their figures are a little too good.")
    return text


def _accuracy_figure(stage: StageRecord, name: str, facts: Json) -> Figure:
    rows = [IntervalRow(label="All pairs", rate=Rate.read(facts, "accuracy"), series=REWARD_SERIES, emphasis=True)]
    rows += [
        IntervalRow(label=sentence(plain(kind)), rate=Rate.read(value, "accuracy"), series=REWARD_SERIES)
        for kind, value in facts.get("by_kind", {}).items()
    ]
    rows += [
        IntervalRow(label=label, rate=Rate.read(facts[key], "accuracy"), series=BASE_SERIES)
        for label, key in (("Length only", "length_only"), ("Bag of words", "bag_of_words"))
    ]
    ends = [row.rate.value if row.rate.low is None else row.rate.low for row in rows]
    chart = interval_chart(
        f"accuracy-{stage.name}-{name}",
        f"Accuracy of {stage.name} on {plain(name)} by kind of pair",
        [IntervalGroup(rows=[row]) for row in rows],
        marks=[Mark(0.5, "chance", dashed=False)],
        limits=(max(0.0, min([0.45, *ends]) - 0.03), 1.0),
    )
    caption = Markup("Accuracy on {} ({}), by kind, beside two rules that do not understand the response. Bars are 95% "
                     "intervals.")  # fmt: skip
    return Figure(chart, caption.format(plain(name), counted(facts["n"], "pair")))


def _calibration_figure(stage: StageRecord, sets: Sequence[tuple[str, Json]]) -> Figure:
    lines = [(series, name, facts) for series, (name, facts) in zip(_SET_SERIES, sets, strict=False)]
    label = f"Reliability of {stage.name}: share of pairs ordered as preferred against its confidence"
    drawn = [(series, [row for row in facts["reliability"] if row["n"]]) for series, _, facts in lines]
    chart = to_chart(f"reliability-{stage.name}", label, lambda: _draw_reliability(drawn))
    facts_shown = (
        ("Pairs", "n", count),
        ("Expected calibration error", "ece", percent),
        ("Brier score", "brier", number),
        ("Negative log-likelihood, nats", "nll", number),
        ("Best temperature", "temperature", number),
        ("Correlation of score and length", "score_length_correlation", number),
    )
    rows: list[list[Cell]] = [
        [words, *("–" if facts.get(key) is None else show(facts[key]) for _, facts in sets)]
        for words, key, show in facts_shown
    ]
    caption = Markup(
        "Of the pairs on which {} was this confident, the share that it ordered as preferred. On the diagonal its "
        "confidence can be taken at its word; dots grow with the number of pairs. Expected calibration error: the mean "
        "distance from the diagonal. Best temperature: what score differences are divided by to lie nearest to it. "
        "Brier score and log-likelihood are 0 for a model that is always sure and right, 0.25 and 0.693 for a coin."
    )
    return Figure(
        chart,
        caption.format(model_name(stage.name)),
        legend=[(series, plain(name)) for series, name, _ in lines] if len(lines) > 1 else (),
        beside=Table(["Calibration", *(plain(name) for name, _ in sets)], rows),
    )


def _draw_reliability(lines: Sequence[tuple[int, Sequence[Json]]]) -> Canvas:
    bins = [row for _, rows in lines for row in rows]
    figure = blank_figure(340, 300)
    axes = pixel_axes(figure, 50, 12, 276, 236)
    lowest = min([0.5, *(row["accuracy"] for row in bins)])
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(max(0.0, lowest - 0.05) if lowest < 0.5 else 0.48, 1.03)
    axes.plot([0.5, 1], [0.5, 1], color=BOUND, lw=1.3, linestyle=DASHES, zorder=1)
    axes.grid()
    axes.set_axisbelow(True)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
    axes.set_xlabel("confidence")
    axes.set_ylabel("ordered as preferred")
    for series, rows in lines:
        colour, most = series_colour(series), max([1, *(row["n"] for row in rows)])
        axes.plot([row["confidence"] for row in rows], [row["accuracy"] for row in rows], color=colour, lw=1.5,
                  alpha=0.5, zorder=2)  # fmt: skip
        for row in rows:
            axes.plot([row["confidence"]], [row["accuracy"]], series_marker(series), color=colour, clip_on=False,
                      markersize=5 + 9 * (row["n"] / most) ** 0.5, markeredgecolor=SURFACE, zorder=3)  # fmt: skip
    return figure
