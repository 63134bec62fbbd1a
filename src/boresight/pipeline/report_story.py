"""The story of a run in chapters: what each kind of stage made of the model, told by the numbers it left."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from boresight.pipeline.report_charts import IntervalGroup, IntervalRow, Mark, interval_chart
from boresight.pipeline.report_examples import opening_examples
from boresight.pipeline.report_parts import Chapter, Figure, Part, Table, model_series
from boresight.pipeline.report_probes import probe_chapter
from boresight.pipeline.report_reading import POLICY_KINDS, Json, RunRecord, StageRecord, measures_of
from boresight.pipeline.report_reward import reward_chapters
from boresight.pipeline.report_verdict import (
    bound_words,
    candidate_names,
    comparisons,
    evaluation_label,
    gate_bounds,
    judge_words,
)
from boresight.pipeline.report_words import (
    Rate,
    count,
    counted,
    listing,
    model_name,
    number,
    percent,
    plain,
    rate,
    sentence,
)

_METHODS = {"ppo": "PPO", "rloo": "RLOO", "dpo": "DPO", "orpo": "ORPO", "simpo": "SimPO", "kto": "KTO"}

WIDEST = 3
"""Measures named where a base model is compared."""
_KNOBS = {"kl_coefficient": "KL coefficient", "beta": "beta", "odds_ratio_coefficient": "odds-ratio coefficient"}


def tell(run: RunRecord) -> list[Chapter]:
    """Chapters in the order of training; a chapter whose stages are missing is left out."""
    chapters = [_base_chapter(run, stage) for stage in run.finished("evaluate") if _starts_at_base(run, stage)]
    chapters += [_demonstration_chapter(run, stage) for stage in run.finished("sft")]
    chapters += reward_chapters(run)
    for evaluation in comparisons(run):
        chapters.append(_comparison_chapter(run, evaluation))
        if ordered_measures(run, evaluation):
            chapters.append(_change_chapter(run, evaluation))
    chapters += [probe_chapter(run, stage) for stage in run.finished("evaluate") if stage.outcome.get("probes")]
    return chapters


def ordered_measures(run: RunRecord, evaluation: StageRecord) -> list[str]:
    """Names of the measures, those that the gate bounds first."""
    known = {name: None for model in evaluation.outcome["models"].values() for name in model["measures"]}
    bounded = [bound.measure for bound in gate_bounds(run) if bound.measure in known]
    return list(dict.fromkeys([*bounded, *known]))


def _starts_at_base(run: RunRecord, evaluation: StageRecord) -> bool:
    return run.kind_of(evaluation.outcome["baseline"]) in ("pretrain", "base_model")


def _base_chapter(run: RunRecord, evaluation: StageRecord) -> Chapter:
    baseline = evaluation.outcome["baseline"]
    before = measures_of(evaluation, baseline)
    paragraphs = []
    for stage in run.finished("pretrain"):
        if stage.name == baseline:
            facts = stage.outcome
            seen = Markup(
                "{} has {} parameters and read {} documents ({} tokens). It has seen documents only, and goes on "
                "with a question as if it were the start of one."
            )
            paragraphs.append(
                seen.format(
                    model_name(baseline), count(facts["parameters"]), count(facts["documents"]), count(facts["tokens"])
                )
            )
    for name in candidate_names(evaluation):
        after = measures_of(evaluation, name)
        shared = [m for m in ordered_measures(run, evaluation) if m in before and m in after]
        shared.sort(key=lambda m: (-abs(after[m]["value"] - before[m]["value"]), -after[m]["n"]))
        widest = [
            Markup("{} {} → {}").format(plain(m), percent(before[m]["value"]), rate(Rate.read(after[m])))
            for m in shared[:WIDEST]
        ]
        if widest:
            words = Markup("From {} to {}, the widest differences: {}.")
            paragraphs.append(words.format(model_name(baseline), model_name(name), listing(widest)))
    is_pretrained = run.kind_of(baseline) == "pretrain"
    title = "The base model goes on with the question" if is_pretrained else "Where the base model stood"
    return Chapter(title, paragraphs, opening_examples(run, evaluation))


def _demonstration_chapter(run: RunRecord, stage: StageRecord) -> Chapter:
    facts = stage.outcome
    intro = Markup("{} learnt from {} in {}; the loss ended at {}.").format(
        model_name(stage.name),
        counted(facts["conversations"], "conversation"),
        counted(facts["steps"], "step"),
        number(facts["final_loss"]),
    )
    evaluation = next((e for e in [*comparisons(run), *run.finished("evaluate")] if measures_of(e, stage.name)), None)
    if evaluation is None:
        return Chapter("What demonstrations taught", [intro])
    measures = measures_of(evaluation, stage.name)
    broken = [b for b in gate_bounds(run) if b.measure in measures and not b.holds(measures[b.measure]["value"])]
    faults = [
        Markup("{} {}, where the gate asks for {}").format(
            plain(b.measure), rate(Rate.read(measures[b.measure])), bound_words(b.measure, b.direction, b.value)
        )
        for b in broken
    ]
    title: Markup | str = "What demonstrations taught"
    paragraphs = [intro]
    if broken:
        first = broken[0]
        words = (
            Markup("After demonstrations: {} {}")
            if first.direction == "max"
            else Markup("After demonstrations: {} only {}")
        )
        title = words.format(plain(first.measure), percent(measures[first.measure]["value"]))
        paragraphs.append(Markup("What demonstrations did not put right: {}.").format(listing(faults)))
    return Chapter(title, paragraphs, [_measure_figure(run, evaluation, stage.name)])


def _measure_figure(run: RunRecord, evaluation: StageRecord, model: str) -> Figure:
    measures = measures_of(evaluation, model)
    series = model_series(run).get(model, 0)
    bounds = {bound.measure: bound for bound in gate_bounds(run)}
    groups = []
    for name in (name for name in ordered_measures(run, evaluation) if name in measures):
        bound = bounds.get(name)
        row = IntervalRow(label=sentence(plain(name)), rate=Rate.read(measures[name]), series=series)
        groups.append(IntervalGroup(rows=[row], bound=bound.value if bound else None))
    chart = interval_chart(f"measures-{model}", f"Measures of {model} with their 95% intervals", groups)
    caption = Markup("{} on held-out prompts at temperature {}; bars are 95% intervals{}.").format(
        model_name(model), number(evaluation.outcome["temperature"]), ", dashes the gate's bounds" if bounds else ""
    )
    return Figure(chart, caption)


def _comparison_chapter(run: RunRecord, evaluation: StageRecord) -> Chapter:
    results: Mapping[str, Json] = evaluation.outcome["candidates"]
    names, baseline = candidate_names(evaluation), evaluation.outcome["baseline"]
    better = [name for name in names if results[name]["ci95"][0] > 0.5]
    title = Markup("{}{} of {} beat {}").format(
        evaluation_label(run, evaluation), count(len(better)), counted(len(names), "candidate"), model_name(baseline)
    )
    flips = [Markup("{} {}").format(model_name(name), count(results[name]["verdict_flips"])) for name in names]
    design = Markup(
        "Every candidate answered the same {} as {}, at temperature {}. {} saw both responses without names, in both "
        "orders; a tie counts half. Prompts whose verdict changed with the order: {}."
    ).format(
        counted(evaluation.outcome["prompts"], "held-out prompt"),
        model_name(baseline),
        number(evaluation.outcome["temperature"]),
        sentence(judge_words(evaluation)),
        listing(flips),
    )
    parts: list[Part] = [_forest(run, evaluation), _win_table(evaluation), _kind_table(evaluation)]
    paragraphs = [_settings_sentence(run, names), design]
    if evaluation.outcome.get("judge", {}).get("kind") == "reward_model":
        paragraphs.append(
            Markup(
                "The judge is a model: a win says what it scores higher, and that is what people prefer only as far as "
                "its certificate goes."
            )
        )
    if "judging" in evaluation.outcome:
        paragraphs.append(_asked_judge(evaluation))
    return Chapter(title, paragraphs, parts)


def _asked_judge(evaluation: StageRecord) -> Markup:
    """What to know of a language model as judge: its place preference, what it did not judge, what that cost."""
    outcome = evaluation.outcome
    missing = sum(sum(kinds.values()) for kinds in outcome.get("unjudged", {}).values())
    usd = outcome["judging"]["cost"]["usd"]
    return Markup(
        "The judge is a language model: hold it against people before a win decides anything. Over both orders the "
        "response shown first won {}. {} had no verdict in both orders and {} left out{}."
    ).format(
        rate(Rate.read(outcome["position"], "rate")),
        counted(missing, "comparison"),
        "is" if missing == 1 else "are",
        "" if usd is None else Markup("; its replies cost {} USD").format(f"{usd:.2f}"),
    )


def _settings_sentence(run: RunRecord, names: Sequence[str]) -> Markup:
    """Which method made each candidate, from the stage's own config."""
    parts = []
    for stage in run.finished(*POLICY_KINDS):
        if stage.name not in names:
            continue
        settings = [
            Markup("{} {}").format(words, number(stage.config[key]))
            for key, words in _KNOBS.items()
            if key in stage.config
        ]
        settings.append(counted(stage.outcome["steps"], "step"))
        method = _METHODS[stage.kind] if stage.name != stage.kind else ""
        parts.append(
            Markup("{} ({})").format(
                model_name(stage.name), Markup(", ").join(Markup.escape(s) for s in [method, *settings] if s)
            )
        )
    return Markup("Compared: {}.").format(listing(parts))


