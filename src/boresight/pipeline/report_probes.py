"""The chapter on behaviour probes: what a candidate does otherwise than the baseline, beside what was wanted."""

from collections.abc import Sequence

from markupsafe import Markup

from boresight.pipeline.report_parts import Cell, Chapter, Table
from boresight.pipeline.report_reading import Json, RunRecord, StageRecord
from boresight.pipeline.report_verdict import candidate_names, evaluation_label
from boresight.pipeline.report_words import count, counted, data, listing, model_name, number, plain

SHOWN = ("better", "worse", "different")


def probe_chapter(run: RunRecord, evaluation: StageRecord) -> Chapter:
    """One sentence a candidate, and a table of all measures for each."""
    compared = {name: evaluation.outcome["probes"][name] for name in candidate_names(evaluation)}
    baseline = evaluation.outcome["baseline"]
    first = next(iter(compared.values()))
    title = Markup("{}What else changed: {}").format(
        evaluation_label(run, evaluation), counted(first["n"], "behaviour probe")
    )
    paragraphs = [_sentence(name, baseline, found) for name, found in compared.items()]
    tables = [_table(name, baseline, found) for name, found in compared.items()]
    return Chapter(title, paragraphs, tables)


def _sentence(name: str, baseline: str, found: Json) -> Markup:
    of = {v: [_label(block) for block in found["measures"] if block["verdict"] == v] for v in SHOWN}
    parts = [Markup("{} in {}").format(verdict, listing(of[verdict])) for verdict in ("worse", "better") if of[verdict]]
    state = Markup(", and ").join(parts) if parts else "not shown to be better or worse"
    also = Markup("; it differs in {}").format(listing(of["different"])) if of["different"] else ""
    return Markup("{} is {} than {} ({}, p corrected for all of them){}.").format(
        model_name(name), state, model_name(baseline), counted(len(found["measures"]), "measure"), also
    )


def _table(name: str, baseline: str, found: Json) -> Table:
    rows: list[Sequence[Cell]] = [
        [_label(b), count(b["n"]), number(b["candidate"]), number(b["baseline"]), _difference(b), number(b["p_holm"]),
         Markup("<b>{}</b>").format(b["verdict"]) if b["verdict"] in SHOWN else ""]
        for b in found["measures"]
    ]  # fmt: skip
    headers = ["Measure", "n", name, baseline, "Difference", "p (Holm)", ""]
    return Table(headers, rows, summary=f"All measures of {name} beside {baseline}")


def _label(block: Json) -> str:
    return plain(str(block["measure"])) + (f" ({block['group']})" if block["group"] else "")


def _difference(block: Json) -> Markup:
    low, high = block["ci95"]
    shown = data(block["difference"], f"{block['difference']:+.3g}".replace("-", "−"))
    ends = f"{low:+.3g} to {high:+.3g}".replace("-", "−")
    return Markup('{} <span class="ci">({})</span>').format(shown, ends)
