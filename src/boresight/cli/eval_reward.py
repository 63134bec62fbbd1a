"""`boresight eval reward`: a reward model's certificate, from its folder or from a file of its scores."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def reward(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL_OR_SCORES", help="Folder of a reward model, or a file of scores.")
    ],
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Held-out preference pairs.")],
    training: Annotated[
        Path | None, typer.Option("--training", metavar="FILE", help="The pairs it learnt from, for the baselines.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A reward model's certificate on held-out pairs.

    Accuracy with intervals over prompts, overall and by kind, source, turns, strength and length gap; calibration
    (ece, brier, nll in nats, temperature) with sigmoid(chosen - rejected) as the probability; how far the score follows
    length, what length alone gets, and with --training a bag of words; and a verdict with its reasons.

    A file of scores has chosen_score and rejected_score for each pair, by id or in the order of the pairs; it takes no
    torch. Of a folder it is also checked that padding changes no score (null for a file). Pairs that are identical or
    have an empty response or differing contexts say nothing here; they are left out and counted.

    \b
    Example:
      boresight eval reward runs/kube-assistant/stages/scorer/model held_out.csv --training pairs.csv
      boresight eval reward scores.jsonl held_out.jsonl --json
    """
    from boresight.data.readers import PairFile, read_pairs
    from boresight.evaluation.reward_certificate import certify_fully

    def read(path: Path) -> PairFile:
        return read_pairs(path, on_identical="drop", on_empty="drop", on_context_differs="drop")

    held_out = read(pairs)
    invariant: bool | None = None
    if model.is_dir():
        from boresight.evaluation.reward_scoring import score_pairs_with

        chosen, rejected, invariant = score_pairs_with(model, held_out.pairs)
    else:
        from boresight.evaluation.score_files import read_scores

        chosen, rejected = read_scores(model, held_out.pairs)
    learnt = read(training).pairs if training else None
    result = certify_fully(held_out.pairs, chosen, rejected, training=learnt, padding_invariant=invariant)
    result = {"file": str(pairs), "dropped": held_out.dropped, **result}
    print(json.dumps(result, ensure_ascii=False) if as_json else certificate_text(result))


def certificate_text(result: dict[str, Any]) -> str:
    """Verdict first, then the figures and the parts."""
    from boresight.cli.tables import table
    from boresight.evaluation.reward_certificate import PARTS

    head = f"{result['file']}: {result['verdict']['level']}, {result['n']:,} pairs"
    left_out = ", ".join(f"{name}: {count:,}" for name, count in result["dropped"].items())
    lines = [f"{head}; left out {left_out}" if left_out else head]
    lines += [f"  - {reason}" for reason in result["verdict"]["reasons"]]
    rows = [_accuracy_row("accuracy", result), _accuracy_row("  length alone", result["length_only"])]
    if "bag_of_words" in result:
        rows.append(_accuracy_row("  bag of words alone", result["bag_of_words"]))
    for name in ("ece", "brier", "nll", "temperature", "score_length_correlation"):
        rows.append([name, "-" if result[name] is None else f"{result[name]:.4f}", ""])
    padding = {None: "not looked at", True: "changes no score", False: "CHANGES SCORES"}
    rows.append(["padding", padding[result["padding_invariant"]], ""])
    parts = [
        [_accuracy_row(f"{part.removeprefix('by_').replace('_', ' ')}: {name}", own, own["n"]) for name, own in
         result[part].items()]
        for part in PARTS
    ]  # fmt: skip
    blocks = [table(rows), *(table(own) for own in parts if own)]
    return "\n".join(lines) + "\n" + "\n\n".join(blocks)


def _accuracy_row(name: str, block: dict[str, Any], n: int | None = None) -> list[str]:
    low, high = block["ci95"]
    return [name, f"{block['accuracy']:.4f}", f"{low:.4f} to {high:.4f}" + ("" if n is None else f"  n {n:,}")]
