"""Sets of probes: the one that is shipped, and those of others by path, told by their columns.

| form | columns | asks |
|---|---|---|
| ours | id, kind, prompt, expect | as the shipped set has it |
| sycophancy pairs | neutral_prompt, biased_prompt, sycophantic_target | a choice, with and without the user's view |
| model-written evaluations | question, answer_matching_behavior | a choice that shows a behaviour |
| XSTest | prompt, type | harmless questions, and harmful requests (types contrast_...) |
| IFEval | prompt, instruction_id_list, kwargs | instructions that a program can verify |
| GSM8K | question, answer (or ground_truth) | a final number |
| TruthfulQA | Question, Best Answer, Incorrect Answers | a choice among one true and all false answers |
| prompts | prompt or messages | nothing: length, repetition and style alone |
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from boresight.data.record_rows import row_messages
from boresight.data.tables import iterate_rows
from boresight.errors import DataError
from boresight.evaluation.final_numbers import final_number
from boresight.evaluation.instruction_checks import CHECKS
from boresight.evaluation.probe_items import CHALLENGE, Kind, Probe
from boresight.records import Message, Messages

Row = dict[str, Any]

OWN_SET = "probe_set.jsonl"
KINDS: tuple[Kind, ...] = get_args(Kind)
_LISTED = re.compile(r"^ ?\(([A-Z])\) ", re.MULTILINE)
_LLAMA3_TURN = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*(.*?)<\|eot_id\|>", re.DOTALL)
_NEEDED = {
    "false_premise": "corrects", "true_premise": "", "challenge": "answer", "opinion": "sycophantic",
    "behaviour": "matching", "choice": "right", "instructions": "instructions", "exact": "answer",
}  # fmt: skip
"""What `expect` of a row of our form must hold, by kind."""


def own_probes() -> list[Probe]:
    """The shipped set: short, in English, for gross changes; larger sets come by path."""
    text = (files("boresight.evaluation") / OWN_SET).read_text(encoding="utf-8")
    return [_own(json.loads(line), f"{OWN_SET}:{n}", "") for n, line in enumerate(text.splitlines(), start=1)]


def read_probes(path: Path) -> list[Probe]:
    """The probes of a file. Raises DataError for a form that is not known and rows that do not fit it."""
    rows = list(iterate_rows(path))
    if not rows:
        raise DataError(f"{path}: the file holds no rows; expected probes. Give a file with rows.")
    columns = {name.lstrip("\ufeff") for name in rows[0][1]}
    read = next((reader for needed, reader in _FORMS if needed <= columns), None)
    if read is None:
        raise DataError(
            f"{path}: columns {', '.join(rows[0][1])}; expected probes of ours (id, kind, prompt, expect), sycophancy "
            "pairs, model-written evaluations, XSTest, IFEval, GSM8K, TruthfulQA, or prompts."
            " Rename the columns, or give such a file."
        )
    group = path.name.split(".json")[0].removesuffix(".gz").removesuffix(".csv")
    probes = [read(row, f"{path}:{line}", group) for line, row in rows]
    seen: dict[str, int] = {}
    for probe, (line, _) in zip(probes, rows, strict=True):
        if probe.id in seen:
            raise DataError(
                f"{path}:{line}: the id {probe.id!r} stands in line {seen[probe.id]} too; ids must differ."
                " Give one of the two another id."
            )
        seen[probe.id] = line
    return probes


def joined(sets: Mapping[str, Sequence[Probe]]) -> list[Probe]:
    """The probes of several sets, by their names. Raises DataError where two sets have one id: answers go by ids."""
    seen: dict[str, str] = {}
    for name, probes in sets.items():
        for probe in probes:
            if probe.id in seen:
                raise DataError(f"{name}: the id {probe.id!r} is one of {seen[probe.id]} too. Ask one set at a time.")
            seen[probe.id] = name
    return [probe for probes in sets.values() for probe in probes]


def asked(text: str) -> Messages:
    """A prompt as one message of the user; written in Llama-3's chat template it is read back as its turns."""
    turns = _LLAMA3_TURN.findall(text)
    return tuple(Message(role, content.strip()) for role, content in turns) or (Message("user", text.strip()),)


def _own(row: Row, where: str, group: str) -> Probe:
    kind, expect = next((known for known in KINDS if known == row.get("kind")), None), row.get("expect", {})
    needed = _NEEDED.get(str(kind), "")
    if kind is None or not isinstance(expect, dict) or (needed and needed not in expect):
        raise DataError(
            f"{where}: kind {row.get('kind')!r} with expect {expect!r}; expected a kind among {', '.join(KINDS)}"
            + (f', and "{needed}" in "expect"' if needed else "")
            + ". Correct the row."
        )
    for name, _ in expect.get("instructions", ()):
        if name not in CHECKS:
            raise DataError(
                f"{where}: the instruction {name!r} is not known; known are: {', '.join(sorted(CHECKS))}."
                " Take one of these, or leave the probe out."
            )
    neutral = row.get("neutral", "")
    return Probe(
        id=str(row.get("id", where)),
        kind=kind,
        messages=_messages(row, where),
        expect=expect,
        options=tuple(row.get("options", ())),
        challenge=CHALLENGE if kind == "challenge" else None,
        neutral=asked(neutral) if neutral else (),
        group=str(row.get("group", group)),
    )


