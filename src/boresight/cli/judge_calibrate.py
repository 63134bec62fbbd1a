"""`boresight judge calibrate`: a judge, or a jury of them, held against people, and corrected by them."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from boresight.feedback.calibration import Calibration, Labelled
    from boresight.feedback.jury import Method

JuryMethod = Annotated[
    Literal["mean", "majority", "dawid_skene"],
    typer.Option("--jury", help="How several judges are combined."),
]


def calibrate(
    judged: Annotated[
        list[Path], typer.Argument(metavar="JUDGED...", help="Judged couples (`judge label --judged`), a file a judge.")
    ],
    human: Annotated[
        list[Path] | None, typer.Option("--human", metavar="FILE", help="People's labels of the same couples.")
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option("--verdicts", metavar="FILE", help="A judge's verdicts on a published set, by idx.")
    ] = None,
    jury: JuryMethod = "mean",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the calibration here, to apply it.")
    ] = None,
    audit: Annotated[int, typer.Option("--audit", min=0, help="Couples kept in it, to see drift by.")] = 40,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="The model that is to be trained, for its family.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of folds, bootstrap and the couples kept.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Hold a judge against people, and learn how sure its verdicts really are.

    Told are agreement and Cohen's kappa with intervals, accuracy in both orders, what the judge prefers (place, length
    and its own family, these two beyond what people do), where it errs, and how well its probabilities are calibrated.
    The map from its probability to people's (Platt's, the same with length, or isotonic) is the one with the least log
    loss on prompts it was not fitted to. --human takes preference pairs in any form that is known, matched by their
    texts; of several judges each is told alone, then the jury. LLMBar's, JudgeBench's and PandaLM's files are read as
    published.

    \b
    Example:
      boresight judge calibrate judged.jsonl --human people.jsonl --out calibration.json
      boresight judge calibrate gpt.jsonl qwen.jsonl llama.jsonl --human people.jsonl --jury dawid_skene --out jury.json
      boresight judge calibrate testset-v1.json --verdicts gpt-3.5-turbo.json
    """
    from boresight.evaluation.published_verdicts import is_published
    from boresight.feedback.calibration import save_calibration

    if is_published(judged[0]):
        if len(judged) > 1 or human:
            raise typer.BadParameter("a published set holds people's labels itself; give it alone", param_hint="JUDGED")
        result, made = _of_published(judged[0], verdicts, seed=seed, audit=audit, policy=policy)
    else:
        if not human or verdicts:
            raise typer.BadParameter("judged couples take --human FILE, and no --verdicts", param_hint="--human")
        result, made = _of_judged(judged, human, jury, seed=seed, audit=audit, policy=policy)
    if out is not None:
        if made is None:
            raise typer.BadParameter("too few couples to fit a calibration; nothing was written", param_hint="--out")
        save_calibration(made, out)
        result["out"] = str(out)
    print(json.dumps(result, ensure_ascii=False) if as_json else calibration_text(result))
    for warning in result["warnings"]:
        print(f"WARNING: {warning}", file=sys.stderr)


def _of_published(path: Path, verdicts: Path | None, **options: Any) -> tuple[dict[str, Any], "Calibration | None"]:
    from boresight.evaluation.published_verdicts import read_published
    from boresight.feedback.calibration_report import calibration_report
    from boresight.storage import hash_file

    labelled = read_published(path, verdicts)
    hashes = {"judged_sha256": hash_file(verdicts or path), "human_sha256": hash_file(path)}
    return calibration_report(labelled, {"judge": (verdicts or path).name}, hashes, **options)


