"""People, a judge, or both: what a preference set costs, how long it takes, and what a reward model learns from it.

    python experiments/rlaif.py --json docs/figures/rlaif.json --plot docs/figures/rlaif.svg

On the embedded example, with a judge whose noise, position, length and flattery biases are planted, four ways to label
the same couples are compared over several seeds (experiments/rlaif_arms.py): all by people; a judge with at most 10 %
of labels by people (calibrated, routed, merged); a judge in both orders; a judge in one order, taken at its word. From
each a reward model is trained by the same recipe. Printed and written: cost and hours from the prices and times given,
the reward model's accuracy on held-out couples by kind of prompt, and the exact gold reward of the response it chooses
out of eight.

Every seed is kept in --out and is not done again. Exit code 1 where the hybrid stays below 95 % of the accuracy of all
human labels, or the naive labels are less than 3 points worse than these.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

sys.path.insert(0, str(Path(__file__).parents[1]))

from experiments.rlaif_arms import Arm, arms, gold, gold_pairs
from experiments.rlaif_judge import Faults

from boresight.config.load import load_pipeline
from boresight.config.yaml_text import dump_yaml
from boresight.data.jsonl import read_records, write_records
from boresight.models.roles import build_reward_model
from boresight.pipeline.run import run_pipeline
from boresight.planning.labelling import BOTH, HUMAN, HYBRID, NAIVE, LabelPrices
from boresight.records import Response
from boresight.storage import read_json, write_json, write_text

SHARED = ("base", "demo", "drafts", "finals")
T_QUANTILE = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5 % of Student's t with 1 to 9 degrees of freedom (Fisher & Yates)."""
ARMS = (HUMAN, HYBRID, BOTH, NAIVE)


def build_shared(out: Path, quick: bool) -> Path:
    pipeline = load_pipeline(Path(__file__).with_suffix(".yaml"), quick=quick)
    for stage in SHARED:
        run_pipeline(pipeline, out, only=stage)
    return out / "stages"


class Size(NamedTuple):
    """Prompts (of up to four couples each), share of the couples that people see in the hybrid, so chosen that at most
    a tenth of its pairs are theirs (couples without a label are left out), and passes of a reward model."""

    prompts: int = 800
    human_share: float = 0.07
    epochs: float = 2.0


def figures_of(seed: int, shared: Path, out: Path, size: Size, faults: Faults) -> dict[str, Any]:
    """All arms of one seed; a reward model that was trained in an earlier sitting is taken as it is."""
    known = out / f"seed-{seed}" / "figures.json"
    settings = {**size._asdict(), "faults": asdict(faults)}
    if known.exists() and (found := read_json(known))["settings"] == settings:
        return dict(found)
    drafts = read_records(shared / "drafts" / "responses.jsonl", Response)
    finals = read_records(shared / "finals" / "responses.jsonl", Response)
    folder = out / f"seed-{seed}"
    write_records(folder / "gold.jsonl", gold_pairs(finals, seed))
    measured = {
        name: _measure(arm, finals, shared, folder, name, seed, size.epochs)
        for name, arm in arms(drafts, size.prompts, faults, size.human_share, seed).items()
    }
    golds = _by_prompt(finals)
    result = {
        "settings": settings,
        "arms": measured,
        "gold_of_one": statistics.fmean(gold(response) for response in finals),
        "gold_of_best": statistics.fmean(max(gold(response) for response in group) for group in golds),
    }
    write_json(known, result)
    return result


def _measure(
    arm: Arm, finals: Sequence[Response], shared: Path, folder: Path, name: str, seed: int, epochs: float
) -> dict[str, Any]:
    place = folder / "".join(letter for letter in name if letter.isalpha())
    write_records(place / "pairs.jsonl", arm.pairs)
    model = train_scorer(place, shared / "demo" / "model", folder / "gold.jsonl", seed, epochs)
    certificate = read_json(model.parent / "result.json")["certificate"]["gold"]
    scores = build_reward_model(model).score([r.prompt.messages for r in finals], [r.text for r in finals]).tolist()
    score_of = {response.id: value for response, value in zip(finals, scores, strict=True)}
    chosen = [max(group, key=lambda response: score_of[response.id]) for group in _by_prompt(finals)]
    measured = {
        "pairs": len(arm.pairs),
        "votes": arm.votes,
        "calls": arm.calls,
        "accuracy": certificate["accuracy"],
        "by_kind": {kind: own["accuracy"] for kind, own in certificate["by_kind"].items()},
        "gold": statistics.fmean(gold(response) for response in chosen),
        "report": arm.report,
    }
    print(f"seed {seed}, {name}: {json.dumps(measured)}", file=sys.stderr)
    return measured


def train_scorer(place: Path, start: Path, held_out: Path, seed: int, epochs: float) -> Path:
    """The reward model of these pairs, by the recipe of the example."""
    scorer = {
        "kind": "reward_model", "data": "pairs.jsonl", "held_out": {"gold": str(held_out.resolve())}, "epochs": epochs,
        "learning_rate": 1e-3, "micro_batch_tokens": 1024, "on_empty": "drop", "on_too_long": "drop",
    }  # fmt: skip
    run = {"name": "rlaif", "seed": seed, "threads": 1}
    write_text(
        place / "pipeline.yaml",
        dump_yaml({"run": run, "model": {"path": str(start.resolve())}, "stages": {"scorer": scorer}}),
    )
    return run_pipeline(load_pipeline(place / "pipeline.yaml"), place / "run").folder / "stages" / "scorer" / "model"


