"""The table of the page on the reward service, from what bench/reward_service.py measured."""

from pathlib import Path

from boresight.storage import read_json

PAGE = Path(__file__).with_name("reward_service.md")
SERVICE = PAGE.parent / "figures" / "reward_service.json"
MARKS = ("<!-- made by docs/generate.py -->\n", "<!-- end -->\n")


def reward_service_page() -> str:
    """The page of the reward service, with its table from what bench/reward_service.py measured."""
    begin, end = MARKS
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    heads = (
        "model",
        "tokens",
        "responses to a prompt",
        "in a request",
        "one by one",
        "in batches",
        "ratio",
        "on the clock",
        "the model alone",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for found in read_json(SERVICE).values():
        rates, ratio = found["responses_per_processor_second"], found["ratio"]
        clock = found["responses_per_second_on_the_clock"]
        cells = (
            found["shape"],
            f"{found['tokens']} + {found['tokens']}" if found["tokens"] else "as of real pairs, about 140 + 80",
            found["responses_per_prompt"],
            found["responses_per_request"],
            f"{rates['one_by_one']:.1f}",
            f"{rates['batched']:.1f}",
            f"{ratio['median']:.1f} ({ratio['lowest']:.1f} to {ratio['highest']:.1f})",
            f"{clock['batched'] / clock['one_by_one']:.1f}",
            f"{found['model_alone']['ratio']:.1f}" if "model_alone" in found else "",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    batched, single = (
        max(found["largest_difference"][name] for found in read_json(SERVICE).values())
        for name in ("batched", "one_by_one")
    )
    if any("model_alone" not in found for found in read_json(SERVICE).values()):
        lines.append("\nRows without the last column were measured on an earlier version of the service.")
    lines.append(f"\nLargest difference from in-process scores: {batched:.1e} in batches, {single:g} one by one.\n")
    return f"{before}{begin}{chr(10).join(lines)}{end}{rest.split(end)[1]}"