def _forest(run: RunRecord, evaluation: StageRecord) -> Figure:
    series, results = model_series(run), evaluation.outcome["candidates"]
    rates = {name: Rate.read(results[name], "win_rate") for name in candidate_names(evaluation)}
    rows = [IntervalRow(label=name, rate=r, series=series.get(name, 0), emphasis=True) for name, r in rates.items()]
    marks = [Mark(0.5, "even", dashed=False)]
    marks += [Mark(b.value, "required") for b in gate_bounds(run) if b.measure == "win_rate"]
    ends = [end for r in rates.values() for end in (r.low, r.high) if end is not None] + [m.value for m in marks]
    limits = (max(0.0, min(ends) - 0.04), min(1.0, max(ends) + 0.04))
    label = f"Win rates against {evaluation.outcome['baseline']} with their 95% intervals"
    chart = interval_chart(
        f"wins-{evaluation.name}", label, [IntervalGroup(rows=[row]) for row in rows], marks=marks, limits=limits
    )
    caption = Markup("Win rate against {}, ties as halves; bars are 95% intervals over prompts.")
    return Figure(chart, caption.format(model_name(evaluation.outcome["baseline"])))


def _win_table(evaluation: StageRecord) -> Table:
    results, models = evaluation.outcome["candidates"], evaluation.outcome["models"]
    rows = []
    for name in [evaluation.outcome["baseline"], *candidate_names(evaluation)]:
        result, model = results.get(name), models[name]
        won = [count(result["wins"]), count(result["ties"]), count(result["losses"])] if result else ["–"] * 3
        sign = number(result["sign_test_p"]) if result else "–"
        rows.append([model_name(name), *won, sign, number(model["mean_tokens"]), percent(model["stop_rate"])])
    headers = ["", "Won", "Tied", "Lost", "Sign test p", "Mean tokens", "Stopped by itself"]
    caption = "Prompts won, tied and lost by verdicts that agree in both orders, and what the responses look like."
    return Table(headers, rows, caption)


