"""`boresight eval reward`: a reward model's certificate, from its folder or from a file of its scores."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boresight.data.wording import counted


def reward(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL_OR_SCORES", help="Folder of a reward model, or a file of scores.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Argument(metavar="PAIRS", help="Held-out preference pairs; none if the scores hold them.")
    ] = None,
    training: Annotated[
        Path | None, typer.Option("--training", metavar="FILE", help="The pairs it learnt from, for the baselines.")
    ] = None,
    others: Annotated[
        list[Path] | None, typer.Option("--with", metavar="MODEL_OR_SCORES", help="Another member of an ensemble.")
    ] = None,
    before: Annotated[
        Path | None, typer.Option("--before", metavar="MODEL_OR_SCORES", help="The same model earlier: score drift.")
    ] = None,
    sampled: Annotated[
        Path | None, typer.Option("--best-of-n", metavar="FILE", help="Responses with their true worth (gold).")
    ] = None,
    contrast: Annotated[
        Path | None, typer.Option("--contrast", metavar="FILE", help="Scores of the shipped contrast pairs.")
    ] = None,
    write_contrast: Annotated[
        Path | None, typer.Option("--write-contrast", metavar="FILE", help="Write the contrast pairs, do nothing else.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A reward model's certificate on held-out pairs.

    Accuracy with intervals over prompts, overall and by kind, source, turns, strength and length gap; calibration
    (ece, brier, nll in nats, temperature) with sigmoid(chosen - rejected) as the probability; how far the score follows
    length, what length alone gets, and with --training a bag of words; and a verdict with its reasons.

    A file of scores has chosen_score and rejected_score for each pair, by id or in the order of the pairs; it takes no
    torch. Given alone it holds the pairs too: with RewardBench's subsets it gets that bench's sections; JudgeBench's
    outputs of reward models are read as they are. Of a folder it is also checked that padding changes no score, and
    which of two manners it prefers in shipped contrast pairs (refusing, correcting, standing firm, not flattering).
    Pairs that are identical or have an empty response or differing contexts are left out and counted.

    \b
    Example:
      boresight eval reward runs/kube-assistant/stages/scorer/model held_out.csv --training pairs.csv
      boresight eval reward scores.jsonl held_out.jsonl --with other_scores.jsonl --before old_scores.jsonl --json
    """
    if write_contrast is not None:
        _write_pairs(write_contrast)
        return
    if model is None or (pairs is None and model.is_dir()):
        raise typer.BadParameter("give a reward model, or a file of its scores, and held-out pairs")
    from boresight.api import evaluate

    done = evaluate.reward(
        model, pairs, training=training, others=others or (), before=before, sampled=sampled, contrast=contrast
    )
    print(json.dumps(done.to_dict(), ensure_ascii=False) if as_json else done)


def _write_pairs(path: Path) -> None:
    from boresight.data.jsonl import write_records
    from boresight.evaluation.reward_certificate import contrast_pairs

    pairs = contrast_pairs()
    write_records(path, pairs)
    print(f"{path}: {counted(len(pairs), 'pair')}")
