"""Win rates as text for a person: a line a candidate, parts of the prompts, ratings."""

from typing import Any

from boresight.tables import Block, Table


def blocks_of(result: dict[str, Any], margin: float) -> list[Block]:
    """One line a candidate, then parts of the prompts and ratings."""
    head = [
        "candidate",
        "n",
        "win rate %",
        "95 %",
        "length-controlled",
        "won",
        "lost",
        "tied",
        "chars",
        "distinct",
        "p",
    ]
    rows = [head, *(_standing(block) for block in result["files"])]
    against = sorted({block["baseline"] for block in result["files"]})
    needed = [block["prompts_needed"] for block in result["files"] if block["prompts_needed"] is not None]
    text = f"  against {', '.join(against)}; p corrected for {len(result['files'])} comparisons"
    if needed:
        text += f"; {50 + margin:g} % is told from 50 % with {max(needed):,} prompts"
    for block in result["files"]:
        if tainted := block["contamination"]:
            text += f"\n  {block['candidate']}: {_contaminated(tainted)}"
    blocks: list[Block] = [Table(rows, right=range(1, len(head))), text]
    for key, title in (("by_category", "category"), ("by_kind", "kind")):
        blocks += _parts(result["files"], key, title)
    if result.get("ratings"):
        rated = [
            [one["model"], f"{one['elo']:+.0f}", f"{one['ci95'][0]:+.0f} to {one['ci95'][1]:+.0f}"]
            for one in result["ratings"]
        ]
        blocks.append(Table([["rating", "Elo", "95 %"], *rated], right=(1, 2)))
    elif "ratings_reason" in result:
        blocks.append(f"  no ratings: {result['ratings_reason']}")
    return blocks


def _contaminated(tainted: dict[str, Any]) -> str:
    if not tainted["looked_for"]:
        return "the file does not tell its prompts; give --questions"
    found = f"{tainted['exact'] + tainted['near']:,} of {tainted['looked_for']:,} prompts stand in the training data"
    rest = tainted["without"]
    return found + (f"; {rest['win_rate']:.2f} % without them" if rest["n"] else "")


def _parts(blocks: list[dict[str, Any]], key: str, title: str) -> list[Block]:
    """One line a part, one column a candidate: win rate with the half of its interval."""
    parts = sorted({part for block in blocks for part in block[key]})
    if not parts:
        return []
    rows = [[title, *(block["candidate"] for block in blocks)]]
    rows += [[part, *(_part(block[key].get(part)) for block in blocks)] for part in parts]
    return [Table(rows, right=range(1, len(blocks) + 1))]


def _part(block: dict[str, Any] | None) -> str:
    return "-" if block is None else f"{block['win_rate']:.1f} ± {(block['ci95'][1] - block['ci95'][0]) / 2:.1f}"


def _standing(block: dict[str, Any]) -> list[str]:
    low, high = block["ci95"]
    controlled, error = block["length_controlled_win_rate"], block["length_controlled_standard_error"]
    return [
        block["candidate"],
        f"{block['n']:,}",
        f"{block['win_rate']:.2f}",
        f"{low:.2f} to {high:.2f}",
        "-" if controlled is None else f"{controlled:.2f} ± {1.96 * error:.2f}",
        *(f"{block[key]:,}" for key in ("wins", "losses", "ties")),
        *("-" if block[key] is None else f"{block[key]:,}" for key in ("mean_chars", "distinct_responses")),
        f"{block['permutation_p_holm']:.2g}",
    ]