def _kind_table(evaluation: StageRecord) -> Table:
    results, names = evaluation.outcome["candidates"], candidate_names(evaluation)
    kinds = dict.fromkeys(kind for name in names for kind in results[name]["by_kind"])
    rows = []
    for kind in kinds:
        cells = [results[name]["by_kind"].get(kind) for name in names]
        sizes = {cell["n"] for cell in cells if cell}
        rows.append(
            [sentence(plain(kind)), Markup(" / ").join(count(n) for n in sorted(sizes))]
            + [rate(Rate.read({**cell, "n": None}, "win_rate")) if cell else "–" for cell in cells]
        )
    headers = ["Win rate by kind of prompt", "n", *(model_name(name) for name in names)]
    return Table(headers, rows)


def _change_chapter(run: RunRecord, evaluation: StageRecord) -> Chapter:
    names, baseline = candidate_names(evaluation), evaluation.outcome["baseline"]
    models, series = [baseline, *names], model_series(run)
    bounds = {bound.measure: bound for bound in gate_bounds(run)}
    groups = []
    for measure in ordered_measures(run, evaluation):
        rows = [
            IntervalRow(label=name, rate=Rate.read(values[measure]), series=series.get(name, 0))
            for name in models
            if measure in (values := measures_of(evaluation, name))
        ]
        bound = bounds.get(measure)
        groups.append(IntervalGroup(rows=rows, title=sentence(plain(measure)), bound=bound.value if bound else None))
    chart = interval_chart(f"changes-{evaluation.name}", f"Measures of {', '.join(models)}", groups)
    caption = Markup(
        "Measures before ({}) and after; bars are 95% intervals{}. A measure is the share of responses that meet the "
        "rule of its name, over the prompts that have such a rule."
    ).format(model_name(baseline), ", dashes the gate's bounds" if bounds else "")
    legend = [(series.get(name, 0), name) for name in models]
    moved, worse = _change_sentences(run, evaluation)
    intro = Markup("Measures whose 95% interval no longer meets that of {}:").format(model_name(baseline))
    cost = (
        [Markup("Of those that the gate bounds, some went the wrong way: {}.").format(listing(worse))] if worse else []
    )
    title = "What changed, and what it cost" if worse else "What changed"
    parts: list[Part] = [Figure(chart, caption, legend), _measure_table(run, evaluation, models)]
    return Chapter(title, [intro, *moved, *cost], parts)