def _messages(row: Row, where: str) -> Messages:
    if isinstance(row.get("prompt"), str):
        return asked(row["prompt"])
    return row_messages(row, where)


def _sycophancy(row: Row, where: str, group: str) -> Probe:
    options = _letters(row["biased_prompt"], where)
    return Probe(
        id=str(row.get("sample_id", where)),
        kind="opinion",
        messages=asked(row["biased_prompt"]),
        neutral=asked(row["neutral_prompt"]),
        options=options,
        expect={"sycophantic": _place(row["sycophantic_target"], options, where)},
        group=group,
    )


def _behaviour(row: Row, where: str, group: str) -> Probe:
    answer = str(row["answer_matching_behavior"])
    lettered = answer.strip().startswith("(")
    options = _letters(row["question"], where) if lettered else ("Yes", "No")
    return Probe(
        id=_numbered(where, group),
        kind="behaviour",
        messages=asked(row["question"]),
        options=options,
        expect={"matching": _place(answer, options, where)},
        group=group,
    )


def _letters(question: str, where: str) -> tuple[str, ...]:
    letters = tuple(dict.fromkeys(f"({letter})" for letter in _LISTED.findall(question)))
    if len(letters) < 2:
        raise DataError(
            f"{where}: the question lists no choices; expected lines that begin with (A), (B) and so on."
            " Correct the row, or leave it out."
        )
    return letters


def _place(answer: Any, options: Sequence[str], where: str) -> int:
    if str(answer).strip() not in options:
        raise DataError(f"{where}: the answer {answer!r} is none of {', '.join(options)}. Correct the row.")
    return list(options).index(str(answer).strip())


def _xstest(row: Row, where: str, group: str) -> Probe:
    harmful = row["label"] == "unsafe" if "label" in row else str(row["type"]).startswith("contrast_")
    return Probe(
        id=str(row.get("id", where)).removeprefix("v2-"),
        kind="refusal_unsafe" if harmful else "refusal_safe",
        messages=asked(row["prompt"]),
        group=group,
    )


def _ifeval(row: Row, where: str, group: str) -> Probe:
    names, arguments = row["instruction_id_list"], row["kwargs"]
    unknown = [name for name in names if name not in CHECKS]
    if unknown or len(names) != len(arguments):
        raise DataError(
            f"{where}: {len(names)} instructions with {len(arguments)} sets of arguments"
            + (f"; {unknown[0]!r} is not known" if unknown else "")
            + f". Expected as many of both, among {', '.join(sorted(CHECKS))}."
        )
    instructions = [list(both) for both in zip(names, arguments, strict=True)]
    return Probe(
        id=str(row.get("key", where)),
        kind="instructions",
        messages=asked(row["prompt"]),
        expect={"instructions": instructions},
        group=group,
    )


def _exact(row: Row, where: str, group: str) -> Probe:
    answer = str(row.get("answer", row.get("ground_truth")))
    if final_number(answer) is None:
        raise DataError(
            f"{where}: the answer {answer[:60]!r} holds no number; expected one, as after #### in GSM8K."
            " Correct the row, or leave it out."
        )
    return Probe(
        id=_numbered(where, group),
        kind="exact",
        messages=asked(row["question"]),
        expect={"answer": answer},
        group=group,
    )


def _truthful(row: Row, where: str, group: str) -> Probe:
    """One true answer, the best, among all that are false (MC1 of Lin et al. 2022, arXiv:2109.07958, section 3.2)."""
    false = [part.strip() for part in str(row["Incorrect Answers"]).split(";") if part.strip()]
    return Probe(
        id=_numbered(where, group),
        kind="choice",
        messages=asked(row["Question"]),
        options=(str(row["Best Answer"]).strip(), *false),
        expect={"right": [0]},
        group=group,
    )


def _plain(row: Row, where: str, group: str) -> Probe:
    name = str(row.get("id", row.get("question_id", row.get("uid", _numbered(where, group)))))
    if "turns" in row:
        return Probe(id=name, kind="plain", messages=asked(row["turns"][0]), group=str(row.get("category", group)))
    return Probe(id=name, kind="plain", messages=_messages(row, where), group=group)


def _numbered(where: str, group: str) -> str:
    return f"{group}-{where.rpartition(':')[2]}"


_FORMS: Sequence[tuple[set[str], Callable[[Row, str, str], Probe]]] = (
    ({"kind", "expect"}, _own),
    ({"neutral_prompt", "biased_prompt", "sycophantic_target"}, _sycophancy),
    ({"question", "answer_matching_behavior"}, _behaviour),
    ({"prompt", "instruction_id_list", "kwargs"}, _ifeval),
    ({"prompt", "type"}, _xstest),
    ({"question", "answer"}, _exact),
    ({"question", "ground_truth"}, _exact),
    ({"Question", "Best Answer", "Incorrect Answers"}, _truthful),
    ({"kind", "id"}, _own),
    ({"prompt"}, _plain),
    ({"messages"}, _plain),
    ({"turns"}, _plain),
)
"""Columns that tell a form, and how a row of it is read; the first that fits is taken."""
