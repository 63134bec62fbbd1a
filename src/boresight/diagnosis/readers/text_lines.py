"""Metrics in the lines of console logs: Trainer's dicts, verl's dashes, DeepSpeed-Chat's bars, progress bars.

A line becomes a row, part of the row before it, or nothing. What is read is told by form; whether its names mean
anything is decided by `boresight.diagnosis.readers.names`.
"""

import re
from collections.abc import Callable, Iterator

from boresight.diagnosis.readers.columns import Row, flattened, parsed
from boresight.diagnosis.readers.numbers import PATTERN, text_number

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07?|\x08")

_VALUE = rf"((?:np\.\w+|tensor)\(\s*{PATTERN}[^)]*\)|['\"]?{PATTERN}%?['\"]?)"
_QUOTED = re.compile(rf"['\"]([^'\"\n]{{1,120}})['\"]\s*:\s*{_VALUE}(?=\s*[,}}])", re.IGNORECASE)
_DASHED = re.compile(rf"(?:^|\s-\s|\s)([A-Za-z_][\w./@\-]*):{_VALUE}(?=\s|$)", re.IGNORECASE)
_NAMED = re.compile(rf"([A-Za-z_][\w./ ()\-]*?)\s*[:=]\s*{_VALUE}(?=\s*(?:[,|;\])}}]|$|s\b|\s))", re.IGNORECASE)
_PIPED = re.compile(rf"(?:^|\|)\s*([A-Za-z_][\w./]*)\s+{_VALUE}(?=\s*(?:\||$))", re.IGNORECASE)
_COUNT = r"(\d{1,3}(?:,\d{3})+\b|\d+)"
"""A whole number, with commas between its thousands or without."""
_STEP_OF = re.compile(rf"\bstep[\s:]*\[?{_COUNT}(?:\s*/\s*{_COUNT})?", re.IGNORECASE)
_COUNTED = re.compile(r"epoch:?\s*\[(\d+)/(\d+)\]\s*\(?\[?(\d+)/(\d+)", re.IGNORECASE)
_EPOCH_OF = re.compile(r"evaluating \w+, epoch (\d+)/(\d+)", re.IGNORECASE)
_EPOCH_LOSS = re.compile(rf"^epoch (\d+)/(\d+) with loss {_VALUE}", re.IGNORECASE)

Known = Callable[[str], bool]


def clean_lines(text: str) -> Iterator[str]:
    """Lines without colour; what a carriage return has overwritten is a line too."""
    for line in re.split(r"[\r\n]+", ANSI.sub("", text)):
        if line.strip():
            yield line.strip()


class TextRows:
    """Gathers rows from lines. `known` says whether a name is one of a metric: free prose has pairs as well."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.rows: list[dict[str, object]] = []
        self.hints: set[str] = set()
        self._header: dict[str, object] = {}
        self._block = False

    def read(self, line: str) -> None:
        """Take a line's numbers in, if it has any."""
        if line.startswith("{") and isinstance(row := parsed(line), dict):
            self.rows.append(flattened(row))
        elif ("{" in line and (pairs := _QUOTED.findall(line))) or (
            line.count(" - ") >= 2 and len(pairs := _DASHED.findall(line)) >= 3
        ):
            self._add(_numbers(pairs))
        elif not self._deepspeed(line):
            self._named(line)

    def _add(self, row: Row) -> None:
        self.rows.append({**self._header, **row})

    def _deepspeed(self, line: str) -> bool:
        """The forms of DeepSpeed-Chat; evaluations stand in lines of their own under a heading that names the epoch."""
        if heading := _EPOCH_OF.search(line):
            self._header = {"epoch": float(heading[1])}
            return True
        if loss := _EPOCH_LOSS.match(line):
            self._merge({"epoch": float(loss[1]), "train_loss": text_number(loss[3])})
            self._header = {}
            return True
        if line.lower().startswith("average reward score") and (pairs := _NAMED.findall(line)):
            self._merge({"average_reward_score": text_number(pairs[0][1])})
            return True
        if line.startswith(("chosen_last_scores", "chosen:")) and (pairs := _NAMED.findall(line)):
            names = {"chosen_last_scores": "eval_chosen_score", "chosen": "eval_rewards/chosen"}
            names |= {"acc": "eval_accuracy", "rejected": "eval_rewards/rejected", "loss": "eval_loss"}
            row = {names.get(key.split(" (")[0].strip(), key): text_number(value) for key, value in pairs}
            self.hints.add("deepspeed-chat")
            self._add(row)
            return True
        return False

    def _merge(self, row: Row) -> None:
        """Into the row before, where that lacks these names."""
        self.hints.add("deepspeed-chat")
        if self.rows and not set(row) - {"epoch"} & set(self.rows[-1]) and "train_loss" not in row:
            self.rows[-1] |= row
        else:
            self._add(row)

    def _named(self, line: str) -> None:
        """`name: value` or `name=value` pairs; a line that has only a step opens a block of one-pair lines."""
        pairs = {_tidy(key): text_number(value) for key, value in [*_PIPED.findall(line), *_NAMED.findall(line)]}
        row: dict[str, object] = {key: value for key, value in pairs.items() if value is not None and self.known(key)}
        if counted := _COUNTED.search(line):
            row |= {"epoch": float(counted[1]), "step": float(counted[3]), "total_steps": float(counted[4])}
        elif step := _STEP_OF.search(line):
            row["step"] = float(step[1].replace(",", ""))
            row |= {"total_steps": float(step[2].replace(",", ""))} if step[2] else {}
        measured = row.keys() - {"step", "epoch", "total_steps"}
        if len(measured) >= 2 or (measured and "step" in row):
            self._add(row)
            self._block = False
        elif "step" in row and re.search(r"step\W*[\d,]+\s*/\s*\d+", line, re.IGNORECASE):
            self.rows.append(row)
            self._block = True
        elif measured and self._block:
            self.rows[-1] |= {key: value for key, value in row.items() if key not in self.rows[-1]}


def _numbers(pairs: list[tuple[str, str]]) -> dict[str, object]:
    return {key: number for key, value in pairs if (number := text_number(value)) is not None}


def _tidy(name: str) -> str:
    """`Grad. Norm` and `• Avg Reward` as the names they are: lower case, underscores."""
    name = re.sub(r"\((?:higher|lower) is better\)", "", name)
    return re.sub(r"[\s.]+", "_", name.strip(" •-*|").lower()).strip("_")
