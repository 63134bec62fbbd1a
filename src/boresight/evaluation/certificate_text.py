"""A reward model's certificate as text for a person."""

from typing import Any

from boresight.evaluation.reward_certificate import PARTS
from boresight.tables import Block, Table


def blocks_of(result: dict[str, Any]) -> list[Block]:
    """Verdict first, then the figures and the parts."""
    head = f"{result['file']}: {result['verdict']['level']}, {result['n']:,} pairs"
    if result["ties"]:
        head += f" and {result['ties']:,} ties, which have no right order"
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
    tables = [Table(own, headed=False) for own in (rows, *parts, *_more_rows(result)) if own]
    return ["\n".join(lines), *tables]


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
