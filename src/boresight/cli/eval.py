"""`boresight eval`: win rates, agreement of judges, a reward model's certificate and behaviour probes."""

import json
import sys
from pathlib import Path
from typing import Annotated

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
    from boresight.api import evaluate

    done = evaluate.winrate(
        *files, baseline=baseline, weights=weights, difficulty=difficulty, margin=margin, questions=questions,
        training=training or (), seed=seed, report=report,
    )  # fmt: skip
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)
    for warning in done.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
