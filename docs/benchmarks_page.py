"""The page of benchmarks, from the figures that `make bench` measured; what was not measured has no section."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from boresight.storage import read_json

FIGURES = Path(__file__).parent / "figures"
VERSUS, PPO, SAME_LOSSES, SCALING, MEMORY, SPARED, ROLLOUT, TRAPS, TIME = (
    FIGURES / f"{name}.json"
    for name in (
        "versus_trl",
        "versus_trl_ppo",
        "same_losses",
        "scaling",
        "memory",
        "spared_memory",
        "rollout",
        "traps",
        "time_shares",
    )
)
Figures = Mapping[str, Any]


def benchmarks_page() -> str:
    lines = [
        "# Benchmarks",
        "",
        "Made by `docs/generate.py` from figures that `make bench` measures: processes of one thread each, in turn, on",
        "the same pairs, random weights and settings. Seconds are processor seconds.",
        *_versus(read_json(VERSUS)),
    ]
    sections = (
        (PPO, _ppo), (SAME_LOSSES, _same_losses), (SCALING, _growth), (MEMORY, _memory), (SPARED, _spared),
        (ROLLOUT, _rollout), (TRAPS, _traps), (TIME, _time),
    )  # fmt: skip
    for path, section in sections:
        if path.exists():
            lines += section(read_json(path))
    return "\n".join(lines) + "\n"


def _versus(measured: Figures) -> list[str]:
    first = next(iter(measured.values()))
    formats = dict.fromkeys(key.split("/")[3] for key in measured)
    lines = [
        "",
        "## Beside TRL",
        "",
        "A ratio is TRL's figure over ours within a round, median (lowest to highest); above 1 ours is the faster or",
        "the leaner. The reference pass of DPO is counted on both sides. `tuned` is TRL as a competent user sets it on",
        "a CPU, `default` as it comes; tokens a pass are ours (`micro_batch_tokens`). Utilisation is the share of the",
        "time that the floor's arithmetic alone (each prompt once, the vocabulary at response tokens, no padding)",
        "takes at the speed of the fastest matrix product, which is measured after each run. What was measured on",
        "several days has a row for each: the processors were shared ones, whose speed changes.",
        "",
        f"{first['library']}. {'; '.join(_machine(measured, dtype) for dtype in formats)}.",
        "",
        "| method | model | TRL's settings | format | examples | tokens a pass | rounds | seconds TRL / ours | speed "
        "| peak MB TRL / ours | memory | utilisation TRL / ours | date |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, entry in measured.items():
        method, model, setting, dtype, day = key.split("/")
        cpu, peak = entry["cpu_s"], entry["peak_rss_mb"]
        lines.append(
            f"| {method} | {model} | {setting} | {dtype} | {entry['examples']} | {entry['pass_tokens']} "
            f"| {entry['rounds']} "
            f"| {cpu['peer']:.1f} / {cpu['ours']:.1f} | {_ratio(cpu)} | {peak['peer']:.0f} / {peak['ours']:.0f} "
            f"| {_ratio(peak)} | {entry['peer_utilisation']:.2f} / {entry['utilisation']:.2f} "
            f"| {day} |"
        )
    return lines


def _machine(measured: Figures, dtype: str) -> str:
    rows = [entry for key, entry in measured.items() if key.split("/")[3] == dtype]
    days = sorted({entry["date"] for entry in rows})
    speeds = [statistics.median(e["gemm_gflop_per_s"] for e in rows if e["date"] == day) for day in days]
    by_day = ", ".join(f"{speed:.0f} GFLOP/s on {day}" for day, speed in zip(days, speeds, strict=True))
    machine = rows[0]["machine"]
    return f"{dtype}: processor {machine['processor']}, {machine['cores']} cores, one thread: {by_day}"


def _ratio(figure: Figures) -> str:
    return _range(figure["ratio"])


def _range(ratio: Sequence[float]) -> str:
    median, low, high = ratio
    return f"**{median:.2f}** ({low:.2f} to {high:.2f})"


def _ppo(measured: Figures) -> list[str]:
    first = next(iter(measured.values()))
    lines = [
        "",
        "## PPO beside the last TRL that had it",
        "",
        "Four roles with random weights, rollouts of 8 prompts, one minibatch; generation, scoring and updates are in",
        "the clock (`bench/versus_trl_ppo.py`). TRL trains all weights of four models, as `separate` does here;",
        "`shared` trains adapters on one frozen base, `one_trunk` reads the values off the policy's states: another",
        "method for less work.",
        "",
        f"{first['library']}; {first['machine']['cores']} cores, one thread; {first['date']}.",
        "",
        "| model | roles | new tokens, epochs | rounds | seconds TRL / ours | speed | peak MB TRL / ours | memory "
        "| generation, scoring, update |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for key, entry in measured.items():
        peer = entry["trl"]
        for layout, own in entry["layouts"].items():
            shares = ", ".join(f"{share:.0%}" for share in own["shares"].values())
            lines.append(
                f"| {key.split('/')[0]} | {layout} | {entry['response_length']}, {entry['ppo_epochs']} "
                f"| {entry['rounds']} | {peer['cpu_s']:.1f} / {own['cpu_s']:.1f} | {_range(own['speed'])} "
                f"| {peer['peak_rss_mb']:.0f} / {own['peak_rss_mb']:.0f} | {_range(own['memory'])} | {shares} |"
            )
    for key, entry in measured.items():
        shared, sft = entry["layouts"]["shared"]["peak_rss_mb"], entry["sft_with_adapters"]["peak_rss_mb"]
        lines += [
            "",
            f"Shared PPO of {key.split('/')[0]} takes {shared:.0f} MB at its peak, SFT with adapters on as many tokens",
            f"an update {sft:.0f} MB: {entry['shared_over_sft']:.2f} times that.",
        ]
    return lines


def _same_losses(found: Figures) -> list[str]:
    first = next(iter(found.values()))
    lines = [
        "",
        "## The same losses",
        "",
        f"The first {len(first['ours'])} steps in float32 from the same weights on the same examples in the same",
        f"order, beside {first['library']} (`bench/same_losses.py`).",
        "",
        "| method | first loss, ours / TRL | last loss | largest difference of a step |",
        "|---|---|---|---|",
    ]
    for method, both in found.items():
        pairs = [f"{both['ours'][at]:.4f} / {both['peer'][at]:.4f}" for at in (0, -1)]
        lines.append(f"| {method} | {pairs[0]} | {pairs[1]} | {both['largest']:.1e} |")
    return lines


def _growth(measured: Figures) -> list[str]:
    first = next(iter(measured.values()))
    lines = [
        "",
        "## Growth",
        "",
        f"{first['method'].upper()} on {first['pairs']} pairs of equal lengths, one quantity varied at a time",
        "(`bench/scaling.py`). The exponent is that of the best power law (1: linear); memory beyond weights is the",
        "peak less weights, gradient, moments and the reference's weights in float32.",
        "",
        "![seconds a pair and peak memory against what is varied](figures/scaling.svg)",
        "",
        "| varied | from / to | | seconds a pair | exponent | slope, ms | MB beyond weights |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in measured.values():
        for side, name in (("ours", "Boresight"), ("peer", "TRL")):
            if side in found:
                own, x = found[side], found["x"]
                seconds, beyond = own["seconds_per_pair"], own["beyond_weights_mb"]
                lines.append(
                    f"| {found['title']} | {x[0]:.0f} / {x[-1]:.0f} | {name} | {seconds[0]:.3f} / {seconds[-1]:.3f} "
                    f"| {own['exponent']:.2f} | {1000 * own['slope']:.3g} | {beyond[0]:.0f} / {beyond[-1]:.0f} |"
                )
    return lines


def _memory(measured: Figures) -> list[str]:
    first = next(iter(measured.values()))
    lines = [
        "",
        "## Memory over a long run",
        "",
        f"{first['method'].upper()}, {first['model']}: {first['steps']} steps of {first['batch_size']} pairs of",
        "changing shapes (`bench/memory.py`); MB in use after a step, and the medians of the four quarters of steps",
        "behind the 64th. It swings with the shapes that are met, up and down again.",
        "",
        "| step | " + " | ".join(first["resident_mb"]) + " | quarters |",
        "|---|" + "---|" * (len(first["resident_mb"]) + 1),
    ]
    for dtype, found in measured.items():
        values = " | ".join(f"{value:.0f}" for value in found["resident_mb"].values())
        quarters = ", ".join(f"{value:.0f}" for value in found["resident_by_quarters_mb"]) or "not kept"
        lines.append(f"| MB, {dtype} | {values} | {quarters} |")
    return lines


def _spared(found: Figures) -> list[str]:
    lines = [
        "",
        "## Activation checkpointing and adapters",
        "",
        f"SFT of {found['model']} in float32 on {found['examples']} examples, rank {found['rank']}, one thread",
        "(`bench/spared_memory.py`): peak of resident memory beyond what was there before training, and processor",
        "seconds. Between the columns lies memory that was freed and that the C library's allocator still holds.",
        "",
        "| trained | allocator as it is | giving freed memory back at once |",
        "|---|---|---|",
    ]
    for way, figures in found["ways"].items():
        told = [f"{figures[name]['train_delta_mb']:.0f} MB, {figures[name]['cpu_s']:.0f} s" for name in figures]
        lines.append(f"| {way} | " + " | ".join(told) + " |")
    return lines


def _traps(found: Figures) -> list[str]:
    lines = [
        "",
        "## Traps",
        "",
        "Ways that are slower or take more than they seem to, beside ours (`bench/traps.py`). Attention, forward and",
        "backward, on rows of 1,024 tokens of bfloat16 (8 heads of 64, conversations of two responses, log-normal",
        "lengths), and what the process holds more after 60 rows of other lengths: kernels of bfloat16 are kept for",
        "every shape that they meet.",
        "",
        "| attention | ms a row | MB kept |",
        "|---|---|---|",
    ]
    lines += [f"| {way} | {one['ms']:.1f} | {one['grown_mb']:.0f} |" for way, one in found["attention"].items()]
    lines += ["", "| a bfloat16 layer on 200 batches, rows | MB kept |", "|---|---|"]
    lines += [f"| {way} | {one['grown_mb']:.0f} |" for way, one in found["products"].items()]
    if "new table" in found:
        lines += ["", "| a head's matrix (32,768 by 512) cast into new memory | ms |", "|---|---|"]
        lines += [f"| {way} | {one['ms']:.1f} |" for way, one in found["new table"].items()]
    lines += [
        "",
        "The pass over the reference, and any pass over pairs: tokens computed for each that is there, prompts counted",
        "for each response. What the allocator holds back is in the table of activation checkpointing.",
        "",
        "| pairs | tokens computed |",
        "|---|---|",
    ]
    return lines + [f"| {way} | {share:.2f} |" for way, share in found["padding"].items()]


def _time(found: Figures) -> list[str]:
    methods = list(found["shares"])
    kinds = list(dict.fromkeys(kind for shares in found["shares"].values() for kind in shares))
    lines = [
        "",
        "## Where the time goes",
        "",
        f"Shares of the time of {found['examples']} examples of small in bfloat16",
        "(`bench/time_shares.py`, under torch's profiler, which itself takes some of what is outside of operators).",
        "Utilisation, above, counts the products alone as useful, and at the speed of the fastest.",
        "",
        "| | " + " | ".join(methods) + " |",
        "|---" * (len(methods) + 1) + "|",
    ]
    for kind in kinds:
        lines.append(f"| {kind} | " + " | ".join(f"{found['shares'][m].get(kind, 0):.0%}" for m in methods) + " |")
    lines += [
        *_products(found["products"]),
        "",
        "Rows of other sizes: DPO of tiny, 128 examples (`micro_batch_tokens`).",
        "",
        "| tokens at once | seconds | peak MB |",
        "|---|---|---|",
    ]
    return lines + [
        f"| {budget} | {row['cpu_s']:.1f} | {row['peak_rss_mb']:.0f} |" for budget, row in found["rows"].items()
    ]


def _products(found: Figures) -> list[str]:
    """Utilisation as the product of what makes it."""
    parts: Mapping[str, Callable[[Figures], str]] = {
        "share of the time in products, attention's among them": lambda one: f"{one['share']:.2f}",
        "their speed in the step, GFLOP/s": lambda one: f"{one['gflop_per_s']:.0f}",
        "speed of the fastest one repeated, GFLOP/s": lambda one: f"{one['fastest_gflop_per_s']:.0f}",
        "multiplied in all, over what is needed": lambda one: f"{one['performed_gflop'] / one['needed_gflop']:.2f}",
        "utilisation": lambda one: f"{_utilisation(one):.2f}",
    }
    lines = [
        "",
        "What keeps utilisation down, of the same runs: time that is not in products, products that are slower within",
        "a step than the fastest one repeated on the same numbers, and rows that are filled up (and what is masked",
        "within a block of attention). Half, which was aimed at, is passed in float32 (above); in bfloat16 products",
        "take so little time that all else weighs more, and half is not reached.",
        "",
        "| | " + " | ".join(found) + " |",
        "|---" * (len(found) + 1) + "|",
    ]
    return lines + [f"| {part} | " + " | ".join(of(one) for one in found.values()) + " |" for part, of in parts.items()]


def _utilisation(one: Figures) -> float:
    needed: float = one["needed_gflop"] / one["performed_gflop"]
    return needed * one["share"] * one["gflop_per_s"] / one["fastest_gflop_per_s"]


def _rollout(measured: Figures) -> list[str]:
    lines = [
        "",
        "## Sampling",
        "",
        "New tokens a processor second beside `generate` of transformers (`bench/rollout.py`): the same prompts and",
        "the same lengths of responses (log-normal), as many at once on both sides, temperature 1, one thread. A ratio",
        "is of one round, median (lowest to highest). Weights of transformers are in the format named.",
        "",
        "| model | format | responses | at once | rounds | new tokens | tokens a second, transformers / ours | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key, found in measured.items():
        group, name = key.split("/")
        if group != "growth":
            speed = found["tokens_per_s"]
            lines.append(
                f"| {group} | {name} | {found['prompts']} | {found['slots']} | {found['rounds']} "
                f"| {found['new_tokens']} | {speed['peer']:.0f} / {speed['ours']:.0f} | {_ratio(speed)} |"
            )
    swept = {key: found for key, found in measured.items() if key.startswith("growth/")}
    if swept:
        lines += [
            "",
            "Growth of a rollout, tiny in bfloat16, one quantity varied at a time (else 64 prompts, 16 at once):",
            "",
            "![seconds of a rollout against what is varied](figures/rollout.svg)",
            "",
            "| varied | from / to | | seconds | exponent |",
            "|---|---|---|---|---|",
        ]
    for found in swept.values():
        for side, library in (("ours", "Boresight"), ("peer", "transformers")):
            x, seconds = found["x"], found[side]["seconds"]
            lines.append(
                f"| {found['title']} | {x[0]} / {x[-1]} | {library} | {seconds[0]:.2f} / {seconds[-1]:.2f} "
                f"| {found[side]['exponent']:.2f} |"
            )
    return lines
