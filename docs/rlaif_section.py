"""The section of ai_feedback.md on what people, a judge, or both cost and reach, from figures/rlaif.json."""

import json
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boresight.storage import read_json

RLAIF = Path(__file__).with_name("figures") / "rlaif.json"
WIDTH = 119
PER_COUPLE = ("pairs", "votes", "calls")


def rlaif_section(measured: dict[str, Any]) -> str:
    """Text between the marks of the page."""
    parts = [
        _filled(_what_was_done(measured)),
        measured["table"],
        _filled(_what_came_of_it(measured)),
        _filled(_prices(measured["prices"])),
        "![Accuracy of the reward model against the cost of its labels](figures/rlaif.svg)",
        "Accuracy by kind of prompt, %:",
        measured["by_kind"],
    ]
    return "\n\n".join(parts) + "\n"


def label_plans() -> str:
    """What `boresight plan --labels` goes by: of one couple of responses, means over seeds."""
    measured = read_json(RLAIF)
    arms = [seed["arms"] for seed in measured["seeds"].values()]
    couples = statistics.fmean(arm["all human"]["votes"] for arm in arms)
    ways = {
        name: {key: round(statistics.fmean(arm[name][key] for arm in arms) / couples, 4) for key in PER_COUPLE}
        | {"kept": [round(value, 4) for value in own["of_human"]]}
        for name, own in measured["summary"].items()
    }
    return json.dumps(ways, indent=1) + "\n"


def _what_was_done(measured: dict[str, Any]) -> str:
    share = {name: f"{100 * value:.0f} %" for name, value in measured["faults"].items()}
    return (
        f"`experiments/rlaif.py` labels the same couples of {measured['size']['prompts']:,} prompts of the embedded "
        "example in four ways, trains a reward model from each by one recipe, and lets it choose among eight responses "
        f"to held-out prompts. The judge's faults are planted: {share['position']} of its verdicts go to the first "
        f'place, {share["length"]} to the longer response; where one response begins with "Yes", {share["sycophancy"]} '
        f"go to that in both orders; {share['noise']} of the others are turned round. People err in 3 % of their "
        "votes. Of its votes the hybrid spends 40 % on calibration, by chance, and routes the others. Means over "
        f"{len(measured['seeds'])} seeds with 95 % intervals; accuracy is on held-out couples by exact rules."
    )


def _what_came_of_it(measured: dict[str, Any]) -> str:
    summary, seeds = measured["summary"], measured["seeds"]
    human, hybrid, naive = (summary[name] for name in ("all human", "hybrid", "AI, one order, hard"))
    mixed = [figures["arms"]["hybrid"]["report"]["human_share"] for figures in seeds.values()]
    first, held = next(iter(seeds.values())), [_holds(figures) for figures in seeds.values()]
    low, high = hybrid["above_both"][1:]
    unclear = ", which these seeds cannot tell from none: what the votes buy for certain is an estimate of the error"
    unclear = unclear if low < 0 < high else ""
    return (
        f"The hybrid keeps {_range(hybrid['of_human'])} % of the accuracy of all-human labels, with "
        f"{100 * hybrid['votes'] / human['votes']:.0f} % of the votes; as couples without a label are left out, "
        f"{100 * sum(mixed) / len(mixed):.0f} % of its pairs are by people. Above a judge in both orders alone it is "
        f"{_range(hybrid['above_both'])} points{unclear}. One order, taken at its word, loses "
        f"{_range(naive['below_human'])} points. One response drawn by chance is worth {first['gold_of_one']:.3f}, the "
        f"best of the eight {first['gold_of_best']:.3f}. The audit's interval held the true rate at which people "
        f"disagree with the judge's labels in {sum(held)} of {len(held)} seeds."
    )


def _prices(prices: dict[str, Any]) -> str:
    return (
        f"Cost and hours rest on what is given: {prices['vote_seconds']:.0f} seconds a vote by {prices['people']} "
        f"people at {prices['vote_price']:.2f} USD, and {prices['call_seconds']:.0f} seconds a call, "
        f"{prices['calls_at_once']} at once, at {prices['call_price']:.3f} USD. People begin when the judge is done."
    )


def _holds(figures: dict[str, Any]) -> bool:
    report = figures["arms"]["hybrid"]["report"]
    low, high = report["judge_error"]["ci95"]
    return bool(low <= report["judge_error_of_all"] <= high)


def _range(found: Sequence[float]) -> str:
    value, low, high = (100 * each for each in found)
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
