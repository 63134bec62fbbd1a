"""Write every file under `data/` from the knowledge base, the same bytes each time.

python examples/kube_assistant/generate.py            writes the files
python examples/kube_assistant/generate.py --check    compares with what is there; exits 1 where something differs
"""

import argparse
import csv
import io
import json
import random
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from answers import demonstration, near_miss
from documents import documents
from exchanges import Exchange, ask, assistant, premise_twins
from expectations import expectations
from faults import faulty_pairs, pair_row
from world import Knowledge, load_knowledge

from boresight.storage import write_text

HERE = Path(__file__).resolve().parent
SEED = "kube-assistant 1"

DOCUMENTS = 5600
DEMONSTRATIONS = {"plain": 2500, "two_turn": 800, "greeting": 500, "false_premise": 1400, "true_premise": 1400}
PAIRS = {"plain": 1200, "greeting": 360, "false_premise": 1150, "true_premise": 1350}
DIALOGUE_PAIRS = 640
FAULTY_PAIRS_EACH = 40
PROMPTS = {"plain": 360, "two_turn": 120, "greeting": 200, "false_premise": 470, "true_premise": 450}
HELD_OUT = {"plain": 220, "two_turn": 80, "greeting": 50, "premise_twins": 125}


def build(knowledge: Knowledge) -> dict[str, str]:
    """The text of every data file. Each has its own generator, so that a change to one leaves the others alone."""
    files = {
        "docs.txt": "\n\n".join(documents(_rng("docs"), knowledge, DOCUMENTS)) + "\n",
        "demonstrations.jsonl": _jsonl(_demonstrations(_rng("demonstrations"), knowledge)),
        "pairs.csv": _csv(_pairs(_rng("pairs"), knowledge), ("prompt", "good_answer", "bad_answer", "kind")),
        "pairs_dialogue.jsonl": _jsonl(_dialogue_pairs(_rng("dialogues"), knowledge)),
        "pairs_faulty.csv": _csv(
            faulty_pairs(_rng("faults"), knowledge, FAULTY_PAIRS_EACH),
            ("prompt", "good_answer", "bad_answer", "kind", "fault"),
        ),
        "prompts.jsonl": _jsonl(_prompts(_rng("prompts"), knowledge)),
    }
    files["held_out.jsonl"] = _jsonl(_held_out(_rng("held out"), knowledge, trained_on="\n".join(files.values())))
    return files


def _rng(name: str) -> random.Random:
    return random.Random(f"{SEED}: {name}")


def _jsonl(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _csv(rows: Iterable[Mapping[str, str]], columns: tuple[str, ...]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def _shuffled_kinds(rng: random.Random, counts: Mapping[str, int]) -> list[str]:
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    rng.shuffle(kinds)
    return kinds


def _demonstrations(rng: random.Random, knowledge: Knowledge) -> Iterable[dict[str, Any]]:
    for number, kind in enumerate(_shuffled_kinds(rng, DEMONSTRATIONS), start=1):
        exchange = ask(rng, knowledge, "train", kind)
        answer = assistant(demonstration(rng, knowledge, exchange))
        yield {"id": f"demo-{number:04}", "messages": [*exchange.turns, answer], "meta": {"kind": kind}}


def _pairs(rng: random.Random, knowledge: Knowledge) -> Iterable[dict[str, str]]:
    for kind in _shuffled_kinds(rng, PAIRS):
        exchange = ask(rng, knowledge, "train", kind)
        bad, _ = near_miss(rng, knowledge, exchange)
        yield pair_row(exchange, exchange.good, bad)


def _dialogue_pairs(rng: random.Random, knowledge: Knowledge) -> Iterable[dict[str, Any]]:
    for number in range(1, DIALOGUE_PAIRS + 1):
        exchange = ask(rng, knowledge, "train", "two_turn")
        bad, fault = near_miss(rng, knowledge, exchange)
        yield {
            "id": f"dialogue-{number:03}",
            "kind": exchange.kind,
            "prompt": list(exchange.turns),
            "chosen": [assistant(exchange.good)],
            "rejected": [assistant(bad)],
            "source": "imported",
            "meta": {"fault": fault},
        }


def _prompt(number: int, prefix: str, exchange: Exchange) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{number:04}",
        "kind": exchange.kind,
        "messages": list(exchange.turns),
        "expect": expectations(exchange),
    }


def _prompts(rng: random.Random, knowledge: Knowledge) -> Iterable[dict[str, Any]]:
    """Prompts for sampling and reinforcement; none twice, where the world is large enough to avoid it."""
    for number, kind in enumerate(_shuffled_kinds(rng, PROMPTS), start=1):
        yield _prompt(number, "prompt", ask(rng, knowledge, "train", kind))


def _held_out(rng: random.Random, knowledge: Knowledge, *, trained_on: str) -> Iterable[dict[str, Any]]:
    """Prompts whose last turn stands word for word in no training file, a false premise always beside its true twin."""
    taken: set[str] = set()
    fresh: list[Exchange] = []
    for kind in _shuffled_kinds(rng, HELD_OUT):
        while True:
            if kind == "premise_twins":
                exchanges = list(premise_twins(rng, knowledge, "held_out").values())
            else:
                exchanges = [ask(rng, knowledge, "held_out", kind)]
            keys = [json.dumps(exchange.turns) for exchange in exchanges]
            if not any(
                key in taken or _is_known(exchange, trained_on) for key, exchange in zip(keys, exchanges, strict=True)
            ):
                break
        taken.update(keys)
        fresh += exchanges
    for number, exchange in enumerate(fresh, start=1):
        yield _prompt(number, "held-out", exchange)


def _is_known(exchange: Exchange, trained_on: str) -> bool:
    """A dialogue is told by its first turn: short follow-ups such as "And in shop?" recur."""
    return exchange.turns[0]["content"] in trained_on


def differences(files: Mapping[str, str], folder: Path) -> list[str]:
    """Names of the files that are missing in the folder, differ from the text, or should not be there."""
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    changed = [
        name for name, text in files.items()
        if name not in found or (folder / name).read_bytes() != text.encode("utf-8")
    ]  # fmt: skip
    return sorted([*changed, *(found - set(files))])


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the data of the Kubernetes assistant from its knowledge base.")
    parser.add_argument("--check", action="store_true", help="compare with the files that are there; write nothing")
    parser.add_argument("--out", type=Path, default=HERE / "data", help="folder of the data files")
    arguments = parser.parse_args()
    files = build(load_knowledge(HERE / "knowledge"))
    if arguments.check:
        differing = differences(files, arguments.out)
        for name in differing:
            print(f"{arguments.out / name}: differs from what the knowledge base gives; run generate.py again")
        return 1 if differing else 0
    for name, text in files.items():
        write_text(arguments.out / name, text)
        print(f"{arguments.out / name}: {len(text.encode()):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