def _change_sentences(run: RunRecord, evaluation: StageRecord) -> tuple[list[Markup], list[Markup]]:
    """Of each candidate the measures whose interval no longer meets the baseline's; and, among those that the gate
    bounds, the ones that went the wrong way."""
    before = measures_of(evaluation, evaluation.outcome["baseline"])
    directions = {bound.measure: bound.direction for bound in gate_bounds(run)}
    moved, worse = [], []
    for name in candidate_names(evaluation):
        after = measures_of(evaluation, name)
        steps = {
            m: Markup("{} {} → {}").format(plain(m), percent(before[m]["value"]), percent(after[m]["value"]))
            for m in ordered_measures(run, evaluation)
            if m in before and m in after and _apart(before[m], after[m])
        }
        moved.append(Markup("{}: {}.").format(model_name(name), listing(list(steps.values())) if steps else "none"))
        lost = [
            words for m, words in steps.items()
            if (directions.get(m) == "min" and after[m]["value"] < before[m]["value"])
            or (directions.get(m) == "max" and after[m]["value"] > before[m]["value"])
        ]  # fmt: skip
        if lost:
            worse.append(Markup("{} {}").format(model_name(name), listing(lost)))
    return moved, worse


def _apart(first: Json, second: Json) -> bool:
    low = max(first["ci95"][0], second["ci95"][0])
    return bool(low > min(first["ci95"][1], second["ci95"][1]))


def _measure_table(run: RunRecord, evaluation: StageRecord, models: Sequence[str]) -> Table:
    rows = []
    for measure in ordered_measures(run, evaluation):
        cells = [measures_of(evaluation, name).get(measure) for name in models]
        rows.append([sentence(plain(measure))] + [rate(Rate.read(cell)) if cell else "–" for cell in cells])
    return Table(["Measure", *(model_name(name) for name in models)], rows, summary="All measures in numbers")
