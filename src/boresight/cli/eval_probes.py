"""`boresight eval probes`: what changed between two models beside what was wanted."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boresight.data.wording import counted

if TYPE_CHECKING:
    from boresight.evaluation.probe_items import Given, Probe

OWN = "own"


def probes(
    candidate: Annotated[
        str | None, typer.Argument(metavar="CANDIDATE", help="Model folder, or file of answers (FILE or FILE#MODEL).")
    ] = None,
    baseline: Annotated[str | None, typer.Argument(metavar="BASELINE", help="The same, to compare with.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="FILE", help='Probes; "own", the default, is the shipped set.')
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Use the first N probes of each kind.")] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest answer in tokens.")] = 256,
    write_prompts: Annotated[
        Path | None, typer.Option("--write-prompts", metavar="FILE", help="Write what is asked, compare nothing.")
    ] = None,
    save_answers: Annotated[
        Path | None, typer.Option("--save-answers", metavar="DIR", help="Keep the answers of model folders.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where something got worse.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap and the tests.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What changed: sycophancy, refusals, format, capability; paired.

    Candidate and baseline answer the same probes, and each measure is compared probe by probe: yes or no by McNemar's
    exact test, numbers by a sign-flip test with a paired bootstrap, p corrected for the number of measures (Holm).
    Folders of models answer greedily, and choose among options by log-probability; answers from files take no torch.

    The shipped set has 112 short probes and finds gross changes. Read by path are sycophancy pairs, model-written
    evaluations, XSTest, IFEval, GSM8K, TruthfulQA, and plain prompts.

    \b
    Example:
      boresight eval probes runs/kube-assistant/stages/ppo runs/kube-assistant/stages/demo
      boresight eval probes new.jsonl old.jsonl --set xstest_prompts.csv --json
      boresight eval probes --write-prompts prompts.jsonl
    """
    from boresight.data.jsonl import write_records
    from boresight.evaluation.probe_answers import prompt_rows
    from boresight.evaluation.probe_comparison import compare_probes

    asked = _asked(sets or [OWN], limit)
    if write_prompts is not None:
        write_records(write_prompts, prompt_rows(asked))
        print(f"{write_prompts}: {len(asked):,} probes")
        return
    if candidate is None or baseline is None:
        raise typer.BadParameter("give a candidate and a baseline to compare, or --write-prompts FILE")
    answers, skipped = {}, {}
    for name, place in (("candidate", candidate), ("baseline", baseline)):
        answers[name], skipped[name] = _answers(place, asked, max_new_tokens, name, save_answers)
    result = compare_probes(asked, answers["candidate"], answers["baseline"], seed=seed)
    result = {"candidate": candidate, "baseline": baseline, "sets": sets or [OWN], "skipped": skipped, **result}
    print(json.dumps(result, ensure_ascii=False) if as_json else probes_text(result))
    if strict and result["regressions"]:
        raise typer.Exit(1)


def _asked(names: list[str], limit: int | None) -> "list[Probe]":
    """The probes of all sets, of each kind the first ones where there is a limit."""
    from boresight.evaluation.probe_sets import joined, own_probes, read_probes

    sets = {name: own_probes() if name == OWN else read_probes(Path(name)) for name in dict.fromkeys(names)}
    return joined({name: _first_of_each_kind(probes, limit) for name, probes in sets.items()})


def _first_of_each_kind(probes: "list[Probe]", limit: int | None) -> "list[Probe]":
    counts: Counter[str] = Counter()
    kept = []
    for probe in probes:
        counts[probe.kind] += 1
        if limit is None or counts[probe.kind] <= limit:
            kept.append(probe)
    return kept


def _answers(
    place: str, asked: "list[Probe]", max_new_tokens: int, name: str, save: Path | None
) -> "tuple[dict[str, Given], int]":
    """Answers by probe, and how many probes have none."""
    from boresight.evaluation.probe_answers import read_answers, write_answers

    if not Path(place).is_dir():
        answers = read_answers(place, asked)
        return answers, len(asked) - len(answers)
    from boresight.evaluation.probe_models import answer_probes
    from boresight.models.model_folder import model_folder
    from boresight.training.rollout import response_text

    print(f"{name}: {place} answers {counted(len(asked), 'probe')}", file=sys.stderr)
    answers, left_out = answer_probes(
        model_folder(Path(place)), asked, as_text=response_text, max_new_tokens=max_new_tokens
    )
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
        write_answers(save / f"{name}.jsonl", answers)
    return answers, left_out


def probes_text(result: dict[str, Any]) -> str:
    """What changed first, then one line a measure."""
    from boresight.tables import table

    head = ["measure", "n", "candidate", "baseline", "difference", "95 %", "p (Holm)", ""]
    rows = [head, *(_measure_row(block) for block in result["measures"])]
    worse = result["regressions"]
    first = f"worse: {', '.join(worse)}" if worse else "nothing is shown to be worse"
    lines = [f"{result['n']:,} probes, {first}", "", table(rows, right=range(1, 7))]
    for key, names in (("diversity", ("distinct_answers", "distinct_1", "distinct_2")),
                       ("calibration", ("confidence", "accuracy", "ece"))):  # fmt: skip
        own = {side: block for side, block in result[key].items() if block}
        if own:
            shown = [[f"{key}: {name}", *(_figure(block[name]) for block in own.values())] for name in names]
            lines += ["", table([["", *own], *shown], right=(1, 2))]
    left = [f"{side} {count:,}" for side, count in result["skipped"].items() if count]
    unread = [f"{side} {count:,}" for side, count in result["unreadable"].items() if count]
    lines += [f"  without an answer: {', '.join(left)}"] if left else []
    lines += [f"  choices that cannot be read: {', '.join(unread)}"] if unread else []
    return "\n".join(lines)


def _measure_row(block: dict[str, Any]) -> list[str]:
    name = block["measure"] + (f" ({block['group']})" if block["group"] else "")
    low, high = block["ci95"]
    figures = [_figure(block[key]) for key in ("candidate", "baseline")]
    interval = f"{low:+.3g} to {high:+.3g}"
    verdict = "" if block["verdict"] == "not shown" else block["verdict"]
    return [
        name,
        f"{block['n']:,}",
        *figures,
        f"{block['difference']:+.3g}",
        interval,
        f"{block['p_holm']:.2g}",
        verdict,
    ]


def _figure(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
