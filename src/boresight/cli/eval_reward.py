"""`boresight eval reward`: a reward model's certificate, from its folder or from a file of its scores."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from boresight.evaluation.best_of_n import Sampled
    from boresight.evaluation.reward_members import Scores
    from boresight.records import PreferencePair


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
    from boresight.evaluation.reward_certificate import certify_fully, contrast_pairs

    if write_contrast is not None:
        _write_pairs(write_contrast, contrast_pairs())
        return
    if model is None or (pairs is None and model.is_dir()):
        raise typer.BadParameter("give a reward model, or a file of its scores, and held-out pairs")
    held_out, dropped, learnt, scored = _inputs(model, pairs, training)
    more = _more(model, held_out, scored, others or [], before, sampled, contrast)
    result = certify_fully(held_out, *scored.scores, training=learnt, padding_invariant=scored.invariant, more=more)
    result = {"file": str(pairs or model), "dropped": dropped, **result}
    print(json.dumps(result, ensure_ascii=False) if as_json else certificate_text(result))


class _Scored:
    """Scores of the pairs, and what only a model's folder tells: padding and contrast pairs."""

    def __init__(self, scores: "Scores", invariant: bool | None = None, contrast: dict[str, Any] | None = None) -> None:
        self.scores, self.invariant, self.contrast = scores, invariant, contrast


def _inputs(
    model: Path, pairs: Path | None, training: Path | None
) -> "tuple[list[PreferencePair], dict[str, int], list[PreferencePair] | None, _Scored]":
    """Held-out pairs, how many were left out, the training pairs, and the scores."""
    from boresight.data.readers import PairFile, read_pairs
    from boresight.evaluation.reward_certificate import contrast_pairs, contrasts
    from boresight.evaluation.reward_members import Scores
    from boresight.evaluation.score_files import read_scored_pairs

    def read(path: Path) -> PairFile:
        return read_pairs(path, on_identical="drop", on_empty="drop", on_context_differs="drop")

    learnt = read(training).pairs if training else None
    if pairs is None:
        held, chosen, rejected = read_scored_pairs(model)
        return held, {}, learnt, _Scored(Scores.of(chosen, rejected))
    held_out = read(pairs)
    if not model.is_dir():
        return held_out.pairs, held_out.dropped, learnt, _Scored(_scores_of(model, held_out.pairs))
    from boresight.evaluation.reward_scoring import fitting, open_scorer, score_pairs_with

    scorer = open_scorer(model)
    chosen, rejected, invariant = score_pairs_with(scorer, held_out.pairs)
    asked = fitting(scorer, contrast_pairs())
    found = contrasts(asked, *score_pairs_with(scorer, asked)[:2]) if asked else None
    return held_out.pairs, held_out.dropped, learnt, _Scored(Scores.of(chosen, rejected), invariant, found)


def _more(
    model: Path,
    held_out: "list[PreferencePair]",
    scored: _Scored,
    others: list[Path],
    before: Path | None,
    sampled: Path | None,
    contrast: Path | None,
) -> dict[str, Any]:
    """The blocks that were asked for; None for the others."""
    from boresight.evaluation.best_of_n import best_of_n
    from boresight.evaluation.reward_certificate import contrast_pairs, contrasts
    from boresight.evaluation.reward_members import ensemble, score_drift
    from boresight.evaluation.score_files import read_scores

    more: dict[str, Any] = {"contrast": scored.contrast, "best_of_n": None, "ensemble": None, "drift": None}
    if contrast is not None:
        more["contrast"] = contrasts(contrast_pairs(), *read_scores(contrast, contrast_pairs()))
    if others:
        named = {str(model): scored.scores} | {str(other): _scores_of(other, held_out) for other in others}
        more["ensemble"] = ensemble(held_out, named)
    if before is not None:
        more["drift"] = score_drift(held_out, _scores_of(before, held_out), scored.scores)
    if sampled is not None:
        more["best_of_n"] = best_of_n(_sampled(model, sampled))
    return more


def _scores_of(place: Path, pairs: "Sequence[PreferencePair]") -> "Scores":
    from boresight.evaluation.reward_members import Scores
    from boresight.evaluation.score_files import read_scores

    if not place.is_dir():
        return Scores.of(*read_scores(place, pairs))
    from boresight.evaluation.reward_scoring import open_scorer, score_pairs_with

    return Scores.of(*score_pairs_with(open_scorer(place), pairs)[:2])


def _sampled(model: Path, file: Path) -> "list[Sampled]":
    """Responses with scores: those of the file, or the model's where one is given as a folder."""
    from boresight.evaluation.best_of_n import read_sampled

    sampled = read_sampled(file)
    if not model.is_dir():
        return sampled
    from boresight.evaluation.reward_scoring import open_scorer, score_sampled

    return score_sampled(open_scorer(model), sampled)


def _write_pairs(path: Path, pairs: "Sequence[PreferencePair]") -> None:
    from boresight.data.jsonl import write_records

    write_records(path, pairs)
    print(f"{path}: {len(pairs)} pairs")


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
    blocks = [table(rows), *(table(own) for own in (*parts, *_more_rows(result)) if own)]
    return "\n".join(lines) + "\n" + "\n\n".join(blocks)


def _more_rows(result: dict[str, Any]) -> list[list[list[str]]]:
    """Rows of the blocks that were asked for."""
    contrast, bench, members = result["contrast"], result["reward_bench"], result["ensemble"]
    drift, best = result["drift"], result["best_of_n"]
    tables = []
    if bench:
        rows = [
            [f"RewardBench: {n}", f"{own['accuracy']:.4f}", f"n {own['n']:,}"] for n, own in bench["sections"].items()
        ]
        tables.append([*rows, ["RewardBench", "-" if bench["score"] is None else f"{bench['score']:.4f}", ""]])
    if contrast:
        tables.append([_accuracy_row(f"contrast: {n}", own, own["n"]) for n, own in contrast["by_kind"].items()])
    if members:
        named = {**members["members"], "mean of members": members["mean"], "lowest of members": members["lowest"]}
        rows = [_accuracy_row(f"ensemble: {name}", own) for name, own in named.items()]
        split = {name: own for name, own in members["agreement"].items() if own["n"]}
        tables.append([*rows, *(_accuracy_row(f"  members {n}", own, own["n"]) for n, own in split.items())])
    if drift:
        keys = ("mean_shift", "scale", "correlation", "flipped", "only_before_right", "only_now_right", "p")
        tables.append([[f"drift: {key}", "-" if drift[key] is None else f"{drift[key]:.4g}", ""] for key in keys])
    if best:
        curve = [
            [
                f"best of {p['n']}",
                f"{p['score']:.4f}",
                f"gold {p['gold']:.4f}",
                f"{p['ci95'][0]:.4f} to {p['ci95'][1]:.4f}",
            ]
            for p in best["curve"]
        ]
        tables.append(curve)
    return tables


def _accuracy_row(name: str, block: dict[str, Any], n: int | None = None) -> list[str]:
    low, high = block["ci95"]
    return [name, f"{block['accuracy']:.4f}", f"{low:.4f} to {high:.4f}" + ("" if n is None else f"  n {n:,}")]
