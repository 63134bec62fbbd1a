"""Time and memory of inspecting and linting preference pairs, and of the search for near duplicates.

python bench/data.py                    # 50,000 pairs
python bench/data.py --rows 1000000     # a million: minutes, and some 2 GB of disk

The pairs are made from published ones (HH-RLHF, expected in ../shared/data/hh_rlhf or where --source says): their
conversations with a part of the words exchanged at random, so that rows differ, and a known share of exact and near
duplicates among them. The generator runs in a process of its own; time and peak memory are those of reading and
looking alone. Near duplicates are then looked for once more in a part of the rows, by our search and by datasketch.
"""

import argparse
import json
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from boresight.data.jsonl import as_record, from_record, read_objects
from boresight.data.lint.duplicates import BATCH, NEAR, PERMUTATIONS, near_groups, rensa_sketch, shingles
from boresight.data.lint.row import row_of
from boresight.data.lint.run import lint
from boresight.data.lint.sources import read_all_pairs
from boresight.data.preferences import length_counts
from boresight.records import Message, Messages, PreferencePair

SOURCE = Path(__file__).parents[2] / "shared" / "data" / "hh_rlhf"
EXCHANGED = 0.35
"""Share of the words of a made row that are drawn anew; far more than near duplicates may differ in."""
EXACT, NEARLY = 0.02, 0.02
"""Shares of rows that repeat an earlier one, word for word and with some words in capitals."""
KEPT_BACK = 1000
"""Earlier rows that duplicates are drawn from."""


def make(source: Path, path: Path, rows: int, seed: int = 1) -> None:
    """Write that many pairs."""
    rng = random.Random(seed)
    published = [pair for file in sorted(source.glob("*.jsonl.gz")) for pair in read_all_pairs(file)]
    vocabulary = sorted({word for pair in published for message in pair.prompt for word in message.content.split()})
    earlier: list[PreferencePair] = []
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            draw = rng.random()
            if earlier and draw < EXACT:
                pair = rng.choice(earlier)
            elif earlier and draw < EXACT + NEARLY:
                pair = _respelled(rng, rng.choice(earlier))
            else:
                pair = _varied(rng, rng.choice(published), vocabulary)
                if len(earlier) < KEPT_BACK:
                    earlier.append(pair)
            record = as_record(replace(pair, id=f"p{number}"))
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _varied(rng: random.Random, pair: PreferencePair, vocabulary: Sequence[str]) -> PreferencePair:
    def vary(messages: Messages) -> Messages:
        return tuple(Message(m.role, " ".join(_exchanged(rng, m.content.split(" "), vocabulary))) for m in messages)

    return replace(pair, prompt=vary(pair.prompt), chosen=vary(pair.chosen), rejected=vary(pair.rejected))


def _exchanged(rng: random.Random, words: list[str], vocabulary: Sequence[str]) -> list[str]:
    for place in rng.sample(range(len(words)), int(EXCHANGED * len(words) + rng.random())):
        words[place] = rng.choice(vocabulary)
    return words


def _respelled(rng: random.Random, pair: PreferencePair) -> PreferencePair:
    def respell(message: Message) -> Message:
        words = [word.upper() if rng.random() < 0.3 else word for word in message.content.split(" ")]
        return Message(message.role, " ".join(words) + "!" * rng.randrange(1, 4))

    return replace(pair, chosen=tuple(map(respell, pair.chosen)), rejected=tuple(map(respell, pair.rejected)))


def stream(path: Path) -> Iterator[PreferencePair]:
    for number, row in read_objects(path):
        yield from_record(PreferencePair, row, f"{path}:{number}")


def inspect(path: Path) -> dict[str, int]:
    """What `data inspect` counts, in one pass."""
    counts = dict.fromkeys(("rows", "identical", "empty_chosen", "empty_rejected", "longer", "shorter", "turns_max"), 0)
    for pair in stream(path):
        chosen, rejected = pair.chosen[-1].content.strip(), pair.rejected[-1].content.strip()
        longer, shorter, _ = length_counts([pair])
        counts["rows"] += 1
        counts["identical"] += chosen == rejected
        counts["empty_chosen"] += not chosen
        counts["empty_rejected"] += not rejected
        counts["longer"] += longer
        counts["shorter"] += shorter
        counts["turns_max"] = max(counts["turns_max"], sum(message.role == "user" for message in pair.prompt))
    return counts


