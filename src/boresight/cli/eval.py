"""`boresight eval`: win rates, agreement of judges, a reward model's certificate and behaviour probes."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

HERE = "boresight.cli.eval"
SUBVERBS = {
    "winrate": (HERE, "winrate", "Win rates with intervals, length control and canaries."),
    "agreement": (f"{HERE}_agreement", "agreement", "How far raters agree beyond chance, and a judge with them."),
    "reward": (f"{HERE}_reward", "reward", "A reward model's certificate on held-out pairs."),
    "probes": (f"{HERE}_probes", "probes", "What changed: sycophancy, refusals, format, capability; paired."),
}
"""Name -> module, function and line of each verb of the group; a module is loaded when its verb is asked for."""


def command() -> None:
    """Win rates, agreement, a reward model's certificate, probes.

    They are computed from files of verdicts, labels and scores, our own and those of others.

    \b
    Example:
      boresight eval winrate runs/kube-assistant/stages/compare/comparisons.jsonl
      boresight eval agreement labels.csv --rater anna --rater ben
      boresight eval reward runs/kube-assistant/stages/scorer/model held_out.csv
      boresight eval probes runs/kube-assistant/stages/ppo runs/kube-assistant/stages/demo
    """


def winrate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of verdicts on two answers.")],
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="MODEL", help="Whom the models of battles are held against.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Published coefficients of length control.")
    ] = None,
    difficulty: Annotated[
        Path | None, typer.Option("--difficulty", metavar="FILE", help="Published instruction difficulties.")
    ] = None,
    margin: Annotated[
        float, typer.Option("--margin", min=0.1, max=49.9, help="Points above 50 % that should be told from 50 %.")
    ] = 10.0,
    questions: Annotated[
        Path | None, typer.Option("--questions", metavar="FILE", help="Texts and categories of MT-bench, Arena-Hard.")
    ] = None,
    training: Annotated[
        list[Path] | None, typer.Option("--training", metavar="FILE", help="Look for the prompts in training data.")
    ] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Write a page with plots.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the bootstrap, the tests and the cross-validation.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Win rates with intervals, length control and canaries.

    Read are AlpacaEval's annotations, comparisons.jsonl of an evaluate stage (both orders are one prompt), MT-bench's
    pairwise judgments, Arena-Hard's judgments and arena battles. Ties count as halves, intervals are over prompts.

    The length-controlled rate is what the judge would say at equal lengths. Files of one judge and one baseline are
    fitted together, far more certain than one alone; --weights and --difficulty use published coefficients, joined on
    the instruction. p is of a permutation test, corrected for the number of rows (Holm). Three models or more get
    ratings. Prompts that --training files hold are counted, and the rate is taken without them.

    \b
    Example:
      boresight eval winrate runs/kube-assistant/stages/compare/comparisons.jsonl
      boresight eval winrate results/*/annotations.json --json
      boresight eval winrate battles.jsonl --baseline gpt-4
    """
    from boresight.evaluation.published_weights import read_published_weights
    from boresight.evaluation.question_files import read_questions
    from boresight.evaluation.standings import standings

    if (weights is None) != (difficulty is None):
        raise typer.BadParameter("published coefficients take both --weights and --difficulty", param_hint="--weights")
    published = read_published_weights(weights, difficulty) if weights and difficulty else None
    known, learnt = read_questions(questions) if questions else None, training or ()
    result = standings(files, seed=seed, baseline=baseline, margin=margin, weights=published, questions=known,
                       training=learnt)  # fmt: skip
    if report is not None:
        from boresight.pipeline.standings_page import write_standings_page

        write_standings_page(report, result)
    warnings = [f"{block['file']}: {found['message']}." for block in result["files"] for found in block["warnings"]]
    print(json.dumps(result, ensure_ascii=False) if as_json else standings_text(result, margin))
    for warning in warnings:
        print(f"WARNING: {warning}", file=sys.stderr)


def standings_text(result: dict[str, Any], margin: float) -> str:
    """One line a candidate, then ratings."""
    from boresight.cli.tables import table

    head = [
        "candidate",
        "n",
        "win rate %",
        "95 %",
        "length-controlled",
        "won",
        "lost",
        "tied",
        "chars",
        "distinct",
        "p",
    ]
    rows = [head, *(_standing(block) for block in result["files"])]
    text = table(rows, right=range(1, len(head)))
    against = sorted({block["baseline"] for block in result["files"]})
    needed = [block["prompts_needed"] for block in result["files"] if block["prompts_needed"] is not None]
    text += f"\n  against {', '.join(against)}; p corrected for {len(result['files'])} comparisons"
    if needed:
        text += f"; {50 + margin:g} % is told from 50 % with {max(needed):,} prompts"
    for block in result["files"]:
        if tainted := block["contamination"]:
            text += f"\n  {block['candidate']}: {_contaminated(tainted)}"
    for key, title in (("by_category", "category"), ("by_kind", "kind")):
        text += _parts_text(result["files"], key, title)
    if result.get("ratings"):
        rated = [
            [one["model"], f"{one['elo']:+.0f}", f"{one['ci95'][0]:+.0f} to {one['ci95'][1]:+.0f}"]
            for one in result["ratings"]
        ]
        text += "\n\n" + table([["rating", "Elo", "95 %"], *rated], right=(1, 2))
    elif "ratings_reason" in result:
        text += f"\n  no ratings: {result['ratings_reason']}"
    return text


def _contaminated(tainted: dict[str, Any]) -> str:
    if not tainted["looked_for"]:
        return "the file does not tell its prompts; give --questions"
    found = f"{tainted['exact'] + tainted['near']:,} of {tainted['looked_for']:,} prompts stand in the training data"
    rest = tainted["without"]
    return found + (f"; {rest['win_rate']:.2f} % without them" if rest["n"] else "")


def _parts_text(blocks: list[dict[str, Any]], key: str, title: str) -> str:
    """One line a part, one column a candidate: win rate with the half of its interval."""
    from boresight.cli.tables import table

    parts = sorted({part for block in blocks for part in block[key]})
    if not parts:
        return ""
    rows = [[title, *(block["candidate"] for block in blocks)]]
    rows += [[part, *(_part(block[key].get(part)) for block in blocks)] for part in parts]
    return "\n\n" + table(rows, right=range(1, len(blocks) + 1))


def _part(block: dict[str, Any] | None) -> str:
    return "-" if block is None else f"{block['win_rate']:.1f} ± {(block['ci95'][1] - block['ci95'][0]) / 2:.1f}"


def _standing(block: dict[str, Any]) -> list[str]:
    low, high = block["ci95"]
    controlled, error = block["length_controlled_win_rate"], block["length_controlled_standard_error"]
    return [
        block["candidate"],
        f"{block['n']:,}",
        f"{block['win_rate']:.2f}",
        f"{low:.2f} to {high:.2f}",
        "-" if controlled is None else f"{controlled:.2f} ± {1.96 * error:.2f}",
        *(f"{block[key]:,}" for key in ("wins", "losses", "ties")),
        *("-" if block[key] is None else f"{block[key]:,}" for key in ("mean_chars", "distinct_responses")),
        f"{block['permutation_p_holm']:.2g}",
    ]