def _by_prompt(responses: Sequence[Response]) -> list[list[Response]]:
    groups: dict[str, list[Response]] = {}
    for response in responses:
        groups.setdefault(response.prompt.id, []).append(response)
    return list(groups.values())


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval over seeds, by Student's t."""
    mean = statistics.fmean(values)
    quantile = T_QUANTILE[len(values) - 2] if len(values) <= 10 else 1.96
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def summary_of(by_seed: Mapping[int, Mapping[str, Any]], prices: LabelPrices) -> dict[str, Any]:
    """Of each arm means with intervals over seeds; against all human and against both orders alone, paired."""
    seeds = list(by_seed.values())
    found: dict[str, Any] = {}
    for name in ARMS:
        own = [figures["arms"][name] for figures in seeds]
        human, both = ([figures["arms"][other] for figures in seeds] for other in (HUMAN, BOTH))
        kinds = sorted(set().union(*(arm["by_kind"] for arm in own)))
        found[name] = {
            "pairs": statistics.fmean(arm["pairs"] for arm in own),
            "votes": statistics.fmean(arm["votes"] for arm in own),
            "usd": statistics.fmean(prices.cost(votes=arm["votes"], calls=arm["calls"]) for arm in own),
            "hours": statistics.fmean(prices.hours(votes=arm["votes"], calls=arm["calls"]) for arm in own),
            "accuracy": interval([arm["accuracy"] for arm in own]),
            "gold": interval([arm["gold"] for arm in own]),
            "by_kind": {kind: interval([arm["by_kind"][kind] for arm in own]) for kind in kinds},
            "of_human": interval([a["accuracy"] / b["accuracy"] for a, b in zip(own, human, strict=True)]),
            "above_both": interval([a["accuracy"] - b["accuracy"] for a, b in zip(own, both, strict=True)]),
            "below_human": interval([b["accuracy"] - a["accuracy"] for a, b in zip(own, human, strict=True)]),
        }
    return found


def faults_of(summary: Mapping[str, Any]) -> list[str]:
    """Promises that do not hold on the mean over seeds."""
    found = []
    if (kept := summary[HYBRID]["of_human"][0]) < 0.95:
        found.append(f"hybrid: {kept:.1%} of the accuracy of all human labels; promised are 95 %")
    if (lost := summary[NAIVE]["below_human"][0]) < 0.03:
        found.append(f"one order, hard: {100 * lost:.1f} points below all human labels; promised are at least 3")
    return found


def tables(summary: Mapping[str, Any]) -> tuple[str, str]:
    """Markdown: what each way costs and reaches, and its accuracy by kind of prompt."""
    lines = [
        "| labels | votes | cost, USD | hours | pairs | accuracy % | % of human | gold reward, best of 8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, own in summary.items():
        accuracy, share = (_percent(own[key]) for key in ("accuracy", "of_human"))
        value, low, high = own["gold"]
        lines.append(
            f"| {name} | {own['votes']:,.0f} | {own['usd']:,.0f} | {own['hours']:.1f} | {own['pairs']:,.0f} "
            f"| {accuracy} | {share} | {value:.3f} ({low:.3f} to {high:.3f}) |"
        )
    kinds = list(next(iter(summary.values()))["by_kind"])
    rows = [f"| labels | {' | '.join(kind.replace('_', ' ') for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    rows += [f"| {name} | {' | '.join(_percent(own['by_kind'][k]) for k in kinds)} |" for name, own in summary.items()]
    return "\n".join(lines), "\n".join(rows)


def _percent(found: Sequence[float]) -> str:
    value, low, high = (100 * each for each in found)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def plot(summary: Mapping[str, Any], path: Path) -> None:
    """Accuracy of the reward model against what its labels cost."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "rlaif"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7.0, 4.2))
    for name, own in summary.items():
        value, low, high = (100 * each for each in own["accuracy"])
        axes.errorbar(own["usd"], value, yerr=[[value - low], [high - value]], fmt="o", capsize=4)
        side = {"xytext": (-8, -14), "ha": "right"} if name == NAIVE else {"xytext": (8, 6)}
        axes.annotate(name, (own["usd"], value), textcoords="offset points", **side)
    axes.set_xscale("log")
    axes.set_xlabel("cost of the labels, USD")
    axes.set_ylabel("reward model: accuracy on held-out couples, %")
    axes.margins(x=0.35, y=0.15)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", type=Path, default=Path("runs/rlaif"))
    parser.add_argument("--json", type=Path, default=None, help="also write the figures here (docs/generate.py reads)")
    parser.add_argument("--plot", type=Path, default=None, help="also draw them here, as SVG")
    parser.add_argument("--quick", action="store_true", help="a smoke test: models of no use, few prompts")
    for name, value in LabelPrices()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    if len(set(options.seeds)) < 2:
        parser.error("--seeds: give at least two; the intervals rest on them")
    prices = LabelPrices(**{name: getattr(options, name) for name in LabelPrices._fields})
    size = Size(prompts=60, human_share=0.6, epochs=0.5) if options.quick else Size()

    shared = build_shared(options.out / "shared", options.quick)
    by_seed = {seed: figures_of(seed, shared, options.out, size, Faults()) for seed in options.seeds}
    summary = summary_of(by_seed, prices)
    what, by_kind = tables(summary)
    print(f"{what}\n\n{by_kind}")
    broken = faults_of(summary)
    if options.json:
        write_json(options.json, {"prices": prices._asdict(), "faults": asdict(Faults()), "size": size._asdict(),
                                  "seeds": by_seed, "summary": summary, "table": what, "by_kind": by_kind,
                                  "not_held": broken})  # fmt: skip
    if options.plot:
        plot(summary, options.plot)
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