def compare_near_search(path: Path, rows: int) -> None:
    """Our search (rensa, 8 bands of 8) and datasketch's (as many permutations, the same threshold), one after the
    other on the same shingles."""
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        print("datasketch is not installed (pip install datasketch): no comparison of the near-duplicate search")
        return
    pairs = [pair for pair, _ in zip(stream(path), range(rows), strict=False)]
    documents = [shingles(row_of(pair, i, "")) for i, pair in enumerate(pairs)]
    sketch = rensa_sketch()
    assert sketch is not None, "the benchmark needs rensa: pip install 'boresight[data]'"

    began = time.perf_counter()
    minima = np.concatenate([sketch(documents[i : i + BATCH]) for i in range(0, len(documents), BATCH)])
    groups = near_groups(minima)
    ours = {i for i in range(len(documents)) if groups[i] != i}
    our_seconds = time.perf_counter() - began

    began = time.perf_counter()
    index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
    theirs = set()
    for i, document in enumerate(documents):
        minhash = MinHash(num_perm=PERMUTATIONS, seed=1)
        minhash.update_batch([shingle.encode() for shingle in document])
        if index.query(minhash):
            theirs.add(i)
        index.insert(i, minhash)
    their_seconds = time.perf_counter() - began
    print(f"near duplicates in {len(documents):,} rows:")
    for name, seconds, found in (("rensa and numpy", our_seconds, ours), ("datasketch", their_seconds, theirs)):
        print(f"  {name:<15}  {seconds:7.2f} s  {len(documents) / seconds:9,.0f} rows/s  {len(found):,} found")
    print(f"  found by both {len(ours & theirs):,}; {their_seconds / our_seconds:.0f} times as fast")


def measure(path: Path, rows: int) -> None:
    def told(count: int) -> None:
        if count % 10_000 == 0 and sys.stderr.isatty():
            print(f"\r{count:,} rows", end="", file=sys.stderr, flush=True)
        elif count % 100_000 == 0:
            print(f"{count:,} rows", file=sys.stderr, flush=True)

    began, began_cpu = time.perf_counter(), time.process_time()
    counts = inspect(path)
    inspected = time.perf_counter() - began
    print(f"inspect  {inspected:7.1f} s  {rows / inspected:9,.0f} rows/s  {counts}", flush=True)
    began = time.perf_counter()
    done = lint({"pairs": stream(path)}, progress=told)
    linted = time.perf_counter() - began
    print(f"lint     {linted:7.1f} s  {rows / linted:9,.0f} rows/s  {len(done.findings)} findings")
    both, own = inspected + linted, time.process_time() - began_cpu
    print(f"both     {both:7.1f} s  {rows / both:9,.0f} rows/s; {own:.1f} s of processor time, one core")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    for finding in done.findings:
        print(f"  {finding.severity:<7} {finding.id:<20} {finding.count:>9,} of {finding.of:,}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--source", type=Path, default=SOURCE, help="folder of HH-RLHF files (*.jsonl.gz)")
    parser.add_argument("--compared", type=int, default=20_000, help="rows that datasketch is compared on")
    parser.add_argument(
        "--folder", type=Path, help="where the made file lies for a while (default: a temporary folder)"
    )
    arguments = parser.parse_args()
    if not any(arguments.source.glob("*.jsonl.gz")):
        print(f"bench/data.py: {arguments.source} holds no *.jsonl.gz; name the HH-RLHF files with --source")
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "pairs.jsonl"
        began = time.perf_counter()
        maker = multiprocessing.get_context("spawn").Process(target=make, args=(arguments.source, path, arguments.rows))
        maker.start()
        maker.join()
        if maker.exitcode:
            return 1
        size = path.stat().st_size / 2**20
        print(f"made     {time.perf_counter() - began:7.1f} s  {arguments.rows:,} pairs, {size:,.0f} MiB", flush=True)
        measure(path, arguments.rows)
        compare_near_search(path, arguments.compared)
    return 0


if __name__ == "__main__":
    sys.exit(main())
