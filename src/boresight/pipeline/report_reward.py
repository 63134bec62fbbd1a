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
    to_chart,
)
from boresight.pipeline.report_parts import BASE_SERIES, Chapter, Figure, Part, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_words import Rate, count, counted, model_name, number, percent, plain, rate, sentence

_SERIES = 1


def reward_chapters(run: RunRecord) -> list[Chapter]:
    return [_chapter(stage) for stage in run.finished("reward_model") if stage.outcome["certificate"]]


def _chapter(stage: StageRecord) -> Chapter:
    certificate: Mapping[str, Json] = stage.outcome["certificate"]
    sets = list(certificate.items())
    first_name, first = sets[0]
    title = Markup("{} orders {} of {} pairs as preferred").format(
        model_name(stage.name), percent(first["accuracy"]), plain(first_name).replace("held out", "held-out")
    )
    paragraphs = [
        Markup("{} learnt from {} in {}. Its certificate is taken on pairs that it never saw.").format(
            model_name(stage.name), counted(stage.outcome["pairs"], "pair"), counted(stage.outcome["steps"], "step")
        )
    ]
    parts: list[Part] = []
    for name, facts in sets:
        paragraphs.append(_set_sentence(name, facts))
        parts += [_accuracy_figure(stage, name, facts), _calibration_figure(stage, name, facts)]
    return Chapter(title, paragraphs, parts)


def _set_sentence(name: str, facts: Json) -> Markup:
    text = Markup("{}: accuracy {}; a rule that looks at length alone reaches {}, a bag of words {}.").format(
        sentence(plain(name)),
        rate(Rate.read(facts, "accuracy")),
        rate(Rate.read(facts["length_only"], "accuracy")),
        rate(Rate.read(facts["bag_of_words"], "accuracy")),
    )
    by_kind: Mapping[str, Json] = facts.get("by_kind", {})
    if len(by_kind) > 1:
        weakest = min(by_kind, key=lambda kind: float(by_kind[kind]["accuracy"]))
        text += Markup(" Weakest kind: {}, {}.").format(
            plain(weakest), rate(Rate.read(by_kind[weakest], "accuracy"))
        )
    return text


def _accuracy_figure(stage: StageRecord, name: str, facts: Json) -> Figure:
    rows = [IntervalRow(label="All pairs", rate=Rate.read(facts, "accuracy"), series=_SERIES, emphasis=True)]
    rows += [
        IntervalRow(label=sentence(plain(kind)), rate=Rate.read(value, "accuracy"), series=_SERIES)
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
    caption = Markup("Accuracy on {} ({}), by kind, beside two rules that do not understand the answer. Bars are 95% "
                     "intervals.")  # fmt: skip
    return Figure(chart, caption.format(plain(name), counted(facts["n"], "pair")))


def _calibration_figure(stage: StageRecord, name: str, facts: Json) -> Figure:
    bins = [row for row in facts["reliability"] if row["n"]]
    label = f"Reliability of {stage.name} on {plain(name)}: accuracy against confidence"
    chart = to_chart(f"reliability-{stage.name}-{name}", label, lambda: _draw_reliability(bins))
    correlation = facts.get("score_length_correlation")
    rows = [
        ["Expected calibration error", percent(facts["ece"])],
        ["Brier score", number(facts["brier"])],
        ["Negative log-likelihood, nats", number(facts["nll"])],
        ["Best temperature", number(facts["temperature"])],
        ["Correlation of score and length", "–" if correlation is None else number(correlation)],
    ]
    caption = Markup("Of the pairs on which {} was this confident, how many were ordered right. On the diagonal, "
                     "confidence can be taken at its word; dots grow with the number of pairs ({} in all).")  # fmt: skip
    table = Table(["Calibration", sentence(plain(name))], rows)
    return Figure(chart, caption.format(model_name(stage.name), count(facts["n"])), beside=table)


def _draw_reliability(bins: Sequence[Json]) -> Canvas:
    figure = blank_figure(340, 300)
    axes = pixel_axes(figure, 46, 12, 280, 236)
    low = min([0.5, *(row["accuracy"] for row in bins), *(row["confidence"] for row in bins)])
    low = max(0.0, low - 0.05) if low < 0.5 else 0.48
    axes.set_xlim(0.48, 1.02)
    axes.set_ylim(low, 1.03)
    axes.plot([0.5, 1], [0.5, 1], color=BOUND, lw=1.3, linestyle=DASHES, zorder=1)
    axes.grid()
    axes.set_axisbelow(True)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=11)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))
    axes.set_xlabel("confidence", fontsize=11)
    axes.set_ylabel("ordered as preferred", fontsize=11)
    colour, most = series_colour(_SERIES), max([1, *(row["n"] for row in bins)])
    x, y = [row["confidence"] for row in bins], [row["accuracy"] for row in bins]
    axes.plot(x, y, color=colour, lw=1.5, alpha=0.5, zorder=2)
    for row in bins:
        size = 5 + 9 * (row["n"] / most) ** 0.5
        axes.plot([row["confidence"]], [row["accuracy"]], "o", color=colour, markersize=size, clip_on=False,
                  markeredgecolor=SURFACE, zorder=3)  # fmt: skip
    return figure