def _of_judged(
    paths: list[Path], human: list[Path], method: "Method", **options: Any
) -> tuple[dict[str, Any], "Calibration | None"]:
    from boresight.feedback.calibration_report import calibration_report
    from boresight.feedback.human_votes import matched, read_human_votes
    from boresight.feedback.judged_couples import read_judged_couples
    from boresight.feedback.jury import seat_jury

    files, people = [read_judged_couples(path) for path in paths], read_human_votes(human)
    names = {"people": ", ".join(map(str, human)), "judged": ", ".join(map(str, paths))}

    def labelled(couples: Any) -> "Labelled":
        return matched(couples, people, names)

    jury = seat_jury(files, method)
    hashes = {"judged_sha256": [file.sha256 for file in files], "human_sha256": people.sha256}
    result, made = calibration_report(labelled(jury.couples), jury.judge, hashes, **options)
    result["unmatched"] = {
        "judged": sum(people.of(couple) is None for couple in jury.couples),
        "people": people.unmatched(jury.couples),
    }
    if len(files) > 1:
        alone = [calibration_report(labelled(file.couples), file.judge, {}, **options).figures for file in files]
        result["judges"] = [{key: value for key, value in one.items() if key != "data"} for one in alone]
        result["orders"] = None  # of the jury: each judge's stand with it
    return result, made


def calibration_text(result: dict[str, Any]) -> str:
    """Agreement, order, preferences, slices and calibration as tables; of a jury, its judges in one table first."""
    from boresight.tables import table

    agreement = result["agreement"]
    parts = [f"{agreement['n']:,} couples of {agreement['prompts']:,} prompts that judge and people labelled"]
    if "unmatched" in result:
        parts[0] += f" ({result['unmatched']['judged']:,} judged, {result['unmatched']['people']:,} by people alone)"
    if judges := result.get("judges"):
        rows = [["judge", "accuracy %", "kappa", "label error %"]]
        for one in [*judges, result]:
            name, own = one["judge"].get("judge", f"jury ({one['judge'].get('jury')})"), one["agreement"]
            error = "-" if own["label_error"] is None else _percent(own["label_error"])
            rows.append([str(name), _percent(own["accuracy"]), _number(own["cohen_kappa"]), error])
        parts.append(table(rows, right=(1, 2, 3)))
    parts.append(table(_agreement_rows(result), right=(1,)))
    for name, slices in result["slices"].items():
        rows = [[name, "n", "accuracy %", "95 %", "no label %"]]
        rows += [
            [value, f"{s['n']:,}", _percent(s["accuracy"]), _bounds(s["ci95"]), _percent(s["no_label"])]
            for value, s in slices.items()
        ]
        parts.append(table(rows, right=(1, 2, 4)))
    if found := result["calibration"]:
        rows = [["out of fold", "log loss", "Brier", "ECE"], ["as it is", *_losses(found["uncorrected"])]]
        rows += [[name + (" (chosen)" * (name == found["chosen"])), *_losses(f)] for name, f in found["maps"].items()]
        parts.append(table(rows, right=(1, 2, 3)))
    return "\n\n".join(parts) + (f"\n\n{result['out']}" if "out" in result else "")


def _agreement_rows(result: dict[str, Any]) -> list[list[str]]:
    own = result["agreement"]
    rows = [
        ["agrees with people, %", _percent(own["accuracy"]), _bounds(own["ci95"])],
        ["Cohen's kappa", _number(own["cohen_kappa"]), _plain_bounds(own["kappa_ci95"])],
        ["makes no label, %", _percent(own["no_label"]), ""],
    ]
    if own["label_error"] is not None:
        rows.append(
            ["labels that people disagree with, %", _percent(own["label_error"]), _bounds(own["label_error_ci95"])]
        )
    orders = result["orders"] or {}
    for key, words in (("accuracy_given_order", "right, as listed, %"), ("accuracy_swapped", "right, swapped, %"),
                       ("correct_in_both", "right in both, %"), ("same_verdict_in_both", "same word in both, %"),
                       ("first_position_rate", "for the first place, %"), ("unparsable", "no verdict, %")):  # fmt: skip
        if orders.get(key) is not None:
            rows.append([words, _percent(orders[key]), ""])
    for key, words in (("position", "effect of the first place"), ("length", "effect of length"),
                       ("self_preference", "effect of its own family")):  # fmt: skip
        if (effect := result["effects"][key]) is not None:
            rows.append([words, _number(effect["effect"]), _plain_bounds(effect["effect_ci95"])])
    return rows


def _losses(figures: dict[str, float]) -> list[str]:
    return [f"{figures[key]:.4f}" for key in ("nll", "brier", "ece")]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _bounds(bounds: list[float]) -> str:
    return f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def _plain_bounds(bounds: list[float | None]) -> str:
    low, high = bounds
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
