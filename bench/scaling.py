"""How cost grows: seconds and memory of training against one quantity at a time.

    python bench/scaling.py --peer PEER/bin/python --json docs/figures/scaling.json --plot docs/figures/scaling.svg
    python bench/scaling.py --sweeps prompt response          # ours alone

Each point is a process of its own (bench/train.py, and bench/peer_trl.py where a peer is given), one thread, on pairs
of equal lengths. Beside the points stand the exponent of the best power law (1: linear) and the slope of the best line.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from versus_trl import run
from work import SHAPES, make_pairs, make_tokenizer

HERE = Path(__file__).parent
METHOD = "dpo"
PAIRS = 16
RESPONSE, PROMPT = 64, 64


class Sweep(NamedTuple):
    """What is varied, over which values, and what the horizontal axis shows."""

    title: str
    values: tuple[Any, ...]
    axis: str  # a figure of the JSON line
    beside: bool  # whether TRL is measured too


SWEEPS = {
    "prompt": Sweep("prompt length, tokens", (64, 128, 256, 512), "prompt_tokens", True),
    "response": Sweep("response length, tokens", (32, 64, 128, 256), "response_tokens", True),
    "vocabulary": Sweep("vocabulary, entries", (4096, 16384, 65536), "vocabulary", True),
    "batch": Sweep("batch size, pairs", (2, 4, 8, 16), "batch_size", False),
    "model": Sweep("model, parameters", tuple(SHAPES), "parameters", False),
}
BYTES_PER_PARAMETER = 4 + 4 + 8 + 4  # weights, gradient, two moments of Adam, and the reference's weights


def point(sweep: str, value: Any, folder: Path, peer: str | None) -> dict[str, Any]:
    """One JSON line, of ours or of the peer's, for one value of what is varied."""
    shape = value if sweep == "model" else "tiny"
    work = folder / f"{sweep}-{value}"
    work.mkdir(exist_ok=True)
    if not (work / "pairs.jsonl").exists():
        tokenizer = make_tokenizer(shape)
        tokenizer.save_pretrained(work / "tokenizer")
        lengths = {
            "prompt_tokens": value if sweep == "prompt" else PROMPT,
            "response_tokens": value if sweep == "response" else RESPONSE,
        }
        pairs = make_pairs(tokenizer, PAIRS, **lengths)
        (work / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    command = ["--method", METHOD, "--make-model", shape, "--tokenizer", str(work / "tokenizer")]
    command += ["--data", str(work / "pairs.jsonl"), "--examples", str(PAIRS), "--dtype", "bfloat16"]
    command += ["--batch-size", str(value if sweep == "batch" else 8)]
    if sweep == "vocabulary":
        command += ["--vocabulary", str(value)]
    program = [peer, str(HERE / "peer_trl.py")] if peer else [sys.executable, str(HERE / "train.py")]
    return run([*program, *command])


def measure(name: str, folder: Path, peer: str | None, rounds: int) -> dict[str, Any]:
    """Points of ours and perhaps of TRL's, each the median of some rounds; the two take turns."""
    sweep = SWEEPS[name]
    found: dict[str, Any] = {"title": sweep.title, "method": METHOD, "pairs": PAIRS, "x": []}
    sides = {"ours": None} | ({"peer": peer} if peer and sweep.beside else {})
    for side in sides:
        found[side] = {"seconds_per_pair": [], "peak_mb": [], "beyond_weights_mb": []}
    for value in sweep.values:
        lines: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side, program in sides.items():
                lines[side].append(point(name, value, folder, program))
        first = lines["ours"][0]
        found["x"].append(value if sweep.axis in ("vocabulary", "batch_size") else first[sweep.axis])
        weights = first["parameters"] * BYTES_PER_PARAMETER / 2**20
        for side, own in lines.items():
            peak = float(np.median([line["peak_rss_mb"] for line in own]))
            found[side]["seconds_per_pair"].append(float(np.median([line["cpu_s"] for line in own])) / PAIRS)
            found[side]["peak_mb"].append(peak)
            found[side]["beyond_weights_mb"].append(peak - weights)
        print(f"{name} {value}: " + describe(found), file=sys.stderr)
    for side in sides:
        found[side] |= growth(found["x"], found[side]["seconds_per_pair"])
    return found


def describe(found: Mapping[str, Any]) -> str:
    parts = []
    for side in ("ours", "peer"):
        if side in found:
            seconds, peak = found[side]["seconds_per_pair"][-1], found[side]["peak_mb"][-1]
            parts.append(f"{side} {seconds:.3f} s a pair, {peak:.0f} MB")
    return "; ".join(parts)


def growth(x: Sequence[float], y: Sequence[float]) -> dict[str, float]:
    """Exponent of the best power law; slope of the best line, and how far the points lie from it at most (a share)."""
    slope, offset = np.polyfit(x, y, 1)
    fitted = slope * np.asarray(x) + offset
    return {
        "exponent": float(np.polyfit(np.log(x), np.log(y), 1)[0]),
        "slope": float(slope),
        "off_the_line": float(np.max(np.abs(fitted / np.asarray(y) - 1))),
    }


def plot(measured: Mapping[str, Any], path: Path) -> None:
    """Seconds a pair above, memory below, a column for each sweep."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "scaling"  # equal figures, equal bytes
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(2, len(measured), figsize=(3.2 * len(measured), 5.4), squeeze=False)
    for (above, below), found in zip(rows.T, measured.values(), strict=True):
        for side, label in (("ours", "Boresight"), ("peer", "TRL")):
            if side in found:
                above.plot(found["x"], found[side]["seconds_per_pair"], marker="o", label=label)
                below.plot(found["x"], found[side]["peak_mb"], marker="o", label=label)
        for axes in (above, below):
            axes.set_ylim(0, 1.08 * max(value for line in axes.lines for value in line.get_ydata()))
            axes.grid(alpha=0.3)
        below.set_xlabel(found["title"])
    rows[0, 0].set_ylabel("processor seconds a pair")
    rows[1, 0].set_ylabel("peak memory, MB")
    rows[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", nargs="+", choices=list(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--peer", help="a Python that has TRL; without it ours alone is measured")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each point, of which the median is taken")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="write a picture (SVG) here")
    options = parser.parse_args()
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.sweeps:
            measured[name] = found = measure(name, Path(folder), options.peer, options.rounds)
            for side in ("ours", "peer"):
                if side in found:
                    fit = found[side]
                    print(f"{name:10} {side:4} exponent {fit['exponent']:.2f}, off the line {fit['off_the_line']:.0%}")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
